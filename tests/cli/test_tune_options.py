"""The options of ``headstart tune`` that say when to stop and how to time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import _limits, tune
from tuner.job import Budget, Job
from tuner.summary import summarise

TINY = {
    "model_type": "llama", "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512, "rms_norm_eps": 1e-6,
    "torch_dtype": "float32",
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model; jobs are made and not run."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    monkeypatch.setattr(Job, "run", lambda job: None)
    return str(path)


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[Budget]:
    """The budgets of the jobs that are made."""
    made: list[Budget] = []
    before = Job.__init__

    def note(job: Job, *arguments, **more) -> None:
        before(job, *arguments, **more)
        made.append(job.budget)

    monkeypatch.setattr(Job, "__init__", note)
    return made


def run(model: str, db: Path, *options: str):
    return CliRunner().invoke(tune.command, [model, "--tokens", "4", "--db", str(db), *options])


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        (["--for", "90s"], (90.0, None, None)),
        (["--trials", "64"], (None, 64, None)),
        (["--until-within", "5%"], (None, None, 0.05)),
        (["--until-within", "12.5", "--for", "2m", "--trials", "8"], (120.0, 8, 0.125)),
    ],
)
def test_limits_go_together(model, budgets, tmp_path, options, limits):
    result = run(model, tmp_path / "x.db", *options)
    assert result.exit_code == 0, result.output
    assert [(b.seconds, b.trials, b.within) for b in budgets] == [limits]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say when to stop: --for 3m, --trials 64, --until-within 5%"),
        (["--until-within", "0%"], "write 5%"),
        (["--until-within", "near"], "write 5%"),
        (["--for", "3m", "--cache", "tepid"], "'tepid' is not one of 'warm', 'cold'"),
    ],
)
def test_what_makes_no_sense_is_refused(model, budgets, tmp_path, options, said):
    result = run(model, tmp_path / "x.db", *options)
    assert result.exit_code != 0 and said in result.output + str(result.exception)
    assert budgets == []


@pytest.mark.parametrize(("options", "cache"), [([], "cold"), (["--cache", "warm"], "warm")])
def test_the_cache_is_the_policy_and_is_shown(model, tmp_path, monkeypatch, options, cache):
    settings = []
    monkeypatch.setattr("tuner.summary.summarise", lambda *a: settings.append(summarise(*a)) or settings[-1])
    result = run(model, tmp_path / "x.db", "--trials", "1", *options)
    assert result.exit_code == 0, result.output
    assert f"{cache} cache on" in settings[0].setting
    assert ("--cache warm" in result.output) is bool(options)


def test_a_percentage():
    assert _limits.Percent().convert("7.5 %", None, None) == pytest.approx(0.075)
