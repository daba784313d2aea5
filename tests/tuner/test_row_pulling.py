"""Families pulled: from a database and from a service that runs, pinned, built again, brought up to date."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart_runtime import bundle
from headstart_runtime.digests import write_sums
from headstart_runtime.row_plan import AnyKernel, BundleFamily, RowRange
from schedules.compare import mismatch
from schedules.operator import make_operator
from schedules.rows import with_rows
from schedules.schedule import Schedule
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from targets import Target, detect
from targets.errors import HeadstartError, InputError
from tests.tuner.pullers import at
from tests.tuning_db.service.publishing import Hands
from tests.tuning_db.service.running import Service, running
from tuner import proving
from tuner.compile import build_bundle, layout_of
from tuner.frontend.model import Model, ModelOp
from tuner.frontend.step import complete_step
from tuner.frontend.stored import store_model, store_workload
from tuner.policy import policy_for
from tuner.proving import rows_to_prove
from tuner.pulling import Pulled, Puller
from tuner.row_offers import planned
from tuner.task import DEFAULT
from tuner.tasks import register
from tuner.wishing import wish_again, wish_for
from tuning_db.deploy.deployment import Deployment
from tuning_db.deploy.lock import HERE, THERE, Origin
from tuning_db.deploy.offer import Offer, Wish
from tuning_db.published import Prebuilt
from tuning_db.records import Key, Status, Trial
from tuning_db.selection import Selection
from tuning_db.store import Store

PROJ = make_operator("linear", {"m": 1, "n": 48, "k": 128, "dtype": "bfloat16", "out": "bfloat16"})
NORM = make_operator("rmsnorm", {"tokens": 1, "dim": 130, "dtype": "float32"})
OTHER = make_operator("rmsnorm", {"tokens": 1, "dim": 130, "dtype": "float32", "eps": 0.5})
FIXED = make_operator("rmsnorm", {"tokens": 3, "dim": 64, "dtype": "float32"})
ASKED = (1, 4, 12)
GIVEN: dict[str, Any] = {"phase": None, "tokens": ASKED, "batch": None, "kv_len": None, "tp": 1, "ep": 1}


def model(tokens: int) -> Model:
    """A linear layer whose weights are laid out, two norms with rows, and one that always has three."""
    rows = {name: with_rows(of, tokens) for name, of in (("proj", PROJ), ("norm", NORM), ("other", OTHER))}
    operators = {**rows, "fixed": FIXED}
    ops = tuple(ModelOp(name, of.name, of.params(), 2) for name, of in operators.items())
    return Model("tiny", "a test", complete_step(tokens=tokens), ops)


@pytest.fixture(scope="module")
def target() -> Target:
    return detect.host()


def timed(store: Store, target: Target, operator: Any, schedule: Schedule, micros: float) -> None:
    """Take a trial for measured; it is the champion."""
    policy, workload = policy_for("decode", target), Workload.of(operator)
    tools = register(store, target, policy)
    store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
    key, seconds = Key(workload.id, target.fingerprint, tools.id, policy.id), micros * 1e-6
    store.add_trial(Trial(key, schedule.id, Status.OK, (seconds,) * 3, seconds, 0.0, author="someone"), crown=True)


def panels(rows: int, target: Target, at: int = 0) -> Schedule:
    """A schedule of the linear layer that lays out weights as those for other rows do."""
    return Panels(Workload.of(with_rows(PROJ, rows)), target).seeds()[at]


def tuned(store: Store, target: Target) -> None:
    """Champions as made up times have them: the linear layer has a kernel between steps, of 7 rows, too."""
    for tokens in ASKED:
        store_model(store, model(tokens))
        for norm in (NORM, OTHER):
            timed(store, target, with_rows(norm, tokens), DEFAULT, 1 + tokens / 10)
    for rows, default, best in ((1, 600, 200), (4, 900, 300), (7, 1600, 360), (12, 2000, 420)):
        operator = with_rows(PROJ, rows)
        store_workload(store, Workload.of(operator))
        timed(store, target, operator, DEFAULT, default)
        timed(store, target, operator, panels(rows, target), best)


@pytest.fixture(scope="module")
def service(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), start=time.time()) as made, pytest.MonkeyPatch.context() as patch:
        made.write(lambda store: tuned(store, target))
        # A model has one step in a database; one of several is read from its config.
        patch.setattr("tuner.pulling.load_model", lambda spec, step, db: model(step.tokens))
        yield made


@pytest.fixture(scope="module")
def hands(service: Service) -> Hands:
    """Who publishes bundles there."""
    made = Hands(service)
    made.begin()
    return made


def wish_of_file(target: Target) -> Wish:
    *smaller, step = (dict(vars(complete_step(tokens=tokens))) for tokens in ASKED)
    return Wish("tiny", step, target.fingerprint, target.name, "reproduced", spec="tiny", smaller=tuple(smaller))


@pytest.fixture(scope="module")
def pulled(service: Service, target: Target, tmp_path_factory: pytest.TempPathFactory) -> Pulled:
    """From the database of the service."""
    puller, deployed, said = at(tmp_path_factory.mktemp("pulled"), str(service.db))
    found = puller.pull(deployed(), wish_of_file(target))
    assert said == []
    return found


def runs(selection: Selection) -> dict[str, dict[int, tuple[int, ...]]]:
    """By name: the kernels for each number of rows."""
    return {
        family.names[0]: {at: plan.run for plan in family.plans for at in range(plan.first, plan.last + 1)}
        for family in selection.families
    }


def by(ranges: dict[range, tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    return {rows: run for over, run in ranges.items() for rows in over}


def check_outputs(path: Path) -> None:
    """That any number of rows is computed."""
    loaded = bundle.load(path)
    for name, of in (("proj", PROJ), ("norm", NORM)):
        inputs = with_rows(of, 30).inputs(np.random.default_rng(1))
        expected = with_rows(of, 30).reference(inputs)
        for rows in (1, 3, 6, 9, 12, 25):
            output = loaded.family(name)(inputs[0][:rows], inputs[1])
            assert mismatch([output], [array[:rows] for array in expected], of.tolerances) is None, (name, rows)


def test_from_a_database(pulled: Pulled, service: Service, target: Target, tmp_path: Path) -> None:
    selection = pulled.lock.selection
    assert [step["tokens"] for step in selection.steps] == list(ASKED)
    found = runs(selection)
    # One row has no kernel with the layout of the weights that is best altogether.
    assert found["proj"] == by({range(1, 5): (4,), range(5, 8): (7,), range(8, 13): (12,)})
    assert found["norm"][3] == () and found["norm"][1] == (1,)
    laid_out = [kernel for kernel in bundle.verify(pulled.directory)[0].kernels if kernel.operator == "linear"]
    assert len({kernel.layout for kernel in laid_out}) == 1
    check_outputs(pulled.directory)

    # The lock file alone gives the same bytes, and planning again gives the same.
    puller, deployed, _ = at(tmp_path / "again", str(service.db))
    shutil.copy(pulled.directory.parent / "headstart.lock", tmp_path / "again")
    again = puller.reproduce(deployed())
    for file in pulled.directory.iterdir():
        assert (again.directory / file.name).read_bytes() == file.read_bytes()
    with puller.plan(deployed(), wish_again(pulled.lock)) as (plan, _):
        assert puller.is_pinned(deployed(), plan)
    with pytest.raises(InputError, match=r"pins tiny at decode-t1-.*, decode-t4-.*, decode-t12-"):
        puller.pull(deployed(), replace(wish_of_file(target), smaller=()))


def test_from_a_service(pulled: Pulled, service: Service, hands: Hands, target: Target, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{service.port}"
    wish = wish_for(url, "tiny", GIVEN, "host", "reproduced")
    built, _, _ = at(tmp_path / "plans", url)
    where, deployed, _ = at(tmp_path / "none", url, prebuilt=True)
    with pytest.raises(HeadstartError, match=r"nobody built a bundle of tiny for .* and any number of rows there"):
        where.pull(deployed(), wish)
    with pytest.raises(HeadstartError, match=r"nothing of tiny for decode-t5-b5-.*; there is .*decode-t4-"):
        where.pull(deployed(), wish_for(url, "tiny", {**GIVEN, "tokens": (1, 5, 12)}, "host", "reproduced"))
    # Nobody built one: what is offered of the steps is planned here. Rows between them are not offered.
    with built.plan(deployed(), wish) as (plan, _):
        assert plan.made == HERE
        assert runs(plan.selection)["proj"] == by({range(1, 5): (4,), range(5, 13): (12,)})
        assert runs(plan.selection)["norm"][3] == ()
        assert plan.selection.steps == wish.steps
        assert [kernel.names for kernel in plan.selection.kernels].count(("fixed",)) == 1

    hands.publish(pulled.directory)
    puller, deployed, _ = at(tmp_path / "a", url)
    there = puller.pull(deployed(), wish)
    assert (there.lock.made, there.lock.bundle) == (THERE, pulled.lock.bundle)
    assert there.lock.selection.families == pulled.lock.selection.families
    assert puller.pull(deployed(), wish_again(there.lock)).changed is False
    # Without a connection and a lock file, the cache knows what was pulled for these steps.
    (tmp_path / "a" / "headstart.lock").unlink()
    offline, deployed, _ = at(tmp_path / "a", url)
    offline.source = replace(offline.source, offline=True)
    assert offline.pull(deployed(), wish).lock == there.lock
    # One step alone has them too, and a step of which nothing is offered is no harm to a bundle with families.
    other, elsewhere, said = at(tmp_path / "other", url, prebuilt=True)
    one = other.pull(elsewhere(), wish_for(url, "tiny", {**GIVEN, "tokens": (5, 12)}, "host", "reproduced"))
    assert (one.lock.bundle, said[-1][:40]) == (pulled.lock.bundle, "nothing of tiny for decode-t5-b5-kv4096-")

    # 12 rows got faster, in the layout that the family has: planned together with what the bundle has between.
    faster = next(
        schedule
        for schedule in Panels(Workload.of(with_rows(PROJ, 12)), target).seeds()
        if schedule != panels(12, target) and same_layout(schedule, target)
    )
    service.write(lambda store: timed(store, target, with_rows(PROJ, 12), faster, 100))
    service.now += 120
    assert "proj" in stale(other, elsewhere(), wish_again(one.lock))
    with puller.plan(deployed(), wish_again(there.lock)) as (plan, opened):
        assert plan.made == HERE
        assert runs(plan.selection)["proj"] == by({range(1, 13): (12,)})
        changed = puller.changes(deployed(), plan)
        newer = puller.take(deployed(), plan, opened)
    told = {(one.kernel.label.partition("x")[0], one.used): one.seconds for one in changed.kernels}
    assert told["12", "measured"] == pytest.approx((4.2e-4, 1e-4))
    assert told["7", "others"] == pytest.approx((3.6e-4, 1e-4))
    check_outputs(newer.directory)
    back, deployed, _ = at(tmp_path / "a", "")
    assert back.back(deployed(), deployed().before()).lock == there.lock


def test_what_nothing_is_offered_for_stays_as_the_bundle_does_it(pulled: Pulled, target: Target) -> None:
    """The largest number of rows is done by smaller kernels; parameters that are as usual are left out of the offer."""
    whole = pulled.lock.selection
    (proj,) = (one for one in whole.families if one.names == ("proj",))
    plans = (*(plan for plan in proj.plans if plan.last < 8), RowRange(8, 11, (7, 4)), RowRange(12, 12, (4, 4, 4)))
    fewer = replace(proj, kernels=tuple(one for one in proj.kernels if one.rows < 12), plans=plans)
    built = replace(
        whole,
        kernels=tuple(one for one in whole.kernels if one.workload != proj.kernels[-1].workload),
        families=tuple(fewer if one is proj else one for one in whole.families),
    )
    usual = {"eps": NORM.params()["eps"], "residual": False}
    offered = tuple(
        replace(one, candidates=(), params={k: v for k, v in one.params.items() if usual.get(k) != v})
        for one in whole.kernels
    )
    step = replace(built, kernels=offered, families=(), smaller=())
    found = planned(Offer(Origin(""), "reproduced", "0" * 64, step, Prebuilt("0" * 64, {}), built, (step,)), target)[0]
    assert found.stale == ()
    assert found.in_bundle.families == built.families
    assert Selection.loads(found.selection.dumps()) == found.selection


def same_layout(schedule: Schedule, target: Target) -> bool:
    workload = Workload.of(with_rows(PROJ, 12))
    return layout_of(workload, schedule, target) == layout_of(workload, panels(12, target), target)


def stale(puller: Puller, deployment: Deployment, wish: Wish) -> tuple[str, ...]:
    with puller.plan(deployment, wish) as (plan, _):
        assert plan.made == THERE
        return plan.offer.stale


def test_a_selection_whose_families_are_not_made_so_is_not_built(
    pulled: Pulled, target: Target, tmp_path: Path
) -> None:
    selection = pulled.lock.selection
    family = next(one for one in selection.families if one.names == ("norm",))
    kernels = tuple(kernel for kernel in selection.kernels if selection.family_of(kernel) == family)
    assert family.any

    def of(**fields: Any) -> Selection:
        return replace(selection, kernels=kernels, families=(replace(family, **fields),))

    (function,) = family.any
    for fields, told in (
        ({"any": (replace(function, last=40),)}, "for 2 to 40 rows, which the default schedule makes otherwise"),
        ({"any": (replace(function, function="memcpy"),)}, "has a function memcpy"),
        ({"sliced": family.sliced[:1]}, "must be all outputs and at least one input"),
        ({"sliced": (*family.sliced, "G")}, "does not take 1 rows|must not be weights"),
    ):
        with pytest.raises(HeadstartError, match=told):
            build_bundle(of(**fields), target, tmp_path / "b")
        assert not (tmp_path / "b").exists()


def test_a_family_that_computes_something_else_is_found(
    pulled: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The functions for any number of rows of two norms that differ in eps alone, each called by the other's name."""
    path = Path(shutil.copytree(pulled.directory, tmp_path / "wrong"))
    manifest = bundle.verify(path)[0]
    any_of = {family.names[0]: family.any for family in manifest.families}
    swapped = {"norm": any_of["other"], "other": any_of["norm"]}
    families = tuple(replace(one, any=swapped.get(one.names[0], one.any)) for one in manifest.families)
    (path / bundle.MANIFEST).write_text(replace(manifest, families=families).dumps())
    write_sums(path)
    monkeypatch.setattr("sys.argv", ["proving", str(path)])
    proving.main()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wrong = {one["kernel"] for one in told if one["wrong"]}
    assert wrong == {f"{name} at {rows} rows" for name in ("norm", "other") for rows in (2, 12, 13)}
    assert {"proj at 1 rows", "proj at 13 rows"} <= {one["kernel"] for one in told}


def test_which_rows_are_proved() -> None:
    plans = (RowRange(1, 1, (4,)), RowRange(2, 9, ()), RowRange(10, 11, (12,)), RowRange(12, 12, (12,)))
    plans += (RowRange(13, 16, (12, 4)),)
    family = BundleFamily(("x",), "linear", {}, "m", ("A",), 16, (), (AnyKernel(2, 9, "f"),), plans)
    assert rows_to_prove(family) == [1, 2, 9, 10, 13, 16, 17]
