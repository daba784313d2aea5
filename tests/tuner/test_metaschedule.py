"""Schedules to and from MetaSchedule: TVM alone applies what was written; what it wrote is read, checked and tried."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.operator import make_operator
from schedules.schedule import Schedule
from schedules.space import spaces_for
from schedules.trace import check_trace
from schedules.workload import Workload
from targets import resolve
from targets.errors import HeadstartError, InputError
from tests.cli.session import folder, run
from tests.tuner.stock_database import program
from tuner.frontend.stored import store_workload
from tuner.metaschedule.lines import (
    MAX_LINE,
    RECORDS,
    WORKLOADS,
    Known,
    allowed,
    read_program,
    read_record,
    schedule_of,
)
from tuner.metaschedule.reading import read
from tuner.metaschedule.writing import write
from tuner.tasks import register
from tuning_db.records import Key, Policy, Status, Trial
from tuning_db.releases import Rules
from tuning_db.store import Store

HERE = Path(__file__).parent
CHIP = resolve("host")


def alone(script: str, *words: str) -> str:
    """Run a script that has TVM and none of Headstart."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(HERE / script), *words]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd="/")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that MetaSchedule made."""
    made = tmp_path_factory.mktemp("stock") / "work"
    made.mkdir()
    alone("stock_database.py", str(made))
    return made


@pytest.fixture(scope="module")
def known(stock: Path) -> Known:
    return read_program((stock / WORKLOADS).read_bytes())


@pytest.fixture(scope="module")
def records(stock: Path) -> list[Any]:
    return [json.loads(line) for line in (stock / RECORDS).read_text().splitlines()]


def line(value: Any) -> bytes:
    return json.dumps(value).encode()


def saved(path: Path, func: Any, arrays: list[np.ndarray]) -> list[Any]:
    """A program, or the id of a workload, and its arrays as ``plain_tvm.py`` takes them."""
    import tvm

    files = [path / f"{at}.npy" for at in range(len(arrays))]
    path.mkdir()
    for file, array in zip(files, arrays, strict=True):
        np.save(file, array)
    return [func if isinstance(func, str) else tvm.ir.save_json(func), [str(file) for file in files]]


def test_there_and_back(stock: Path, records: list[Any], tmp_path: Path) -> None:
    """What MetaSchedule wrote is tried here, the best of it written again, and applied by TVM to the first program."""
    with folder(tmp_path):
        taken = run("metaschedule", "import", str(stock), "--name", "theirs", "--json")
        assert taken.code == 0, taken
        assert (taken.json["refused"], taken.json["failures"]) == ([], {})
        (row,) = taken.json["workloads"]
        assert row["trials"] == len(records) + 1 and row["champion_s"] and row["default_s"]
        assert row["label"] == "main 16x64 64x32 16x32"
        with Store.open("headstart.db") as store:
            trials = list(store.trials(row["workload"]))
            assert {trial.status for trial in trials} == {Status.OK}
            # Its word on times is no trial.
            assert not {trial.median for trial in trials} & {number * 1e-3 for number in range(1, 9)}
            assert [op["calls"] for op in store.model("theirs")["ops"]] == [1]
        add_champion(Path("headstart.db"), "rmsnorm", {"tokens": 4, "dim": 64, "dtype": "float32"}, "reduction")
        add_champion(Path("headstart.db"), "linear", {"m": 4, "n": 32, "k": 64}, "panels")
        written = run("metaschedule", "export", "out")
        assert "out: 3 champions" in written.out and "2 as traces: " in written.out
        assert "1 as programs, since space panels writes a program of its own: linear 4x32x64 fp32" in written.out
        # Once more, over what is there; and never over anything else.
        forms = [one["form"] for one in run("metaschedule", "export", "out", "--json").json["champions"]]
        assert sorted(forms) == ["program", "trace", "trace"]
        assert "is no MetaSchedule database" in run("metaschedule", "export", ".").err
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((16, 64), dtype=np.float32), rng.standard_normal((64, 32), dtype=np.float32)
    norm = Workload.of(make_operator("rmsnorm", {"tokens": 4, "dim": 64, "dtype": "float32"}))
    inputs = norm.inputs(rng)
    linear = Workload.of(make_operator("linear", {"m": 4, "n": 32, "k": 64}))
    of_linear = linear.inputs(rng)
    programs = [
        saved(tmp_path / "theirs", program(), [a, b, np.maximum(a @ b, 0)]),
        saved(tmp_path / "norm", norm.prim_func, [*inputs, *(norm.reference(inputs) or [])]),
        saved(tmp_path / "other", program(17), [a, b, b]),
        saved(tmp_path / "linear", linear.id, [*of_linear, *(linear.reference(of_linear) or [])]),
    ]
    (tmp_path / "programs.json").write_text(json.dumps(programs))
    answers = json.loads(alone("plain_tvm.py", str(tmp_path / "out"), str(tmp_path / "programs.json")))
    theirs, of_norm, other, finished = answers
    for answer in (theirs, of_norm, finished):
        assert answer["found"] and answer["wrong"] < 1e-4, answer
        assert (answer["steps"] == 0) == (answer is finished)
    assert other == {"found": False}
    # And what was written is read again.
    again = read(tmp_path / "out", CHIP, 9)
    assert not again.refused and {workload.operator for workload in again.schedules} == {"primfunc", "rmsnorm"}


