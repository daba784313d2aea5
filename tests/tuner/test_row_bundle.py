"""A bundle for several row counts: any number of rows is computed, as the reference does, by kernels of a few."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart_runtime import bundle
from headstart_runtime.bundle import Bundle
from headstart_runtime.family import Family
from headstart_runtime.row_plan import slices
from schedules.compare import mismatch
from schedules.operator import Operator, make_operator
from schedules.rows import with_rows
from schedules.schedule import Schedule
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import Target, detect
from targets.errors import InputError
from tuner.bench.rows import bench_rows
from tuner.compile import build_bundle
from tuner.frontend.model import Model, ModelOp, Step
from tuner.frontend.stored import store_workload
from tuner.policy import policy_for
from tuner.row_families import Option, families_of, measured
from tuner.row_selecting import RowSelection, select_rows
from tuner.task import DEFAULT
from tuner.tasks import register
from tuner.toolchain import toolchain
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

OPERATORS = {
    "proj": make_operator("linear", {"m": 1, "n": 37, "k": 101, "dtype": "bfloat16", "out": "bfloat16"}),
    "norm": make_operator("rmsnorm", {"tokens": 1, "dim": 130, "residual": True}),
    "quant": make_operator("act_quant", {"tokens": 1, "dim": 130, "dtype": "float32"}),
    "embed": make_operator("embedding", {"tokens": 1, "vocab": 101, "dim": 37}),
    "gate": make_operator("moe_gate", {"tokens": 1, "experts": 48, "topk": 6, "score": "sqrtsoftplus"}),
    "untuned": make_operator("gelu", {"tokens": 1, "dim": 33}),
}
ASKED = (1, 5, 12)
# Microseconds of the default schedule and of one of a space, by rows: made up, so that every kind of plan is there.
TIMES: dict[str, dict[int, tuple[float, float | None]]] = {
    "proj": {1: (600, None), 4: (900, 400), 5: (1000, 500), 12: (2000, 700)},
    "norm": {1: (1, None), 5: (2, None), 8: (2.5, None), 12: (3, None)},
    "quant": {1: (18, None), 5: (200, 20), 12: (300, 22)},
    "embed": {5: (10, None)},
    "gate": {1: (4, None), 5: (8, None), 12: (9, None)},
}


def model(tokens: int) -> Model:
    ops = []
    for name, one in OPERATORS.items():
        operator = with_rows(one, tokens)
        ops.append(ModelOp(name, operator.name, operator.params(), 2))
    return Model("tiny", "a test", Step(tokens=tokens, batch=tokens), tuple(ops))


MODELS = [model(tokens) for tokens in ASKED]


@pytest.fixture(scope="module")
def target() -> Target:
    return detect.host()


def best_of(workload: Workload, target: Target) -> Schedule:
    """A schedule of a space of its own; of the linear layer one that lays out weights."""
    spaces = spaces_for(workload, target)
    return (spaces.get("panels") or spaces["reduction"]).seeds()[0]


@pytest.fixture(scope="module")
def db(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("db") / "rows.db"
    policy = policy_for("decode", target)
    with Store.open(path) as store:
        tools = register(store, target, policy)
        for name, by_rows in TIMES.items():
            for rows, times in by_rows.items():
                workload = Workload.of(with_rows(OPERATORS[name], rows))
                store_workload(store, workload)
                for micros, best in zip(times, (False, True), strict=True):
                    if micros is not None:
                        schedule = best_of(workload, target) if best else DEFAULT
                        store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
                        key = Key(workload.id, target.fingerprint, tools.id, policy.id)
                        samples = (micros * 1e-6,) * 3
                        store.add_trial(Trial(key, schedule.id, Status.OK, samples, samples[0], 0.0), crown=True)
    return path


@pytest.fixture(scope="module")
def selected(db: Path, target: Target) -> RowSelection:
    with Store.open(db, create=False) as store:
        return select_rows(store, MODELS, target)


@pytest.fixture(scope="module")
def loaded(selected: RowSelection, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("out") / "rows.bundle"
    build_bundle(selected.selection, target, path)
    return bundle.load(path)


def inputs_of(operator: Operator, rows: int) -> list[np.ndarray]:
    return with_rows(operator, rows).inputs(np.random.default_rng(rows))


def split(family: Family, inputs: list[Any]) -> tuple[list[Any], list[Any]]:
    """Inputs that are no weights, and weights."""
    pairs = list(zip(inputs, family.inputs, strict=True))
    return [x for x, a in pairs if a not in family.weights], [x for x, a in pairs if a in family.weights]


def test_families_are_what_differs_in_rows_alone() -> None:
    found = families_of(MODELS)
    assert [family.names for family in found] == [(name,) for name in OPERATORS]
    assert all(family.asked == ASKED and family.calls == 2 for family in found)
    assert families_of(MODELS[:1]) == [], "one step needs no plan"
    fixed = ModelOp("fixed", "gelu", {"tokens": 4, "dim": 8}, 1)
    assert families_of([Model("x", "", Step(tokens=t), (fixed,)) for t in (1, 2)]) == []


def test_plans_come_from_what_was_measured(selected: RowSelection, db: Path, target: Target) -> None:
    entries = {family.entry.names[0]: family.entry for family in selected.families}
    runs = {
        name: {rows: plan.run for plan in entry.plans for rows in range(plan.first, plan.last + 1)}
        for name, entry in entries.items()
    }
    # One row has no kernel with the layout of the weights that is best altogether, and needs none.
    assert runs["proj"] == {**dict.fromkeys(range(1, 5), (4,)), 5: (5,), **dict.fromkeys(range(6, 13), (12,))}
    # A kernel of a microsecond or two: the default schedule for just so many rows.
    assert runs["norm"][1] == (1,) and all(runs["norm"][rows] == () for rows in (2, 3, 4, 6, 7, 9, 10, 11))
    assert not entries["proj"].any and entries["norm"].any
    assert runs["quant"] == {1: (1,), **dict.fromkeys(range(2, 6), (5,)), **dict.fromkeys(range(6, 13), (12,))}
    # Never measured: the default schedule for what was asked for.
    assert {kernel.rows for kernel in entries["untuned"].kernels} <= set(ASKED)
    missing = {family.entry.names[0]: family.unmeasured for family in selected.families if family.unmeasured}
    assert missing == {"embed": (1, 12), "untuned": ASKED}
    slower = {family.entry.names[0]: family.slower for family in selected.families if family.slower}
    assert not slower
    with Store.open(db, create=False) as store:
        proj = families_of(MODELS)[0]
        found = measured(store, proj, target, policy_for("decode", target), toolchain(target))
    (layout,) = found.layouts()
    assert layout is not None and found.layouts(2) == (layout, None)
    # Were the default schedule that fast for a row or two, a layout that loses so much to it would not be taken.
    found.default[1], found.options[1] = 1e-6, [Option(DEFAULT, 1e-6, None)]
    assert found.usual[1] == pytest.approx(3e-6) and found.layouts() == (None,)


@pytest.mark.parametrize("name", OPERATORS)
def test_any_number_of_rows_is_computed_as_the_reference_does(loaded: Bundle, name: str) -> None:
    family = loaded.family(name)
    operator = OPERATORS[name]
    weights = split(family, inputs_of(operator, 1))[1]
    ready = family.prepare(*weights)
    for rows in range(1, 41):
        inputs, _ = split(family, inputs_of(operator, rows))
        whole = iter(weights)
        given = iter(inputs)
        every = [next(whole) if a in family.weights else next(given) for a in family.inputs]
        expected = with_rows(operator, rows).reference(every)
        found = ready(*inputs)
        outputs = list(found) if isinstance(found, tuple) else [found]
        assert mismatch(outputs, expected, operator.tolerances) is None, rows
        into = [np.full_like(array, 0) for array in expected]
        ready(*inputs, *into)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(into, outputs, strict=True)), rows
        if rows in (3, 17):
            again = family(*every)
            again = list(again) if isinstance(again, tuple) else [again]
            assert all(a.tobytes() == b.tobytes() for a, b in zip(again, outputs, strict=True)), rows


@pytest.mark.parametrize("name", ["proj", "norm"])
def test_torch_tensors_are_sliced_too(loaded: Bundle, name: str) -> None:
    torch = pytest.importorskip("torch")
    family = loaded.family(name)
    for rows in (2, 5, 7, 29):
        arrays = [
            torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16) for array in inputs_of(OPERATORS[name], rows)
        ]
        found = family(*arrays)
        outputs = found if isinstance(found, tuple) else (found,)
        assert all(isinstance(out, torch.Tensor) and out.shape[0] == rows for out in outputs)
        expected = with_rows(OPERATORS[name], rows).reference(inputs_of(OPERATORS[name], rows))
        given = [out.view(torch.uint16).numpy().view(e.dtype) for out, e in zip(outputs, expected, strict=True)]
        assert mismatch(given, expected, OPERATORS[name].tolerances) is None


class Exported:
    """An array of some other library, of which no more is known than that it has DLPack."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape = array, array.shape

    def __dlpack__(self, **kind: Any) -> Any:
        return self.array.__dlpack__(**kind)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_arrays_of_other_libraries_are_sliced_without_a_copy(loaded: Bundle) -> None:
    family, operator = loaded.family("quant"), OPERATORS["quant"]
    (x,) = inputs_of(operator, 30)
    q, scales = family(x)
    into = np.zeros_like(scales)
    family(Exported(x), q, Exported(into))
    assert into.tobytes() == scales.tobytes()


