"""Repositories: signed metadata, read by whoever the release is open to and published by whose it is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from tuning_db.blobs import MAX_BLOB, PART, Blob
from tuning_db.logs import log_of
from tuning_db.published import Address
from tuning_db.readers import optional, record, text
from tuning_db.repositories import ROLES, TARGETS, TIMESTAMP, Kept
from tuning_db.repository.metadata import MAX_METADATA, MAX_ROOT
from tuning_db.repository.paths import named_metadata
from tuning_db.repository.publishing import checked, publish
from tuning_db.service.auth import Caller, act, admit, ask, body, json_body, read_json, service
from tuning_db.service.errors import ApiError, not_found
from tuning_db.service.freshness import Freshness, Need
from tuning_db.service.sending import SENT, is_known, sent_headers
from tuning_db.store import Store

router = APIRouter(prefix="/v1/repositories", tags=["repositories"])

# Who may publish: a publisher its own releases, an operator everything.
MANAGERS = ("publish", "admin")
# Each line of metadata is a text in JSON, whose quotes are escaped there.
MAX_BODY = 2 * (MAX_ROOT + MAX_METADATA)
METADATA = record({"root": optional(text), "targets": optional(text)})
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
PART_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("/{release}/metadata/{file}", response_class=Response, responses=SENT)
async def metadata(request: Request, release: str, file: str) -> Response:
    """Signed metadata of a release's repository: ``timestamp.json``, or a version of another role, ``7.root.json``."""
    named = named_metadata(file)
    _, lanes = service(request)
    freshness: Freshness = request.app.state.freshness

    def question(store: Store, caller: Caller) -> tuple[str, bool, Need, Kept | None]:
        id = readable(store, caller, release)
        if named is None:
            raise not_found()
        need = freshness.need(store, id, caller.now) if named[0] == TIMESTAMP else Need.NONE
        return id, is_public(store, id, caller.now), need, store.metadata(id, *named)

    id, public, need, kept = await ask(request, question)
    if need is not Need.NONE:
        await freshness.see_to(id, need)
        kept = await lanes.read(lambda store: store.metadata(id, TIMESTAMP))
    if kept is None:
        raise not_found()
    headers = sent_headers(kept.digest, public, fixed=kept.role != TIMESTAMP)
    if is_known(request, kept.digest):
        return Response(status_code=304, headers=headers)
    return Response(kept.content.encode(), headers=headers, media_type="application/json")


@router.get("/{release}")
async def state(request: Request, release: str) -> dict[str, Any]:
    """What whoever publishes into a repository works from: roots, targets, bundles, and the service's own key for it.

    Where nothing was published yet, there are no roots.
    """
    config, _ = service(request)
    freshness: Freshness = request.app.state.freshness

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        id = managed(store, caller, release)
        caller.is_shown(store, id, "repository")
        last = {role: kept for role in ROLES if (kept := store.metadata(id, role))}
        return {
            "release": id,
            "online_key": freshness.key(id).public.line if config.repository_key else None,
            "roots": store.roots(id),
            "targets": last[TARGETS].content if TARGETS in last else None,
            "bundles": bundles(store, id),
            "roles": {role: {"version": kept.version, "expires": kept.expires} for role, kept in last.items()},
        }

    return await ask(request, question, *MANAGERS)


@router.post("/{release}/metadata", status_code=201, openapi_extra=json_body(METADATA))
async def published(request: Request, release: str) -> dict[str, Any]:
    """Publish a ``root``, ``targets`` or both, signed by enough of the keys that they must be signed by."""
    await admit(request, *MANAGERS)
    given = read_json(METADATA, await body(request, MAX_BODY))
    freshness: Freshness = request.app.state.freshness
    signed = await ask(
        request,
        lambda store, caller: checked(
            store,
            (id := managed(store, caller, release)),
            given["root"],
            given["targets"],
            freshness.key(id).public,
            caller.now,
        ),
        *MANAGERS,
    )

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        id = managed(store, caller, release)
        versions = publish(store, id, signed, freshness.key(id), caller.now)
        told = {**versions, "files": len(signed.files)}
        log = log_of(store, id, caller.known.id, caller.now)
        store.append(log, caller.known.name, "publish", {"release": id, **told}, caller.now)
        return {"release": id, **told}

    told = await act(request, deed, *MANAGERS)
    freshness.forget(told["release"])
    return told


