"""Releases: what is open to whoever asks, and what their publishers say of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from targets.digest import digest
from targets.errors import InputError
from tuning_db.readers import between, count, entries, flag, mapping, name, optional, record, text
from tuning_db.releases import Release, Rules
from tuning_db.screening import catalogue_by_fingerprint
from tuning_db.service.auth import Caller, act, admit, ask, body, json_body, read_json
from tuning_db.service.errors import not_found
from tuning_db.store import Store
from tuning_db.windows import Viewer

router = APIRouter(prefix="/v1/releases", tags=["releases"])

MAX_RELEASE, MAX_INVITATION = 8 << 20, 4096
MOMENT = between(0, 253402300799)
RULES = record({}, {"sealed": flag, "withdraw_s": optional(MOMENT), "object_s": optional(MOMENT)})
OP = record({"name": text, "operator": text, "params": mapping, "calls": count, "workload": optional(text)})
WORKLOAD = record(
    {"operator": text, "label": text, "params": mapping, "canonical": text, "flops": count, "bytes": count}
)
RELEASE = record(
    {
        "name": name,
        "launch": MOMENT,
        "models": entries(record({"name": text, "source": text, "step": mapping, "ops": entries(OP, 1000)}), 20, 1),
        "workloads": entries(WORKLOAD, 1000),
    },
    {"rules": RULES},
)
INVITATION = record({"account": text, "opens": MOMENT}, {"target": text})


@router.get("")
async def listed(request: Request) -> dict[str, Any]:
    """The releases that are open to whoever asks, the next launch first."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        found = store.releases(caller.viewer)
        for release in found:
            caller.is_shown(store, release.id, "releases")
        return {"releases": [shown(store, release) for release in found]}

    return await ask(request, question)


@router.get("/{id}")
async def one(request: Request, id: str) -> dict[str, Any]:
    """A release by id or name, with its models and the workloads in them."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        release = found(store, caller.viewer, id)
        caller.is_shown(store, release.id, "release")
        models, workloads = store.models_of(caller.viewer, release.id), store.workloads_of(caller.viewer, release.id)
        return {**shown(store, release), "models": models, "workloads": workloads}

    return await ask(request, question)


@router.get("/{id}/standings")
async def standings(request: Request, id: str) -> dict[str, Any]:
    """Each vendor's leading claim for each key, best first, of those that whoever asks may know of.

    Beside them are the claims that one referee refuses and another upholds: these do not stand.
    """

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        release = found(store, caller.viewer, id)
        caller.is_shown(store, release.id, "standings")
        rows = {
            "standings": store.standings(caller.viewer, release.id),
            "disputed": store.disputed_claims(caller.viewer, release.id),
        }
        vendors = {row["vendor"] for listed in rows.values() for row in listed}
        names = {id: store.account(id).name for id in vendors}
        return {name: [{**row, "vendor": names[row["vendor"]]} for row in listed] for name, listed in rows.items()}

    return await ask(request, question)


@router.post("", status_code=201, openapi_extra=json_body(RELEASE))
async def create(request: Request) -> dict[str, Any]:
    """Make a release: ``name``, ``launch``, ``models``, ``workloads`` and perhaps ``rules``."""
    await admit(request, "publish")
    given = read_json(RELEASE, await body(request, MAX_RELEASE))

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        ids = {digest("w", one["canonical"]) for one in given["workloads"]}
        for op in (op for model in given["models"] for op in model["ops"]):
            # One that is in the database for another reason is named by nobody who does not know its text.
            if op["workload"] is not None and op["workload"] not in ids:
                raise InputError(f"operator {op['name']}: workload {op['workload']} is not among the workloads")
        rules = Rules(**given.get("rules", {}))
        release = store.add_release(
            given["name"], caller.known, given["launch"], rules, given["models"], caller.now, given["workloads"]
        )
        told = {"name": release.name, "launch": release.launch, "rules": vars(rules)}
        store.append(release.id, caller.known.name, "create", told, caller.now)
        return shown(store, release)

    return await act(request, deed, "publish")


@router.post("/{id}/invitations", status_code=201, openapi_extra=json_body(INVITATION))
async def invite(request: Request, id: str) -> dict[str, Any]:
    """Open a release for an ``account`` when the time ``opens`` comes, perhaps for one ``target`` only."""
    await admit(request, "publish")
    given = read_json(INVITATION, await body(request, MAX_INVITATION))

    def deed(store: Store, caller: Caller) -> dict[str, Any]:
        release = found(store, caller.viewer, id)
        if release.publisher != caller.known.id:
            raise not_found()
        invited, target = store.account(given["account"]), given.get("target", "")
        if target:
            _require_target(store, target, caller.now)
        store.invite(release, invited, given["opens"], target)
        told = {"account": invited.name, "opens": given["opens"], "target": target}
        store.append(release.id, caller.known.name, "invite", told, caller.now)
        return told

    return await act(request, deed, "publish")


@router.get("/{id}/openings")
async def openings(request: Request, id: str) -> dict[str, Any]:
    """Who is invited from when on: ``name``, ``role``, ``target`` (empty for all) and ``opens``; its publisher asks."""

    def question(store: Store, caller: Caller) -> dict[str, Any]:
        release = found(store, caller.viewer, id)
        if release.publisher != caller.known.id:
            raise not_found()
        caller.is_shown(store, release.id, "openings")
        return {"openings": store.openings(caller.viewer, release.id)}

    return await ask(request, question, "publish")


def found(store: Store, viewer: Viewer, id: str) -> Release:
    """A release that is open to the viewer, by id or name.

    Raises:
        ApiError: 404 where there is none.
    """
    release = store.release(viewer, id)
    if release is None:
        raise not_found()
    return release


def shown(store: Store, release: Release) -> dict[str, Any]:
    """A release as JSON."""
    return {**vars(release), "publisher": store.account(release.publisher).name, "rules": vars(release.rules)}


def _require_target(store: Store, target: str, now: float) -> None:
    """See that a chip is in the catalogue or known to everybody: which ones rivals secretly use is not to be found out.

    Raises:
        InputError: it is not.
    """
    if chip := catalogue_by_fingerprint().get(target):
        store.add_target(chip.fingerprint, chip.name, chip.vendor, chip.spec())
        return
    if not store.knows_target(target, now):
        raise InputError(f"no target {target}")
