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
        assert run("jobs", "run").code == 0
        (job,) = run("jobs", "list", "--json").json["jobs"]
        assert (job["state"], job["progress"]) == ("done", 1)
        with Store.open("headstart.db", create=False) as store:
            trials = list(store.trials())
            assert {trial.job for trial in trials} == {job["id"]}
            assert all("device" in trial.evidence for trial in trials)
            assert check(store) == []
        assert run("jobs", "report").code == 0