@router.get("/{release}/blobs/{digest}")
async def sent(request: Request, release: str, digest: Digest) -> dict[str, Any]:
    """How much of a file is here that is to be published: whether it is ``whole``, and the parts ``missing``."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        id = managed(store, caller, release)
        blob = store.blob(id, digest)
        if blob is None:
            raise not_found()
        caller.is_shown(store, id, "repository")
        return told_of(store, id, blob)

    return await ask(request, question, *MANAGERS)


@router.put("/{release}/blobs/{digest}/{number}", openapi_extra=PART_BODY)
async def part(
    request: Request,
    release: str,
    digest: Digest,
    number: Annotated[int, Path(ge=0, lt=2**31)],
    length: Annotated[int, Query(ge=0, le=MAX_BLOB)],
) -> dict[str, Any]:
    """Send a part of a file, named by its SHA-256, that has ``length`` bytes in all; each part but the last is 1 MiB.

    When the last one is here, all of them are read again, and the file is whole, or refused and forgotten.
    """
    await admit(request, *MANAGERS)
    content = await body(request, PART)
    config, lanes = service(request)
    of = Blob(digest, length, False)

    def deed(store: Store, caller: Caller) -> tuple[str, Blob, list[int]]:
        id = managed(store, caller, release)
        most = store.quota(caller.known.id, config.quota).uploads
        store.add_part(id, of, number, content, caller.known.id, most, caller.now)
        blob = store.blob(id, digest)
        assert blob is not None
        return id, blob, [] if blob.whole else store.missing_parts(id, blob)

    id, blob, missing = await act(request, deed, *MANAGERS)
    if not blob.whole and not missing:
        good = await lanes.read(lambda store: store.is_what_it_says(id, blob))
        await lanes.write(lambda store: store.finish_blob(id, blob, good))
        if not good:
            raise ApiError(422, "refused", f"what was sent does not have the SHA-256 {digest}; it is forgotten")
        blob = Blob(digest, blob.length, True)
    return {"length": blob.length, "whole": blob.whole, "missing": missing}


def readable(store: Store, caller: Caller, name: str) -> str:
    """The id of a release whose repository whoever asks may read; before its launch that is noted.

    Raises:
        ApiError: 404 where there is none.
    """
    id = store.repository(caller.viewer, name)
    if id is None:
        raise not_found()
    caller.is_shown(store, id, "repository")
    return id


def managed(store: Store, caller: Caller, name: str) -> str:
    """The id of a release into whose repository whoever asks may publish.

    Raises:
        ApiError: 404 where there is none.
    """
    id = store.managed_repository(caller.known.id, name, "admin" in caller.known.scopes)
    if id is None:
        raise not_found()
    return id


def is_public(store: Store, release: str, now: float) -> bool:
    """Whether a release, by its id, is launched: what is sent of it may then lie in any cache."""
    return store.value("SELECT 1 FROM release WHERE id = ? AND launch <= ?", (release, now)) is not None


def bundles(store: Store, release: str) -> dict[str, str]:
    """What says which files each bundle of a repository has, as text by path."""
    found = {}
    for path, (digest, _) in store.targets_of(release, TARGETS).items():
        if Address.parse(path) is not None and (blob := store.blob(release, digest)):
            found[path] = b"".join(store.read_blob(release, blob)).decode()
    return found


def told_of(store: Store, release: str, blob: Blob) -> dict[str, Any]:
    """A file that is being sent, as JSON."""
    missing = [] if blob.whole else store.missing_parts(release, blob)
    return {"length": blob.length, "whole": blob.whole, "missing": missing}
