"""Exports merge; imports believe nothing."""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tuning_db.exchange
import tuning_db.files
from schedules.schedule import Schedule
from targets.digest import canonical_json, digest
from targets.errors import InputError
from tests.tuning_db.example import TARGET, add, fill, populate, schedule
from tests.tuning_db.race import EARLY, LATE, LAUNCH, hold
from tuning_db.check import check
from tuning_db.claim import Outcome
from tuning_db.exchange import export, export_file, import_lines
from tuning_db.records import Key, Policy, Toolchain
from tuning_db.store import Store
from tuning_db.windows import PUBLIC

Record = dict[str, Any]


def exported(store: Store, now: float | None = None) -> bytes:
    file = io.BytesIO()
    export(store, file, now)
    return file.getvalue()


def take(store: Store, data: bytes) -> dict[str, int]:
    return import_lines(store, io.BytesIO(data), "them.jsonl")


def records(data: bytes) -> list[Record]:
    """The records between the first and the last line."""
    return [json.loads(line) for line in data.splitlines()[1:-1]]


def lines(given: list[Record]) -> bytes:
    """An export of these records."""
    whole = [{"kind": "headstart", "format": 1}, *given, {"kind": "end", "records": len(given)}]
    return b"".join(json.dumps(one).encode() + b"\n" for one in whole)


def test_there_and_back_is_the_same(full: Store, tmp_path: Path) -> None:
    data = exported(full)
    with Store.open(tmp_path / "other.db") as other:
        counts = take(other, data)
        assert counts["trial"] == 4
        assert counts["champion"] == 2
        assert exported(other) == data
        assert check(other) == []
        assert other.champions() == full.champions()
        assert other.model("tiny") == full.model("tiny")
        assert sum(take(other, data).values()) == 0
        assert exported(other) == data


def test_releases_before_their_launch_stay_at_home(full: Store, tmp_path: Path) -> None:
    """An export is, to the byte, what it would be without the release: until the second of its launch."""
    race = hold(full)
    # A claim for the public is; it brings the schedule that a hidden claim has as well.
    race.submit(race.late, 1e-3, LATE, race.shared, knob=5, release=PUBLIC)
    before = exported(full, LAUNCH - 1)
    assert b"secret" not in before
    chip = replace(TARGET, cores=64)
    full.add_target(chip.fingerprint, "unheard of", "nobody", chip.spec())
    full.invite(race.release, race.early, EARLY, chip.fingerprint)
    assert exported(full, LAUNCH - 1) == before
    newer, colder = Toolchain({"tvm": "unheard of"}), Policy("cold", 63)
    full.add_toolchain(newer)
    full.add_policy(colder)
    there = Key(race.key.workload, chip.fingerprint, newer.id, colder.id)
    hidden = [
        race.submit(race.early, 1e-3, LATE, there, knob=901),
        race.submit(race.early, None, LATE, race.key, knob=902),
        race.submit(race.late, 1e-3, LATE, race.shared, knob=903),
        race.submit(race.late, 1e-4, LATE, race.shared, knob=5),
    ]
    # Nor trials that are no claims, of workloads that nobody knows, and their champions.
    hidden.append(add(full, race.keys[1], 904, crown=True).id)
    race.say(race.referee, hidden[0], Outcome.REPRODUCED)
    assert exported(full, LAUNCH - 1) == before
    with Store.open(tmp_path / "other.db") as other:
        take(other, before)
        assert check(other) == []
    after = exported(full, LAUNCH)
    for text in (
        *hidden,
        "secret 1",
        '"secret"',
        chip.fingerprint,
        newer.id,
        colder.id,
        *map(schedule_id, range(901, 905)),
    ):
        assert text.encode() not in before
        assert text.encode() in after
    with Store.open(tmp_path / "launched.db") as other:
        take(other, after)
        assert check(other) == []
        assert exported(other) == after