def test_no_rows_are_no_work(loaded: Bundle) -> None:
    y, h = loaded.family("norm")(
        *(array[:0] for array in inputs_of(OPERATORS["norm"], 1)[:2]), np.ones(130, "bfloat16")
    )
    assert y.shape == h.shape == (0, 130)


def test_what_does_not_fit_is_refused_before_anything_is_computed(loaded: Bundle) -> None:
    proj = loaded.family("proj")
    x, w = inputs_of(OPERATORS["proj"], 30)
    ready, out = proj.prepare(w), np.zeros((30, 37), x.dtype)
    for arrays, kind, told in [
        ((x[:, :100].copy(),), ValueError, r"bfloat16\[30, 100\], must be bfloat16\[30, 101\]"),
        ((x.astype(np.float32),), TypeError, r"must be bfloat16\[30, 101\]"),
        ((x, out[:29]), ValueError, r"output 'C' is bfloat16\[29, 37\]"),
        ((x[:, ::-1],), ValueError, "not C-contiguous"),
        ((x, out, out), TypeError, "takes 1 arrays, or 2 with outputs, not 3"),
        ((3,), TypeError, "not an array"),
        ((x.reshape(-1),), ValueError, r"must be bfloat16\[3030, 101\]"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=told):
            ready(*arrays)
        assert not out.any()
    # What is padded is copied as bytes: of the same size, but of another type.
    assert [(one.kernel, one.rows) for one in proj.slices(3)] == [(4, 3)]
    with pytest.raises(TypeError, match=r"float16\[3, 101\], must be bfloat16\[3, 101\]"):
        ready(x[:3].astype(np.float16))
    norm = loaded.family("norm")
    h, res, gain = inputs_of(OPERATORS["norm"], 30)
    with pytest.raises(ValueError, match="'R' is"):
        norm(h, res[:29], gain)
    with pytest.raises(ValueError, match="shares memory"):
        norm(h, res, gain, h, np.empty_like(h))
    shifted = np.zeros((31, 130), h.dtype)
    with pytest.raises(ValueError, match="shares memory"):
        norm(shifted[1:], res, gain, shifted[:-1], np.empty_like(h))
    with pytest.raises(KeyError, match="0 families are called 'nothing'"):
        loaded.family("nothing")
    with pytest.raises(KeyError, match=r"family\('proj'\) takes any number of rows"):
        loaded["proj"]


def test_weights_are_laid_out_once_for_all_row_counts(loaded: Bundle) -> None:
    ready = loaded.family("proj").prepare(inputs_of(OPERATORS["proj"], 1)[1])
    assert len(ready.kept) == 1
    assert len({tuple(t.data_ptr() for t in kernel.kept) for kernel in ready._kernels.values()}) == 1


def test_several_threads_call_one_family(loaded: Bundle) -> None:
    family, operator = loaded.family("proj"), OPERATORS["proj"]
    w = inputs_of(operator, 1)[1]
    ready, wrong = family.prepare(w), []

    def work(seed: int) -> None:
        for rows in np.random.default_rng(seed).integers(1, 41, 40):
            x = inputs_of(operator, int(rows))[0]
            if mismatch([ready(x)], with_rows(operator, int(rows)).reference([x, w]), operator.tolerances):
                wrong.append(rows)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_slices_cover_every_row() -> None:
    runs = [(), (4,), (4,), (4,), (4,), (4, 1), (4, 4), ()]
    assert slices(runs, 3) == [(4, 0, 3)], "padded"
    assert slices(runs, 5) == [(4, 0, 4), (1, 4, 1)]
    assert slices(runs, 6) == [(4, 0, 4), (4, 2, 4)], "two rows again"
    assert slices(runs, 7) == [(0, 0, 7)]
    assert slices(runs, 17) == [(0, 0, 7), (0, 7, 7), (4, 13, 4)], "never padded after the first piece"
    assert slices(runs, 0) == []


def test_plans_are_timed_against_the_default_schedule_for_each_number_of_rows(loaded: Bundle) -> None:
    norm, proj = bench_rows(loaded, ["norm", "proj"], (1, 3, 7, 99), 3)
    assert [one.rows for one in norm.rows] == [one.rows for one in proj.rows] == [1, 3, 7], "99 are more than the most"
    assert all(one.wrong is None and len(one.ratios) == 3 and one.plan_s > 0 for one in (*norm.rows, *proj.rows))
    assert [one.run for one in proj.rows] == [(4,), (4,), (12,)]
    assert norm.geomean > 0 and norm.worst in norm.rows
    slow = replace(norm.rows[0], ratios=(1.0, 1.5, 2.0, 2.5))
    assert slow.worse and not replace(slow, ratios=(0.9, 1.0, 2.0, 2.5)).worse
    for names, rows, told in [
        (["none"], (1,), "0 families are called 'none'"),
        (["norm"], (99,), "takes 1 to 12 rows"),
    ]:
        with pytest.raises(InputError, match=told):
            bench_rows(loaded, names, rows, 3)
