"""Merging databases: all that is worth sharing as JSON lines, out and in again.

The first line is ``{"format": 1, "kind": "headstart"}``; then one record a line; the last line counts them, so that a
file cut short is known. What belongs to releases before their launch is left out (``embargo``). Cost models, jobs and
ledgers stay at home: the first are trained again, the second mean nothing elsewhere, and a ledger is proved by its own
export (``receipt.write_log``). So do accounts, releases, claims and verdicts: a claim travels as the trial it is.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import IO, Any

from targets.digest import canonical_json
from targets.errors import HeadstartError, InputError
from tuning_db.embargo import embargoed
from tuning_db.files import whole_file
from tuning_db.formats import FORMAT, KINDS, read_record, trial_of
from tuning_db.readers import parse
from tuning_db.records import Policy, Toolchain
from tuning_db.rows import decoded, key_of, stored
from tuning_db.store import Store
from tuning_db.trials import COLUMNS, from_row
from tuning_db.words import public_words

MAX_LINE = 64 << 20


def export(store: Store, file: IO[bytes], now: float | None = None) -> dict[str, int]:
    """Write what is public of one state of the database; equal content gives equal bytes, however it was added.

    Args:
        store: the database.
        file: where to.
        now: seconds since 1970, the clock unless said: releases that are launched by then are public.

    Returns:
        The number of records of each kind.

    Raises:
        HeadstartError: a record cannot be read.
    """
    counts = dict.fromkeys(KINDS, 0)
    file.write(_line({"kind": "headstart", "format": FORMAT}))
    with store.snapshot():
        moment = time.time() if now is None else now
        left_out, said = embargoed(store, moment), public_words(store, moment)
        for kind in KINDS:
            hidden = left_out.get(kind, set())
            for row in stored(store, kind):
                if row[key_of(kind)] in hidden:
                    continue
                public = {**row, **said.get(row["id"], {})} if kind == "workload" else row
                try:
                    file.write(_line({"kind": kind, **decoded(store, kind, public)}))
                except ValueError as error:
                    raise HeadstartError(f"cannot export {kind} {row}: {error}; run `headstart db check`") from None
                counts[kind] += 1
    file.write(_line({"kind": "end", "records": sum(counts.values())}))
    return counts


def export_file(store: Store, path: Path) -> dict[str, int]:
    """``export`` to a file that appears whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with whole_file(path) as part, part.open("wb") as file:
        return export(store, file)


def import_into(db: Path, file: IO[bytes], name: str) -> dict[str, int]:
    """``import_lines`` to a database; one that is not there yet appears only when the import succeeds.

    Raises:
        InputError: the database cannot be opened, or the file is refused.
    """
    if db.exists():
        with Store.open(db) as store:
            return import_lines(store, file, name)
    with whole_file(db) as part, Store.open(part) as store:
        return import_lines(store, file, name)


def import_lines(store: Store, file: IO[bytes], name: str) -> dict[str, int]:
    """Add every record of an export, or none; what is there already stays as it is.

    An imported champion is crowned only where its key has none: which of two is faster is for a comparison on one
    machine to say.

    Args:
        store: where to.
        file: the lines.
        name: of the file, for messages.

    Returns:
        The number of records of each kind that were new.

    Raises:
        InputError: a line is not what ``export`` writes, or contradicts what is here; it names the line.
    """
    before = _counts(store)
    number, ended = 0, False
    try:
        with store.transaction():
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise ValueError(f"is longer than {MAX_LINE >> 20} MiB")
                if ended:
                    raise ValueError("comes after the end")
                value = parse(line)
                kind = value.pop("kind", None)
                if number == 1:
                    _header(kind, value)
                elif kind == "end":
                    if value != {"records": number - 2}:
                        raise ValueError(f"there are {number - 2} records before the end, not as many as it says")
                    ended = True
                else:
                    _add(store, kind, read_record(kind, value))
            if not ended:
                raise ValueError("nothing follows, not even the last line of an export; the file was cut short")
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}; nothing was imported") from None
    except (ValueError, sqlite3.IntegrityError) as error:
        why = " ".join(str(error).split())[:500]
        raise InputError(f"{name}, line {number}: {why}; nothing was imported") from None
    return {kind: count - before[kind] for kind, count in _counts(store).items()}


def _line(value: dict[str, Any]) -> bytes:
    return canonical_json(value).encode() + b"\n"


def _header(kind: Any, value: dict[str, Any]) -> None:
    version = value.get("format")
    if kind != "headstart" or type(version) is not int:
        raise ValueError("is not the first line of a Headstart export")
    if version > FORMAT:
        raise ValueError(f"has format {version}, this Headstart reads up to {FORMAT}; upgrade Headstart")
    if value != {"format": FORMAT}:
        raise ValueError(f"is not the first line of an export of format {FORMAT}")


def _counts(store: Store) -> dict[str, int]:
    return {kind: store.value(f"SELECT count(*) FROM {kind}") for kind in KINDS}


def _add(store: Store, kind: str, row: dict[str, Any]) -> None:
    """Add what ``read_record`` read."""
    match kind:
        case "workload":
            store.add_workload(**row)
        case "target":
            store.add_target(**row)
        case "toolchain":
            store.add_toolchain(Toolchain(row["versions"]))
        case "policy":
            store.add_policy(Policy(row["cache"], row["threads"], row["clock"]))
        case "schedule":
            store.add_schedule(**row)
        case "model":
            store.add_model(row["name"], row["source"], row["step"], row["ops"], row["used"])
        case "trial":
            _add_trial(store, row)
        case "champion":
            _add_champion(store, row["trial"])


def _add_trial(store: Store, row: dict[str, Any]) -> None:
    trial = trial_of(row)
    known = store.rows(f"SELECT {', '.join(COLUMNS)} FROM trial WHERE id = ?", (trial.id,))
    if not known:
        store.add_trial(trial)
    elif from_row(known[0]) != trial:
        raise ValueError(f"trial {trial.id} is here already with other content")


def _add_champion(store: Store, id: str) -> None:
    known = store.rows(f"SELECT {', '.join(COLUMNS)} FROM trial WHERE id = ?", (id,))
    if not known:
        raise ValueError(f"champion {id} is no trial of this file or database")
    trial = from_row(known[0])
    here = store.champion(trial.key)
    # What is here stays, unless it was never timed and the other was.
    if here is None or (here.median is None and trial.median is not None):
        store.crown(trial.key, id)