def test_a_trial_of_everybody_keeps_what_it_names_public(full: Store) -> None:
    race = hold(full)
    plan = schedule(7)
    race.submit(race.late, 1e-3, LATE, race.shared, knob=7)
    assert plan.id.encode() not in exported(full, LATE)
    add(full, race.shared, 7)
    assert plan.id.encode() in exported(full, LATE)


def schedule_id(knob: int) -> str:
    return schedule(knob).id


def test_merging_in_any_order_gives_the_same_trials(tmp_path: Path) -> None:
    data = []
    for n in range(3):
        with Store.open(tmp_path / f"{n}.db") as store:
            key = fill(store)[0]
            add(store, key, n, 1e-3 * (n + 1))
            data.append(exported(store))
    merged = []
    for order in ((0, 1, 2), (2, 0, 1)):
        with Store.open(tmp_path / f"{order}.db") as store:
            for n in order:
                take(store, data[n])
            merged.append(exported(store))
    assert merged[0] == merged[1]


def test_a_champion_here_is_never_dethroned(full: Store, tmp_path: Path) -> None:
    with Store.open(tmp_path / "mine.db") as mine:
        mine_key, theirs_key = fill(mine, 2)
        king = add(mine, mine_key, 1, 1.0, crown=True)
        counts = take(mine, exported(full))
        assert mine.champion(mine_key) == king
        assert counts["champion"] == 1
        assert mine.champion(theirs_key) == full.champion(theirs_key)


def test_an_export_to_a_file_appears_whole(full: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.jsonl"
    export_file(full, path)
    assert path.read_bytes() == exported(full)
    path.write_text("older")
    monkeypatch.setattr(tuning_db.files.os, "replace", _no_space)
    with pytest.raises(InputError, match="No space left"):
        export_file(full, path)
    assert path.read_text() == "older"
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="cannot write"):
        export_file(full, tmp_path / "no" / "x.jsonl")


def _no_space(*paths: object) -> None:
    raise OSError(28, "No space left on device")


def refused(store: Store, data: bytes) -> str:
    """Import what must be refused, in one line and without a trace, and return what was said."""
    before = list(store.connection.iterdump())
    with pytest.raises(InputError) as failure:
        take(store, data)
    assert list(store.connection.iterdump()) == before
    assert not store.connection.in_transaction
    said = str(failure.value)
    assert said.startswith("them.jsonl, line ")
    assert "\n" not in said
    return said


HEADER = b'{"kind":"headstart","format":1}\n'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "line 0: nothing follows"),
        (b"\n", "line 1: is not JSON"),
        (HEADER, "line 1: nothing follows"),
        (b'{"kind":"end","records":0}\n', "not the first line"),
        (b'{"kind":"headstart"}\n', "not the first line"),
        (b'{"kind":"headstart","format":"1"}\n', "not the first line"),
        (b'{"kind":"headstart","format":0}\n', "not the first line"),
        (b'{"kind":"headstart","format":1,"more":1}\n', "not the first line"),
        (b'{"kind":"headstart","format":2}\n', "has format 2, this Headstart reads up to 1; upgrade"),
        (HEADER + b'{"kind":"end","records":1}\n', "0 records before the end"),
        (HEADER + b'{"kind":"end","records":0}\n' + HEADER, "line 3: comes after the end"),
        (HEADER + b'{"kind":"spell"}\n', "unknown kind 'spell'"),
        (HEADER + b'{"kind":["trial"]}\n', "unknown kind"),
        (HEADER + b"{}\n", "unknown kind 'None'"),
        (HEADER + b"[]\n", "not a JSON object"),
        (HEADER + b"{'kind': 1}\n", "not JSON"),
        (HEADER + b'{"kind":"champion","trial":NaN}\n', "NaN"),
        (HEADER + b'{"kind":"champion","kind":"champion"}\n', "names a field twice"),
        (HEADER + b'{"kind":"champion","trial":"\xff"}\n', "not UTF-8"),
        (HEADER + b'{"a":' * 100_000 + b"\n", "nested too deeply"),
        (HEADER + b"[" * 100_000 + b"\n", "nested too deeply"),
        (HEADER + b'{"kind":"champion","trial":' + b"9" * 10_000 + b"}\n", "line 2"),
        (HEADER + b'{"kind":"champion","trial":"t%028d"}\n' % 0, "no trial of this file or database"),
    ],
)
def test_files_that_are_no_export(full: Store, data: bytes, why: str) -> None:
    assert why in refused(full, data)