def add_champion(db: Path, operator: str, params: dict[str, Any], space: str, version: int = 0) -> Trial:
    """A trial of the first schedule of a space, perhaps of another version of that, as if it had run."""
    workload, policy = Workload.of(make_operator(operator, params)), Policy("cold", CHIP.cores)
    plan = next(iter(spaces_for(workload, CHIP)[space].seeds()))
    plan = Schedule(plan.space, version or plan.version, plan.config)
    with Store.open(db) as store, store.transaction():
        tools = register(store, CHIP, policy)
        store_workload(store, workload)
        store.add_schedule(plan.id, plan.space, plan.version, dict(plan.config))
        trial = Trial(Key(workload.id, CHIP.fingerprint, tools.id, policy.id), plan.id, Status.OK, (1e-3,), 1e-3, 0.0)
        store.add_trial(trial, crown=True)
    return trial


def test_what_is_not_public_is_not_written(tmp_path: Path) -> None:
    db = tmp_path / "headstart.db"
    secret = Workload.of(make_operator("rmsnorm", {"tokens": 5, "dim": 64}))
    with Store.open(db) as store:
        store_workload(store, secret)
        ops = [{"name": "n", "operator": "rmsnorm", "params": {}, "calls": 1, "workload": secret.id}]
        models = [{"name": "secret", "source": "lab", "step": {}, "ops": ops}]
        lab = store.add_account("lab", "publisher", 0.0)
        store.add_release("r1", lab, 2e9, Rules(), models, 1e9)
    shown = add_champion(db, "rmsnorm", {"tokens": 4, "dim": 64}, "reduction")
    hidden = add_champion(db, "rmsnorm", {"tokens": 5, "dim": 64}, "reduction")
    with Store.open(db) as store:
        for now, trials in ((1.9e9, [shown.id]), (2.1e9, [shown.id, hidden.id])):
            found = write(store, CHIP, tmp_path / "out", now=now)
            assert sorted(one.champion["trial"] for one in found) == sorted(trials)
            assert len((tmp_path / "out" / RECORDS).read_text().splitlines()) == len(trials)
        assert len(write(store, CHIP, tmp_path / "out", "cold", 2.1e9)) == 2
        with pytest.raises(HeadstartError, match="no champion for"):
            write(store, CHIP, tmp_path / "out", "warm", 2.1e9)


