"""Files of repositories, sent part by part from the database, so that none is ever held whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from targets.errors import HeadstartError
from tuning_db.blobs import PART, Blob
from tuning_db.repository.paths import unhashed
from tuning_db.service.auth import Caller, ask, service
from tuning_db.service.errors import not_found
from tuning_db.service.lanes import Lanes
from tuning_db.service.repositories import is_public, readable
from tuning_db.service.sending import SENT_IN_PART, is_known, sent_headers, wanted_range
from tuning_db.store import Store

router = APIRouter(prefix="/v1/repositories", tags=["repositories"])


@router.get("/{release}/targets/{path:path}", response_class=Response, responses=SENT_IN_PART)
async def file(request: Request, release: str, path: str) -> Response:
    """A file that metadata of a release's repository names: its path with its SHA-256 and a dot before its name.

    ``Range`` asks for the rest of one that was begun, with ``If-Range`` for the rest of that very one.
    """
    named = unhashed(path)

    def question(store: Store, caller: Caller) -> tuple[str, bool, Blob]:
        id = readable(store, caller, release)
        blob = store.repository_file(id, *named) if named else None
        if blob is None:
            raise not_found()
        return id, is_public(store, id, caller.now), blob

    id, public, blob = await ask(request, question)
    headers = {**sent_headers(blob.digest, public, fixed=True), "accept-ranges": "bytes"}
    if is_known(request, blob.digest):
        return Response(status_code=304, headers=headers)
    wanted = wanted_range(request, blob.digest, blob.length)
    begin, end = wanted or (0, blob.length)
    headers["content-length"] = str(end - begin)
    if wanted:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{blob.length}"
    _, lanes = service(request)
    return StreamingResponse(
        _parts(lanes, id, blob, begin, end),
        status_code=206 if wanted else 200,
        headers=headers,
        media_type="application/octet-stream",
    )


async def _parts(lanes: Lanes, release: str, blob: Blob, begin: int, end: int) -> AsyncIterator[bytes]:
    """Bytes of a file from one to another. Each part is read by itself: nobody who reads slowly holds anything up."""
    for number in range(begin // PART, -(-end // PART)):
        part = await lanes.read(partial(Store.blob_part, release=release, digest=blob.digest, number=number))
        if part is None:
            # It was forgotten meanwhile. What was announced does not come, so that nobody takes it for whole.
            raise HeadstartError("a part of a file is not there any more")
        start = number * PART
        yield part[max(0, begin - start) : end - start]
