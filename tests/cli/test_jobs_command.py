"""``headstart jobs`` as somebody at a terminal uses it; a night over a world without hardware."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from targets.errors import InputError
from tests.cli.session import TINY, folder, run
from tests.tuner.nights.conftest import World, world  # noqa: F401
from tuning_db.jobs import short
from tuning_db.store import Store


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder with a model in it."""
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    with folder(tmp_path):
        yield tmp_path


def queue(*options: str) -> str:
    """The id of a job that was queued."""
    said = run("jobs", "queue", "tiny.json", "--tokens", "4", "--trials", "3", "--json", *options)
    assert said.code == 0, said.err
    return str(said.json["id"])


def test_a_night_from_end_to_end(here: Path, world: World) -> None:  # noqa: F811
    first, second = queue("--share", "2"), queue("--cache", "warm")
    assert [job["state"] for job in run("jobs", "list", "--json").json["jobs"]] == ["queued", "queued"]
    kept = run("jobs", "list", "--json").json["jobs"][0]
    assert kept["model"] == str(here / "tiny.json") and kept["share"] == 2 and kept["steps"][0]["tokens"] == 4
    said = run("jobs", "run")
    assert said.code == 0 and "has its turn" in said.err and said.out.count("100%") == 2
    listed = run("jobs", "list").out
    assert short(first) in listed and "share 2" in listed and "100%" in listed
    assert run("jobs", "logs", short(second)).out.splitlines()[-1].endswith("done")
    assert [line["event"] for line in run("jobs", "logs", first, "--json").json["log"]][:2] == ["queued", "began"]
    told = run("jobs", "report", "-o", "morning.html")
    assert told.code == 0 and "one step of" in told.out and "Spent" in told.out
    assert "Morning report" in (here / "morning.html").read_text()
    found = run("jobs", "report", short(first), "--json").json
    assert [spent["job"] for spent in found["spent"]] == [first] and found["gains"]
    assert run("show", first).code == 0


def test_pausing_resuming_and_cancelling(here: Path, world: World) -> None:  # noqa: F811
    job, other = queue(), queue()
    assert run("jobs", "pause", short(job), short(other)).out.count("is paused") == 2
    assert run("jobs", "run", "--json").json["jobs"][0]["state"] == "paused"
    again = run("jobs", "pause", short(job))
    assert again.code == 2 and f"job {short(job)} is paused, and cannot become paused" in again.err
    assert run("jobs", "resume", short(job), "--json").json["jobs"][0]["state"] == "queued"
    # All or none.
    assert run("jobs", "resume", short(other), short(job)).code == 2
    assert run("jobs", "list", "--json").json["jobs"][1]["state"] == "paused"
    assert run("jobs", "cancel", short(job), short(other)).code == 0
    assert run("jobs", "cancel", short(job)).code == 2


def test_attaching_shows_a_job_to_its_end(here: Path, world: World) -> None:  # noqa: F811
    job = queue()

    def work() -> None:
        time.sleep(0.3)
        with Store.open("headstart.db") as store:
            taken = store.take_job()
            assert taken
            time.sleep(1.2)
            store.finish_job(taken["id"], "failed", {"reason": "no luck"})

    worker = threading.Thread(target=work)
    worker.start()
    said = run("jobs", "attach", short(job))
    worker.join()
    assert said.code == 1 and "failed" in said.out and "has its turn" in said.err
    assert run("jobs", "attach", short(job), "--json").json["state"] == "failed"
    assert "no job of headstart.db runs now" in run("jobs", "attach").err


def test_following_a_log_ends_with_the_job(here: Path) -> None:
    job = queue()
    run("jobs", "cancel", job)
    lines = run("jobs", "logs", job, "--follow", "--json").out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["queued", "cancelled"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["queue", "tiny.json"], "say when to stop: --for 4h"),
        (["queue", "nothing.json", "--for", "1h"], "nothing.json: no such file"),
        (["queue", "tiny.json", "--for", "1h", "--target", "h200x"], "h200x"),
        (["queue", "tiny.json", "--for", "1h", "--share", "0"], "more than nothing"),
        (["queue", "tiny.json", "--for", "1h", "--tokens", "4", "--batch", "3"], "does not divide"),
        (["run", "--slice", "soon"], "not a length of time"),
        (["pause", "xyz"], "no job 'xyz'"),
        (["attach", "xyz"], "no job 'xyz'"),
        (["logs", "xyz"], "no job 'xyz'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(here: Path, words: list[str], told: str) -> None:
    with Store.open("headstart.db"):
        pass
    said = run("jobs", *words)
    assert said.code in (1, 2) and told in said.err and "Traceback" not in said.err
    assert run("jobs", "list", "--json").json == {"jobs": []}


def test_a_chip_that_nothing_here_can_run_is_refused_but_for_a_cluster(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.nights.request.devices", lambda target: (_ for _ in ()).throw(InputError("none here")))
    words = ("jobs", "queue", "tiny.json", "--for", "1h", "--target", "graviton3")
    refused = run(*words)
    assert refused.code == 2 and "none here" in refused.err and not (here / "headstart.db").exists()
    assert run(*words, "--ray", "10.0.0.7:6379", "--json").json["ray"] == "10.0.0.7:6379"


def test_without_jobs_it_is_said_how_to_make_one(here: Path) -> None:
    with Store.open("headstart.db"):
        pass
    assert "headstart jobs queue MODEL" in run("jobs", "list").out
    assert "no job of headstart.db was run since" in run("jobs", "report").err