def test_what_cannot_be_made_again_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    db = tmp_path / "headstart.db"
    trial = add_champion(db, "rmsnorm", {"tokens": 4, "dim": 64}, "reduction", version=99)
    with Store.open(db) as store:
        with pytest.raises(HeadstartError, match=r"none of the 1 champions can be written: schedule s[0-9a-f]* is of"):
            write(store, CHIP, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        add_champion(db, "rmsnorm", {"tokens": 5, "dim": 64}, "reduction")
        forms = {one.champion["trial"]: one.form for one in write(store, CHIP, tmp_path / "out")}
    assert len(forms) == 2 and forms[trial.id] == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


def paths(value: Any, before: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Every place in nested lists."""
    items = enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*before, key), *paths(item, (*before, key)))]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_record_is_tried_as_it_is_or_refused(data: st.DataObject, known: Known, records: list[Any]) -> None:
    """Whatever is written over a place, what is left is no schedule, or one whose trace is allowed."""
    record = copy.deepcopy(data.draw(st.sampled_from(records)))
    path = data.draw(st.sampled_from(paths(record)))
    place = record
    for key in path[:-1]:
        place = place[key]
    other = st.sampled_from(["Tensorize", "l3", "b0", "v6", "pragma_import_llvm", 2**40, -1, 0])
    place[path[-1]] = data.draw(JSON | other)
    try:
        found = read_record(line(record))
        schedule = schedule_of(known, allowed(known, found.trace), CHIP)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert schedule.space == "generic"
        check_trace(schedule.config["trace"])


def changed(record: Any, **change: Any) -> Any:
    """A record with an instruction more, or something else in the place of a field."""
    record = copy.deepcopy(record)
    if "instruction" in change:
        record[1][0][0].append(change["instruction"])
    if "seconds" in change:
        record[1][1] = change["seconds"]
    if "workload" in change:
        record[0] = change["workload"]
    return record


HOSTILE = {
    "an instruction": (
        {"instruction": ["Tensorize", ["b0", "mma"], [True], []]},
        "'Tensorize' is not allowed",
    ),
    "code": (
        {"instruction": ["Annotate", ["b0", '"int x;"'], ["pragma_import_c"], []]},
        "an annotation that is not allowed: 'pragma_import_c'",
    ),
    "a dtype": ({"instruction": ["UnsafeSetDType", ["b0"], [0, "float16"], []]}, "'UnsafeSetDType' is not allowed"),
    "a block": ({"instruction": ["GetSBlock", [], ["E", "main"], ["b999"]]}, "does not fit the program"),
    "a function": ({"instruction": ["GetSBlock", [], ["C", "other"], ["b999"]]}, "attributes that are not allowed"),
    "no time": ({"seconds": None}, "did not run"),
    "a time": ({"seconds": [-1.0]}, "did not run"),
    "a workload": ({"workload": 7}, "is of workload 7, and there are 1"),
    "a bad one": ({"workload": -1}, "is of workload -1, and there are 1"),
}


def test_hostile_records_are_refused_by_line(stock: Path, records: list[Any], tmp_path: Path) -> None:
    bad = [line(changed(records[0], **change)) for change, _ in HOSTILE.values()]
    bad += [b"{}", b"[1, 2", b"[" * 50 + b"]" * 50, b'[0], "x": [1]', b"\xff", b"[0, [[[], []], [NaN], {}, []]]"]
    reasons = [said for _, said in HOSTILE.values()]
    reasons += ["not a JSON array", "not JSON", "nested too deeply", "is not a JSON array", "not UTF-8", "NaN"]
    (tmp_path / WORKLOADS).write_bytes((stock / WORKLOADS).read_bytes())
    (tmp_path / RECORDS).write_bytes(b"\n".join([*bad, line(records[0])]) + b"\n")
    found = read(tmp_path, CHIP, 9)
    assert [len(schedules) for schedules in found.schedules.values()] == [1]
    assert [(refusal.file, refusal.line) for refusal in found.refused] == [(RECORDS, n) for n in range(1, len(bad) + 1)]
    for refusal, said in zip(found.refused, reasons, strict=True):
        assert said in refusal.reason, refusal
        assert f"{RECORDS}, line {refusal.line}: " in str(refusal)
    # With nothing else in it, there is nothing to try, and no database comes of it.
    (tmp_path / RECORDS).write_bytes(bad[0] + b"\n")
    with folder(tmp_path):
        said = run("metaschedule", "import", ".", "--name", "theirs")
    assert (said.code, said.err.count("\n")) == (1, 1) and "'Tensorize' is not allowed" in said.err
    assert not (tmp_path / "headstart.db").exists()


def packed(graph: Any) -> bytes:
    text = graph if isinstance(graph, bytes) else json.dumps(graph).encode()
    return line(["0", base64.b64encode(len(text).to_bytes(8, "little") + text).decode()])


def test_hostile_programs_are_refused(stock: Path, known: Known) -> None:
    first = json.loads((stock / WORKLOADS).read_text())
    text = base64.b64decode(first[1])[8:]
    graph = json.loads(text)
    assert read_program(packed(text)).workload == known.workload
    twice = copy.deepcopy(graph)
    array = len(twice["nodes"])
    twice["nodes"] += [{"type": "ffi.Array", "data": [array + at - 1] * 2} for at in range(60)]
    twice["nodes"][array]["data"] = [1, 1]
    deep = copy.deepcopy(twice)
    deep["nodes"] = graph["nodes"] + [{"type": "ffi.Array", "data": [max(1, array + at - 1)]} for at in range(2000)]
    for made in (twice, deep):
        made["root_index"] = len(made["nodes"]) - 1
    forward = copy.deepcopy(graph)
    next(node for node in forward["nodes"] if node["type"] == "tirx.PrimFunc")["data"]["body"] = array - 1
    for data, said in (
        (b"[]", "is not [hash, program]"),
        (line(["0", 7]), "is not [hash, program]"),
        (line(["0", "%%"]), "not text in base64"),
        (line(["0", base64.b64encode(b"\x09" + bytes(7) + b"{}").decode()]), "has 2 bytes, and says 9"),
        (packed(b"{}"), "KeyError"),
        (packed({"nodes": [{"type": "None"}], "root_index": 0}), "is no module"),
        (packed({"nodes": [{"type": "None"}], "root_index": 4}), "has no root"),
        (packed(twice), "larger or deeper than any program"),
        (packed(deep), "larger or deeper than any program"),
        (packed(forward), "refers to one after it"),
    ):
        with pytest.raises(InputError) as refused:
            read_program(data)
        assert said in str(refused.value) and "\n" not in str(refused.value), refused.value


def test_as_many_as_are_wanted_those_first_that_are_said_to_be_fastest(
    stock: Path, records: list[Any], tmp_path: Path
) -> None:
    slow, fast = (changed(records[at], seconds=[seconds]) for at, seconds in ((0, 9.0), (1, 1e-9)))
    misfit = changed(records[0], seconds=[8.0], instruction=["GetSBlock", [], ["E", "main"], ["b999"]])
    (tmp_path / WORKLOADS).write_bytes((stock / WORKLOADS).read_bytes())
    (tmp_path / RECORDS).write_bytes(b"\n".join(map(line, (slow, misfit, fast, fast))) + b"\n")
    (both,), refused = read(tmp_path, CHIP, 2).schedules.values(), read(tmp_path, CHIP, 2).refused
    assert len(both) == 2 and [refusal.line for refusal in refused] == [2]
    one = read(tmp_path, CHIP, 1)
    # What nobody will try is not replayed.
    assert [*one.schedules.values()] == [both[:1]] and not one.refused


def test_a_line_without_an_end_is_not_read(stock: Path, tmp_path: Path) -> None:
    (tmp_path / WORKLOADS).write_bytes((stock / WORKLOADS).read_bytes())
    with (tmp_path / RECORDS).open("wb") as file:
        file.truncate(MAX_LINE + 2)
    with pytest.raises(InputError, match="line 1: is longer than 16 MiB"):
        read(tmp_path, CHIP, 9)


def test_a_trace_finds_the_blocks_of_a_program_that_is_known_as_an_operator() -> None:
    """Its blocks are called otherwise than ours, and what a step made of one is called after it."""
    from tvm.s_tir import Schedule as TirSchedule

    from schedules.recognise import workload_of
    from schedules.trace import to_json

    ours = Workload.of(make_operator("linear", {"m": 4, "n": 8, "k": 16}))
    sch = TirSchedule(ours.prim_func)
    block = sch.cache_write(sch.get_sblock("C"), 0, "global")
    sch.parallel(sch.get_loops(block)[0])
    sch.vectorize(sch.get_loops(sch.get_sblock("C_global"))[1])
    text = json.dumps(to_json(sch.trace)).replace('"C"', '"product"').replace('"C_global"', '"product_global"')
    known = Known(workload_of(ours.prim_func), "main", {"product": "C", "root": "root"})
    schedule = schedule_of(known, allowed(known, json.loads(text)), CHIP)
    assert isinstance(schedule, Schedule) and known.workload == ours
    assert '["C_global", "main"]' in json.dumps(schedule.config["trace"])
