"""``headstart jobs`` over a cluster: a night whose trials run on its nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.session import TINY, folder, run
from tuning_db.check import check
from tuning_db.store import Store


def test_a_night_on_a_cluster(made: Any, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    step = ("--phase", "decode", "--tokens", "2", "--kv-len", "16", "--trials", "1")
    with folder(tmp_path):
        assert run("jobs", "queue", "tiny.json", *step, "--ray", made.address).code == 0
        # One that nobody can reach does not end the night for the other; what may pass is tried again later.
        assert run("jobs", "queue", "tiny.json", *step, "--cache", "warm", "--ray", "127.0.0.1:1").code == 0
        assert run("jobs", "run", "--for", "40s").code == 0
        jobs = run("jobs", "list", "--json").json["jobs"]
        (reached,) = (job for job in jobs if job["state"] == "done")
        (waits,) = (job for job in jobs if job is not reached)
        assert waits["state"] == "queued"
        with Store.open("headstart.db", create=False) as store:
            trials = [trial for trial in store.trials() if trial.job == reached["id"]]
            assert trials and all("device" in trial.evidence for trial in trials)
            assert any("no Ray cluster can be reached" in str(line["data"]) for line in store.job_log(waits["id"]))
            assert check(store) == []
        assert run("jobs", "report").code == 0