def test_a_file_cut_short_anywhere(full: Store, tmp_path: Path) -> None:
    data = exported(full)
    with Store.open(tmp_path / "other.db") as other:
        for at in range(0, len(data) - 1, 97):
            refused(other, data[:at])


def test_a_line_without_end(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_db.exchange, "MAX_LINE", 1 << 20)
    assert "longer than 1 MiB" in refused(full, HEADER + b" " * (2 << 20))


def changed(kind: str, **fields: Any) -> Callable[[list[Record]], None]:
    def change(given: list[Record]) -> None:
        # Trials made within a millisecond come in any order: take one that was timed.
        one = next(one for one in given if one["kind"] == kind and one.get("samples", True))
        one.update(fields)

    return change


def rehashed_schedule(**fields: Any) -> Callable[[list[Record]], None]:
    """A schedule line that is right by its hash, whatever it holds."""

    def change(given: list[Record]) -> None:
        one = {"space": "s", "version": 1, "config": {}, **fields}
        text = canonical_json({name: one[name] for name in ("space", "version", "config")})
        given.insert(0, {"kind": "schedule", "id": digest("s", text), **one})

    return change


HOSTILE: dict[str, tuple[Callable[[list[Record]], None], str]] = {
    "schedule under another id": (changed("schedule", config={"knob": 99}), "hashes to"),
    "workload under another id": (changed("workload", canonical="other"), "hashes to"),
    "chip under another fingerprint": (changed("target", fingerprint="c0"), "hashes to"),
    "chip without fields": (changed("target", spec={}), "cannot be computed"),
    "chip of wrong types": (changed("target", spec={"tvm": 5, "cores": {}, "features": 7}), "cannot be computed"),
    "toolchain": (changed("toolchain", versions={"tvm": 27}), "versions: must be text"),
    "policy": (changed("policy", threads=-1), "threads: must be a whole number"),
    "boolean for number": (changed("policy", threads=True), "threads: must be a whole number"),
    "model": (changed("model", name="other"), "hashes to"),
    "model with wrong operator": (changed("model", ops=[{}]), "ops: must have the fields"),
    "too large": (changed("workload", flops=2**63), "flops: must be a whole number"),
    "float for number": (changed("workload", flops=1.0), "flops: must be a whole number"),
    "NUL": (changed("workload", label="a\0b"), "label: holds a character"),
    "half a character": (changed("workload", label="\ud83d"), "label: holds a character"),
    "null": (changed("workload", label=None), "label: must be text"),
    "params": (changed("workload", params=[]), "params: must be an object"),
    "extra field": (changed("trial", seq=1), "missing or too many: seq"),
    "status": (changed("trial", status="splendid"), "status: must be one of ok"),
    "status of wrong type": (changed("trial", status=[]), "status: must be one of ok"),
    "trial id": (changed("trial", id="t1"), "id: must be t and 28"),
    "trial id with newline": (changed("trial", id="t" + "0" * 28 + "\n"), "id: must be t and 28"),
    "median": (changed("trial", median=1e-12), "is not that of the samples"),
    "huge median": (changed("trial", median=1e308), "median: must be a finite number"),
    "huge number": (changed("trial", median=10**400), "median: must be a finite number"),
    "negative sample": (changed("trial", samples=[-1.0]), "not a positive duration"),
    "text sample": (changed("trial", samples=["1"]), "samples: must be a finite number"),
    "crowned failure": (changed("trial", status="timeout", error="", samples=[]), "without a reason"),
    "other trial": (changed("trial", machine="elsewhere"), "here already with other content"),
    "workload that is not there": (changed("trial", id="t" + "0" * 28, workload="w0"), "FOREIGN KEY"),
    "config with infinity": (rehashed_schedule(config={"a": 1}, version=1.5), "version: must be a whole number"),
    "schedule of odd name": (rehashed_schedule(space="\0"), "space: holds a character"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_records_are_refused_whole(full: Store, name: str) -> None:
    change, why = HOSTILE[name]
    given = records(exported(full))
    given.insert(0, {"kind": "workload", "id": digest("w", "new"), "canonical": "new", **NEW})
    change(given)
    assert why in refused(full, lines(given))


NEW = {"operator": "new", "label": "new", "params": {}, "flops": 1, "bytes": 1}


def test_infinity_spelled_as_a_number(full: Store) -> None:
    data = exported(full).replace(b'"knob":1', b'"knob":1e999')
    assert "line " in refused(full, data)


def test_a_failure_cannot_be_crowned(full: Store) -> None:
    given = records(exported(full))
    failed = next(one for one in given if one["kind"] == "trial" and one["status"] != "ok")
    failed |= {"id": "t" + "0" * 28, "policy": given[0]["id"]}
    given = [one for one in given if one["kind"] != "champion"]
    failed["policy"] = next(one["id"] for one in given if one["kind"] == "policy")
    unseen = {"kind": "workload", "id": digest("w", "new"), "canonical": "new", **NEW}
    failed["workload"] = unseen["id"]
    given = [unseen, *given, {"kind": "champion", "trial": failed["id"]}]
    assert "a champion is an ok trial" in refused(full, lines(given))


def test_any_json_in_a_schedule_survives(store: Store) -> None:
    config = {"a": [None, True, 1e-300, -0.0, 10**30, "\ud83d", "\0", {"": []}], "\u2028": "\U0001f600"}
    plan = Schedule("s", 1, config)
    line = {"kind": "schedule", "id": plan.id, **plan.to_json()}
    take(store, lines([line]))
    assert store.schedule(plan.id) == tuple(plan.to_json().values())
    assert check(store) == []
    assert records(exported(store)) == [line]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store that nothing hostile may change, so that examples can share it."""
    with Store.open(tmp_path_factory.mktemp("shared") / "x.db") as opened:
        populate(opened)
        yield opened


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_anywhere_is_taken_or_refused(shared: Store, data: st.DataObject) -> None:
    """One value of an export is replaced, at any depth; either all of it is taken, and is right, or nothing."""
    original = records(exported(shared))
    given_ = copy.deepcopy(original)
    at: Any = given_
    while True:
        place = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not (isinstance(at[place], dict | list) and at[place] and data.draw(st.booleans())):
            break
        at = at[place]
    at[place] = data.draw(JSON)
    before = list(shared.connection.iterdump())
    try:
        take(shared, lines(given_))
    except InputError as error:
        assert "\n" not in str(error)
        assert list(shared.connection.iterdump()) == before
    else:
        assert check(shared) == []
    assert not shared.connection.in_transaction


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), junk=st.binary(max_size=6), cut=st.booleans())
def test_any_bytes_are_taken_or_refused(shared: Store, seed: int, junk: bytes, cut: bool) -> None:
    whole = exported(shared)
    lucky = random.Random(seed)
    start = lucky.randrange(len(whole))
    end = lucky.randrange(start, len(whole)) if cut else start + len(junk)
    before = list(shared.connection.iterdump())
    try:
        take(shared, whole[:start] + junk + whole[end:])
    except InputError as error:
        assert "\n" not in str(error)
        assert list(shared.connection.iterdump()) == before
    else:
        assert check(shared) == []
