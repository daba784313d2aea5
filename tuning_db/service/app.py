"""The app: routes, errors and threads put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI
from starlette.routing import Route

from schedules.operator import operators
from tuning_db.pages.refused import refused
from tuning_db.pages.site import ROUTERS
from tuning_db.screening import space_versions
from tuning_db.service import (
    accounts,
    backups,
    boards,
    claims,
    errors,
    files,
    health,
    keys,
    ledgers,
    misses,
    pending,
    releases,
    repositories,
    submissions,
)
from tuning_db.service.backups import sweep
from tuning_db.service.config import Config
from tuning_db.service.document import documented
from tuning_db.service.freshness import Freshness
from tuning_db.service.lanes import Lanes
from tuning_db.service.limits import Limited, Limits
from tuning_db.service.logs import Requests, say
from tuning_db.service.metrics import Metrics, Page
from tuning_db.service.readiness import Readiness

VERSION = "1"


def make_app(config: Config) -> FastAPI:
    """An app that serves a database; it opens the file when it starts and closes it when it stops.

    Raises:
        HeadstartError: when it starts, as ``Store.open``.
    """
    metrics = Metrics()
    lanes = Lanes(config.db, config.readers, metrics.written)
    metrics.watch(config.db, lambda: lanes.waiting, config.clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Loaded here, and not while the first submission holds the writer.
        spaces = config.spaces if config.spaces is not None else await asyncio.to_thread(space_versions)
        app.state.config = replace(config, spaces=spaces)
        await asyncio.to_thread(operators)
        try:
            app.state.writable = await lanes.open()
            if app.state.writable:
                sweep(config.db, config.copies)
            else:
                say("the database cannot be written, and is only read")
            yield
        finally:
            await lanes.close()

    app = FastAPI(
        title="Headstart",
        version=VERSION,
        description="Tuned kernels of models that are not public yet: who claims what, and what is open to whom.",
        openapi_url="/v1/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.config, app.state.lanes, app.state.limits = config, lanes, Limits(config.rates)
    app.state.freshness = Freshness(config, lanes)
    app.state.metrics, app.state.readiness = metrics, Readiness(config.db, lanes, config.clock)
    errors.install(app, refused)
    app.add_middleware(Limited, limits=app.state.limits)
    app.add_middleware(Requests, answered=metrics.answered)
    for module in (
        *(health, accounts, releases, boards, claims, pending, submissions, keys, ledgers, misses, backups),
        *(repositories, files),
    ):
        app.include_router(module.router)
    documented(app)
    app.state.copying = asyncio.Lock()
    app.router.routes.append(Route("/metrics", Page(), include_in_schema=False))
    for pages in ROUTERS:
        app.include_router(pages, include_in_schema=False)
    return app
