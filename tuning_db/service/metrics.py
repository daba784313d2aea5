"""Figures of a service for Prometheus, and who may read them.

They are of everything that the service does, hidden work included, so that they are shown to tokens with the scope
``admin`` and to nobody else. No label has an id, a name or anything else that a client sent.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tuning_db.intake import Rejected
from tuning_db.reasons import Refused
from tuning_db.service.auth import Caller, ask_hidden
from tuning_db.service.errors import ApiError, not_found
from tuning_db.store import Store

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of: dict[str, Any] = {"registry": self.registry, "namespace": "headstart"}
        self.requests = Counter("requests", "Requests by documented route.", ("route", "method", "status"), **of)
        self.seconds = Histogram("request_seconds", "From request to answer.", ("route",), buckets=SECONDS, **of)
        self.writer_wait = Histogram("writer_wait_seconds", "Waiting for the writer.", buckets=SECONDS, **of)
        self.writer_busy = Histogram("writer_busy_seconds", "Transactions of the writer.", buckets=SECONDS, **of)
        self.submissions = Counter("submissions", "By outcome: taken, or why not.", ("outcome",), **of)
        self.claims = Counter("claims", "Claims taken, retries included.", **of)
        self.backups = Counter("backups", "Copies asked for.", ("outcome",), **of)
        self.last_backup = Gauge("last_backup_timestamp_seconds", "When one was sent whole, 0 for never.", **of)
        ProcessCollector(registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def written(self, waited: float, took: float) -> None:
        """Count a transaction of the writer; seconds."""
        self.writer_wait.observe(waited)
        self.writer_busy.observe(took)

    def taken(self, claims: int) -> None:
        """Count a submission that was taken."""
        self.submissions.labels("taken").inc()
        self.claims.inc(claims)

    def refused(self, error: Exception) -> None:
        """Count a submission that was not, once for each code among its reasons."""
        codes = {"unavailable" if isinstance(error.__cause__, sqlite3.Error) else "invalid"}
        if isinstance(error, Rejected):
            codes = {finding.reason.value for finding in error.findings if finding.reason.refuses}
        elif isinstance(error, Refused):
            codes = {error.reason.value}
        elif isinstance(error, ApiError):
            codes = {error.body["error"]["code"]}
        for code in codes:
            self.submissions.labels(code).inc()

    def watch(self, db: Path, waiting: Callable[[], int], clock: Callable[[], float]) -> None:
        """Have figures too that are looked up when they are asked for."""
        self.registry.register(_Now(db, waiting, clock))


class _Now(Collector):
    """What is as it is at the moment."""

    def __init__(self, db: Path, waiting: Callable[[], int], clock: Callable[[], float]) -> None:
        self._db, self._waiting, self._clock = db, waiting, clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures."""
        yield GaugeMetricFamily("headstart_writer_waiting", "Who waits for the writer.", value=self._waiting())
        yield GaugeMetricFamily("headstart_clock_seconds", "The clock that windows open by.", value=self._clock())
        sizes = GaugeMetricFamily("headstart_database_bytes", "Of the file and its write-ahead log.", labels=["file"])
        for label, suffix in (("main", ""), ("wal", "-wal")):
            path = Path(f"{self._db}{suffix}")
            sizes.add_metric([label], path.stat().st_size if path.exists() else 0)
        yield sizes
        free = shutil.disk_usage(self._db.absolute().parent).free
        yield GaugeMetricFamily("headstart_disk_free_bytes", "Where the database is.", value=free)

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: they are not looked up before they are asked for."""
        return []


class Page:
    """``/metrics``. For whoever may not read it, it is a path that is not there, whatever the method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        request = Request(scope, receive, send)
        if request.method != "GET":
            raise not_found()
        entries, expiries = await ask_hidden(request, _count, "admin")
        metrics: Metrics = request.app.state.metrics
        problem = await request.app.state.readiness.problem()
        text = generate_latest(metrics.registry).decode()
        # Not collected with the rest: those are asked in a thread that may not wait.
        text += _gauge("headstart_ledger_entries", "Of all logs together.", entries)
        for role, moment in expiries.items():
            said = "When people must have signed anew, of the repository where that is first."
            text += _gauge(f"headstart_repository_{role}_expires_timestamp_seconds", said, moment)
        text += _gauge("headstart_writable", "1 where something can be written.", int(problem is None))
        await Response(text, headers={"content-type": CONTENT_TYPE_LATEST})(scope, receive, send)


def _count(store: Store, caller: Caller) -> tuple[int, dict[str, float]]:
    return int(store.value("SELECT coalesce(sum(size), 0) FROM ledger")), store.earliest_expiry()


def _gauge(name: str, what: str, value: float) -> str:
    return f"# HELP {name} {what}\n# TYPE {name} gauge\n{name} {value}\n"
