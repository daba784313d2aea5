"""``headstart best``, ``show`` and ``bundle`` on one small database, as a person runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import headstart
from schedules.operator import make_operator
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target, detect
from targets.errors import HeadstartError, InputError
from tests.cli.session import TINY
from tuner.policy import policy_for
from tuner.task import DEFAULT
from tuner.tasks import register
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

PARAMS = {"m": 2, "n": 160, "k": 64, "dtype": "bfloat16", "out": "bfloat16"}
NAME = "linear:" + ",".join(f"{name}={value}" for name, value in PARAMS.items())


@pytest.fixture(scope="module")
def target() -> Target:
    return detect.host()


@pytest.fixture(scope="module")
def trials(target: Target, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    """A database with the default schedule of one workload, a better one that beat it, and one that failed."""
    path = tmp_path_factory.mktemp("db") / "small.db"
    workload, policy = Workload.of(make_operator("linear", PARAMS)), policy_for("decode", target)
    better = Schedule("linear_dot", 1, {"mr": 2, "nr": 2, "mb": 2, "nb": 1, "kb": 1, "rows_outer": 0})
    with Store.open(path) as store:
        toolchain = register(store, target, policy)
        store.add_workload(
            workload.id,
            workload.operator,
            workload.label,
            dict(workload.params),
            workload.canonical,
            workload.flops,
            workload.bytes,
        )
        for schedule in (DEFAULT, better):
            store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
        key, job = Key(workload.id, target.fingerprint, toolchain.id, policy.id), "j" + "0" * 28
        about: dict[str, Any] = {"author": "someone", "machine": "somewhere", "job": job}
        evidence = {"incumbent": DEFAULT.id, "ratios": [0.5, 0.6, 0.4]}
        made = [
            Trial(key, DEFAULT.id, Status.OK, (4e-5, 4e-5), 4e-5, 0.0, **about),
            Trial(key, better.id, Status.OK, (2e-5, 2e-5), 2e-5, 0.0, evidence=evidence, **about),
            Trial(key, better.id, Status.TIMEOUT, error="took longer than 5 s", **about),
        ]
        for trial in made:
            store.add_trial(trial, crown=trial.status is Status.OK)
    return path, made


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    return tmp_path / "config.json"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(headstart, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def refused(kind: type[HeadstartError], *arguments: str) -> str:
    with pytest.raises(kind) as error:
        CliRunner().invoke(headstart, arguments, catch_exceptions=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_best(trials: tuple[Path, list[Trial]], target: Target) -> None:
    db, made = trials
    champion = made[1]
    for name in (NAME, champion.key.workload, champion.key.workload[:6]):
        text = run("best", name, "--db", str(db))
        for part in ("20.0 us", "speed-up 2.00x", "linear_dot v1", "cold cache", "someone on somewhere", champion.id):
            assert part in text
        assert f"faster than {DEFAULT.id} in 3 of 3 interleaved pairs, median ratio of times 0.500" in text
    for chip in ("host", target.name, target.fingerprint):
        (best,) = document("best", NAME, "--target", chip, "--db", str(db))["champions"]
        assert (best["seconds"], best["default_seconds"], best["speedup"]) == (2e-5, 4e-5, 2.0)
        assert best["trial"]["id"] == champion.id
        assert best["schedule"]["id"] == champion.schedule


def test_best_is_never_a_near_match(trials: tuple[Path, list[Trial]], target: Target) -> None:
    db = str(trials[0])
    told = refused(HeadstartError, "best", NAME, "--target", "h100", "--db", db)
    assert told.startswith("no champion of linear 2x160x64 bf16") and f"it has one for {target.name}" in told
    told = refused(HeadstartError, "best", NAME.replace("m=2", "m=3"), "--db", db)
    assert "linear 3x160x64" in told and "none for any other chip" in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lineal:m=2", "unknown operator 'lineal'"),
        ("linear:m=2", "missing"),
        ("linear:m=two,n=3,k=4", "must be of type int"),
        ("linear:m=0,n=3,k=4", "must be a positive int"),
        ("linear:q=2", "not a parameter of linear"),
        ("linear:m", "not a parameter of linear"),
        ("nothing", "no workload 'nothing'"),
    ],
)
def test_best_bad_input(trials: tuple[Path, list[Trial]], name: str, told: str) -> None:
    assert told in refused(InputError, "best", name, "--db", str(trials[0]))


def test_show(trials: tuple[Path, list[Trial]], target: Target) -> None:
    db, made = trials
    key, champion = made[1].key, made[1]
    kinds = {
        key.workload: "workload",
        champion.schedule: "schedule",
        champion.id: "trial",
        key.target: "target",
        key.toolchain: "toolchain",
        key.policy: "policy",
        champion.job: "job",
    }
    for id, kind in kinds.items():
        assert run("show", id, "--db", str(db)).startswith(f"{kind} {id}\n")
        assert document("show", id[:-1], "--db", str(db))["kind"] == kind
    trial = document("show", champion.id, "--db", str(db))
    assert trial["champion"] is True and trial["target_name"] == target.name and trial["cache"] == "cold"
    assert document("show", made[0].id, "--db", str(db))["champion"] is False
    job = document("show", champion.job, "--db", str(db))
    assert [(row["trials"], row["ok"]) for row in job["workloads"]] == [(3, 2)]


def test_show_script(trials: tuple[Path, list[Trial]]) -> None:
    db, made = str(trials[0]), trials[1]
    key, champion = made[1].key, made[1]
    written = run("show", key.workload, "--script", "--db", db)
    scheduled = run("show", champion.id, "--script", "--db", db)
    assert "T.parallel" in scheduled and "T.parallel" not in written
    assert run("show", champion.schedule, "--script", "--workload", key.workload, "--db", db) == scheduled
    assert document("show", champion.id, "--script", "--db", db)["script"] == scheduled.rstrip("\n")
    assert "--workload" in refused(InputError, "show", champion.schedule, "--script", "--db", db)
    assert "has a program" in refused(InputError, "show", key.policy, "--script", "--db", db)


@pytest.mark.parametrize("id", ["", "q12", "wffff", "t"])
def test_show_bad_input(trials: tuple[Path, list[Trial]], id: str) -> None:
    refused(InputError, "show", id, "--db", str(trials[0]))


def test_bundle(trials: tuple[Path, list[Trial]], config: Path, tmp_path: Path, target: Target) -> None:
    db, out = str(trials[0]), str(tmp_path / "tiny.bundle")
    step = ("--tokens", "2")
    built = document("bundle", "build", str(config), *step, "--db", db, "-o", out)
    assert built["kernels"] > 2
    # Gate and up projection together are the workload that has a champion.
    assert trials[1][0].key.workload not in built["untuned"]
    assert len(built["untuned"]) == built["kernels"] - 1
    text = run("bundle", "build", str(config), *step, "--db", db, "-o", out)
    assert f"digest {built['digest']}" in text
    assert f"{built['kernels'] - 1} of {built['kernels']} kernels have no champion" in text
    assert document("bundle", "verify", out) == built
    assert f"{target.name}, digest {built['digest']}" in run("bundle", "verify", out)
    shown = document("bundle", "show", out)
    (tuned,) = [kernel for kernel in shown["kernels"] if kernel["tuned"]]
    assert tuned["provenance"]["trial"] == trials[1][1].id
    assert "2.00x" in run("bundle", "show", out)

    damaged = Path(shutil.copytree(out, tmp_path / "damaged"))
    (damaged / "manifest.json").write_text((damaged / "manifest.json").read_text().replace("2e-05", "1e-05"))
    for verb in ("verify", "show"):
        assert "manifest.json was changed" in refused(InputError, "bundle", verb, str(damaged))


def test_bundle_bad_input(trials: tuple[Path, list[Trial]], config: Path, tmp_path: Path) -> None:
    db, out = str(trials[0]), str(tmp_path / "b")
    assert "no such file" in refused(InputError, "bundle", "build", "./absent.json", "--db", db, "-o", out)
    assert "no database" in refused(InputError, "bundle", "build", str(config), "--db", str(tmp_path / "no"), "-o", out)
    assert "is not a bundle" in refused(InputError, "bundle", "build", str(config), "--db", db, "-o", str(tmp_path))
    assert not (tmp_path / "b").exists()
