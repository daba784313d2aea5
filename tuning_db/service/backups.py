"""A copy of the database, made and sent while others use it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tuning_db.backup import write_copy
from tuning_db.connection import disk_bytes
from tuning_db.logs import embargoed_logs
from tuning_db.service.auth import Caller, ask, service
from tuning_db.service.errors import ApiError
from tuning_db.service.logs import say
from tuning_db.service.metrics import Metrics
from tuning_db.store import Store

router = APIRouter(prefix="/v1", tags=["operation"])

PART = 1 << 18
# What is left free when a copy is made: it must not be what fills the disk.
SPARE = 64 << 20


@router.get("/backup", response_class=StreamingResponse)
async def backup(request: Request) -> Response:
    """A copy of the whole database, as of one commit; ``Content-Digest`` has its SHA-256 (RFC 9530).

    It holds what is under embargo, so that every log that is not public yet has an entry of it before it is made.
    """
    config, _ = service(request)
    metrics: Metrics = request.app.state.metrics
    await ask(request, _note, "admin")
    turn: asyncio.Lock = request.app.state.copying
    if turn.locked():
        raise ApiError(503, "unavailable", "another copy is being made; try again later", {"Retry-After": "30"})
    async with turn:
        try:
            made = await asyncio.to_thread(_copy, config.db, config.copies or config.db.absolute().parent)
        except BaseException:
            metrics.backups.labels("failed").inc()
            raise
    return _Sent(made, metrics)


def sweep(db: Path, folder: Path | None) -> None:
    """Remove copies that a server did not come to send, because it was killed."""
    for left in (folder or db.absolute().parent).glob(f"{_prefix(db)}*"):
        shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class _Made:
    """A copy that has no name any more: it is gone when it is closed, whatever happens.

    Attributes:
        size: bytes.
        digest: SHA-256.
    """

    file: BinaryIO
    size: int
    digest: bytes


class _Sent(StreamingResponse):
    """A copy on its way; it is closed when that ends, however it ends."""

    def __init__(self, made: _Made, metrics: Metrics) -> None:
        headers = {
            "content-length": str(made.size),
            "content-digest": f"sha-256=:{base64.b64encode(made.digest).decode()}:",
        }
        super().__init__(self._parts(), headers=headers, media_type="application/vnd.sqlite3")
        self._made, self._metrics, self._outcome = made, metrics, "broken"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._made.file.close()
            self._metrics.backups.labels(self._outcome).inc()

    async def _parts(self) -> AsyncIterator[bytes]:
        while part := await asyncio.to_thread(self._made.file.read, PART):
            yield part
        self._outcome = "sent"
        self._metrics.last_backup.set_to_current_time()


def _note(store: Store, caller: Caller) -> None:
    caller.reads.extend((log, "backup") for log in embargoed_logs(store, caller.now))


def _copy(db: Path, folder: Path) -> _Made:
    try:
        return _made(db, folder)
    except OSError as error:
        say("no copy can be made", error=error.strerror)
        said = "copies cannot be written where they are made; try again later"
        raise ApiError(503, "unavailable", said, {"Retry-After": "300"}) from None


def _made(db: Path, folder: Path) -> _Made:
    if shutil.disk_usage(folder).free < disk_bytes(db) + SPARE:
        raise ApiError(503, "unavailable", "there is no room for a copy where copies are made", {"Retry-After": "300"})
    with tempfile.TemporaryDirectory(dir=folder, prefix=_prefix(db)) as temporary:
        part = Path(temporary) / "copy"
        write_copy(db, part)
        file = part.open("rb")
    try:
        digest, size = hashlib.sha256(), 0
        while data := file.read(PART):
            digest.update(data)
            size += len(data)
        file.seek(0)
        return _Made(file, size, digest.digest())
    except BaseException:
        file.close()
        raise


def _prefix(db: Path) -> str:
    return f".{db.name[:100]}.backup-"
