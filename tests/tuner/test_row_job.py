"""What a job for several row counts measures between them, over a session whose times are a function of the rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from cli.main import headstart
from headstart_runtime import bundle
from schedules.schedule import Schedule
from schedules.spaces.panels import Panels
from schedules.workload import Workload
from tests.tuner.test_job import CHIP, POLICY, Simulated
from tuner.compile import layout_of
from tuner.executor import Outcome
from tuner.frontend.model import Model, ModelOp, Step
from tuner.job import Budget, Job
from tuner.row_families import Measured, Option, elsewhere, families_of, measured
from tuner.row_job import TRIES, RowJob, job_for
from tuner.task import DEFAULT
from tuner.tasks import step_tasks
from tuner.toolchain import toolchain
from tuning_db.records import Status
from tuning_db.store import Store

ASKED = (1, 8, 64)


def model(tokens: int) -> Model:
    params = {"m": tokens, "n": 256, "k": 512, "dtype": "bfloat16", "out": "bfloat16"}
    return Model("tiny", "a test", Step(tokens=tokens, batch=tokens), (ModelOp("proj", "linear", params, 1),))


MODELS = [model(tokens) for tokens in ASKED]


class ByRows(Simulated):
    """A hundred microseconds and ten for each row; the default schedule takes three times as long."""

    def __init__(self) -> None:
        super().__init__(lambda schedule: 1.0)
        self.visited: list[tuple[int, Schedule]] = []

    def open(self, workload: Workload, seed: int) -> ByRows:
        self.rows = workload.params["m"]
        return self

    def _outcome(self, schedule: Schedule) -> Outcome:
        self.visited.append((self.rows, schedule))
        micros = (100 + 10 * self.rows) * (3 if schedule == DEFAULT else 1)
        return Outcome(Status.OK, (micros * 1e-6,) * 3)


def test_rows_between_are_measured_where_a_bundle_gains_most(tmp_path: Path) -> None:
    executor = ByRows()
    with Store.open(tmp_path / "x.db") as store:
        tasks = [task for step in step_tasks(store, MODELS, CHIP, POLICY) for task in step]
        job = job_for(store, executor, tasks, Budget(trials=6), MODELS, seed=0)  # type: ignore[arg-type]
        assert isinstance(job, RowJob)
        job.run()
        assert not job.failures
        (family,) = families_of(MODELS)
        found = measured(store, family, CHIP, POLICY, toolchain(CHIP))
    order = list(dict.fromkeys(rows for rows, _ in executor.visited))
    between = [rows for rows in order if rows not in ASKED]
    assert set(order[:3]) == set(ASKED), "what was asked for comes first"
    # From 8 to 64 the plan is eight rows again and again, or twice the time of what there is for 64: in the middle.
    assert between and 16 < between[0] < 48
    for rows in between:
        tried = [schedule for at, schedule in executor.visited if at == rows]
        assert tried[0] == DEFAULT and 2 <= len(set(tried)) <= TRIES + 1
        assert any(option.layout in found.layouts() for option in found.options[rows])
    costs = found.costs(found.layouts())
    assert costs is not None and set(between) <= set(costs.kernels)


def test_layouts_that_are_best_for_one_step_are_tried_for_the_others(tmp_path: Path) -> None:
    (family,) = families_of(MODELS)
    found = Measured(family, CHIP)

    def option(rows: int, vectors: int) -> Option:
        space = Panels(family.workload(rows), CHIP)
        schedule = next(s for s in iter(lambda: space.sample(rng), None) if s.config["vectors"] == vectors)
        return Option(schedule, 1e-6, layout_of(space.workload, schedule, CHIP))

    rng = np.random.default_rng(0)
    found.options = {8: [option(8, 4)], 64: [option(64, 2)]}
    with Store.open(tmp_path / "x.db") as store:
        tasks = {task.workload.params["m"]: task for step in step_tasks(store, MODELS, CHIP, POLICY) for task in step}
    (there,) = elsewhere(found, tasks[64], 64)
    assert layout_of(tasks[64].workload, there, CHIP) == found.options[8][0].layout != found.options[64][0].layout
    found.options[64].append(Option(there, 2e-6, found.options[8][0].layout))
    assert elsewhere(found, tasks[64], 64) == [], "known there by now"


def test_one_step_is_an_ordinary_job(tmp_path: Path) -> None:
    with Store.open(tmp_path / "x.db") as store:
        tasks = step_tasks(store, MODELS[:1], CHIP, POLICY)[0]
        assert type(job_for(store, ByRows(), tasks, Budget(trials=1), MODELS[:1])) is Job  # type: ignore[arg-type]


CONFIG = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 2, "head_dim": 32,
    "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": 100, "torch_dtype": "bfloat16",
    "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
}  # fmt: skip


def test_a_model_is_tuned_and_built_for_several_numbers_of_tokens(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    where = [str(tmp_path / "config.json"), "--tokens", "2,1,2", "--kv-len", "16", "--db", str(tmp_path / "x.db")]
    tuned = CliRunner().invoke(headstart, ["tune", *where, "--trials", "1", "--json"])
    assert tuned.exit_code == 0, tuned.output
    assert ["of 1 tokens" in tuned.output, "of 2 tokens" in tuned.output, '"steps"' in tuned.output] == [True] * 3
    built = CliRunner().invoke(headstart, ["bundle", "build", *where, "-o", str(tmp_path / "b")])
    assert built.exit_code == 0, built.output
    assert "Any number of rows" in built.output and "Not measured" not in built.output
    loaded = bundle.load(tmp_path / "b")
    assert {name for family in loaded.manifest.families for name in family.names} >= {"qkv", "mlp_swiglu", "attention"}
    timed = CliRunner().invoke(headstart, ["bundle", "rows", str(tmp_path / "b"), "--family", "qkv", "--rows", "1-2"])
    assert timed.exit_code == 0 and "qkv: linear" in timed.output and "of 2" in timed.output, timed.output
    refused = CliRunner().invoke(
        headstart, ["bundle", "build", *where[:1], "--tokens", "1,x", "-o", str(tmp_path / "c")]
    )
    assert refused.exit_code == 2 and "several with commas" in refused.output


def test_a_single_row_can_take_the_weights_as_many_rows_want_them() -> None:
    single, many = (model(rows).ops[0].workload for rows in (1, 64))
    space = Panels(single, CHIP)
    for seed in Panels(many, CHIP).seeds():
        there = space.nearest(seed.config)
        assert there is not None
        assert layout_of(single, there, CHIP) == layout_of(many, seed, CHIP)
