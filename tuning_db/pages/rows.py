"""What happened in a release, claim by claim, of all that a viewer may know.

Each query has the predicates of ``windows`` in it. Of a rival's claim in an open race there are time and tier, and
neither ids nor what referees said.
"""

from __future__ import annotations

import json
from typing import Any

from targets import Target
from tuning_db.screening import catalogue_by_fingerprint
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer, open_release, visible_claim, visible_time


def claims_of(store: Store, viewer: Viewer, release: str, workload: str, most: int) -> list[dict[str, Any]]:
    """The latest ``most`` claims for a workload in a release, both by id, newest first.

    Returns:
        Rows of ``vendor`` (name), ``fingerprint``, ``cache``, ``threads``, ``toolchain`` and ``policy`` (ids),
        ``received``, ``tier``, ``state``, ``median`` and ``spread`` (seconds); ``whole`` says whether the viewer
        may see all of the claim, and only then ``trial``, ``schedule``, ``batch`` and ``reason`` are not empty.
    """
    whole = visible_claim("c", "r")
    rows = store.rows(
        "SELECT a.name AS vendor, c.target AS fingerprint, p.cache, p.threads, c.toolchain, c.policy,"
        " c.received, c.tier, c.state, t.median, t.spread, w.whole,"
        " iif(w.whole, c.trial, '') AS trial, iif(w.whole, t.schedule, '') AS schedule,"
        " iif(w.whole, c.batch, '') AS batch, iif(w.whole, c.reason, '') AS reason"
        f" FROM (SELECT c.trial, {whole} AS whole FROM claim c JOIN release r ON r.id = c.release"
        f" WHERE c.release = :release AND c.workload = :workload AND {open_release('r')}"
        f" AND ({whole} OR (c.state = 'standing' AND {visible_time('c', 'r')}))) w"
        " JOIN claim c ON c.trial = w.trial JOIN trial t ON t.id = c.trial JOIN account a ON a.id = c.vendor"
        " JOIN policy p ON p.id = c.policy"
        " WHERE t.median IS NOT NULL ORDER BY c.received DESC, t.seq DESC LIMIT :most",
        {**viewer.values, "release": release, "workload": workload, "most": most},
    )
    return [{**row, "whole": bool(row["whole"])} for row in rows]


def ops_of(store: Store, viewer: Viewer, release: str) -> list[dict[str, Any]]:
    """The operators with a workload in the models of a release, as its publisher described them; none where not open.

    Returns:
        Rows of ``model`` (id), ``model_name``, ``step``, ``name``, ``calls``, ``workload``, ``operator``, ``label``,
        ``params``, ``flops`` and ``bytes``.
    """
    rows = store.rows(
        "SELECT m.id AS model, m.name AS model_name, m.step, p.name, p.calls, p.workload, s.operator, s.label,"
        " s.params, s.flops, s.bytes FROM release r JOIN release_model rm ON rm.release = r.id"
        " JOIN model m ON m.id = rm.model JOIN model_op p ON p.model = m.id"
        " JOIN release_workload s ON s.release = r.id AND s.workload = p.workload"
        f" WHERE r.id = :release AND {open_release('r')} ORDER BY m.name, m.id, p.position",
        {**viewer.values, "release": release},
    )
    return [{**row, "params": json.loads(row["params"]), "step": json.loads(row["step"])} for row in rows]


def chips_of(store: Store, viewer: Viewer, release: str) -> dict[str, Target]:
    """Chips by fingerprint: those of the catalogue, and others as they were first declared in a release, by its id."""
    declared = {fingerprint: said[0] for fingerprint, said in store.declared(viewer, release).items()}
    return {**declared, **catalogue_by_fingerprint()}


def own_openings(store: Store, viewer: Viewer, release: str) -> list[dict[str, Any]]:
    """Windows of a release that are open to the viewer by an invitation: ``target`` (or empty for all), ``opens``.

    Those that will open later are not there yet.
    """
    return store.rows(
        "SELECT o.target, o.opens FROM opening o"
        " WHERE o.release = :release AND o.account = :account AND o.opens <= :now ORDER BY o.opens, o.target",
        {**viewer.values, "release": release},
    )


def leads_of(store: Store, viewer: Viewer, release: str, vendor: str) -> list[dict[str, Any]]:
    """A vendor's leading claims in a release, both by id, of those whose times the viewer may know.

    Returns:
        Rows of ``workload``, ``target`` (fingerprint), ``tier``, ``median`` (seconds), ``received``, ``first`` (whether
        it leads of all vendors, None where the viewer may not know that of others) and ``whole`` as in ``claims_of``.
    """
    whole = visible_claim("c", "r")
    return store.rows(
        f"SELECT l.workload, l.target, c.tier, t.median, c.received, {whole} AS whole,"
        f" CASE WHEN r.launch <= :now THEN EXISTS (SELECT 1 FROM lead b WHERE b.workload = l.workload"
        " AND b.target = l.target AND b.toolchain = l.toolchain AND b.policy = l.policy AND b.release = l.release"
        " AND b.vendor = '' AND b.trial = l.trial) END AS first FROM lead l JOIN release r ON r.id = l.release"
        " JOIN claim c ON c.trial = l.trial JOIN trial t ON t.id = l.trial"
        " WHERE l.release = :release AND l.vendor = :vendor AND l.vendor <> ''"
        f" AND {open_release('r')} AND {visible_time('c', 'r')} ORDER BY l.target, l.workload",
        {**viewer.values, "release": release, "vendor": vendor},
    )


def signing_keys(store: Store, viewer: Viewer, release: str, vendor: str) -> set[str]:
    """Ids of the keys that signed a vendor's leading claims in a release, of those that the viewer may see whole."""
    rows = store.rows(
        "SELECT DISTINCT s.key FROM lead l JOIN release r ON r.id = l.release JOIN claim c ON c.trial = l.trial"
        " JOIN submission s ON s.batch = c.batch"
        f" WHERE l.release = :release AND l.vendor = :vendor AND {visible_claim('c', 'r')}",
        {**viewer.values, "release": release, "vendor": vendor},
    )
    return {row["key"] for row in rows}


def open_logs(store: Store, viewer: Viewer) -> list[dict[str, Any]]:
    """The logs that are open to the viewer, in the way of ``logs.open_log``: ``log``, ``size``, ``release`` (a name).

    ``owner`` is the name of the account that a log is of; empty for a publisher's and for ``public``.
    """
    rows = store.rows(
        "SELECT l.log, l.size, r.name AS release, coalesce(a.name, '') AS owner FROM release r JOIN ledger l"
        " ON l.log = r.id OR (l.log >= r.id || '.' AND l.log < r.id || '/')"
        " LEFT JOIN account a ON l.log = r.id || '.' || a.id"
        f" WHERE r.id <> '{PUBLIC}' AND l.size > 0 AND (r.launch <= :now"
        " OR (l.log = r.id AND r.publisher = :account)"
        f" OR (l.log = r.id || '.' || :account AND {open_release('r')}))"
        " ORDER BY r.launch DESC, r.id, l.log",
        viewer.values,
    )
    return [{"log": PUBLIC, "size": store.size(PUBLIC), "release": "", "owner": ""}, *rows]
