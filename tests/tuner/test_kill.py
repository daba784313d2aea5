"""``kill -9`` costs the trial in flight and nothing else: the next run finds everything and goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

TINY = {
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "rms_norm_eps": 1e-6,
    "torch_dtype": "float32",
}
# Three here; set HEADSTART_KILLS to try more.
KILLS = int(os.environ.get("HEADSTART_KILLS", "3"))


def headstart(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]


def trials(db: Path) -> list[tuple[str, str, str, str]]:
    """Trials of schedules new to them, in order: id, workload, schedule, job; none while there is no file."""
    new = "json_extract(evidence, '$.again') IS NULL"
    end = time.monotonic() + 60
    while db.exists():
        try:
            with sqlite3.connect(f"{db.as_uri()}?mode=ro", uri=True) as connection:
                rows = connection.execute(f"SELECT id, workload, schedule, job FROM trial WHERE {new} ORDER BY seq")
                return list(rows)
        except sqlite3.OperationalError:
            # No table yet, or a writer that was killed left work for the next writer: neither means no trials.
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    return []


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(TINY))
    return str(path)


def test_kill_at_random_moments(tmp_path: Path, model: str):
    db = tmp_path / "x.db"
    choose = random.Random()
    for _ in range(KILLS):
        before = trials(db)
        process = subprocess.Popen(
            headstart("tune", model, "--tokens", "4", "--for", "60s", "--db", str(db), "--json"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Not before the run has added something, so that every run has something to lose.
        end = time.monotonic() + 60
        while len(trials(db)) <= len(before) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(choose.uniform(0, 2))
        seen = trials(db)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = trials(db)
        assert len(seen) > len(before)
        assert after[: len(seen)] == seen
        check = subprocess.run(headstart("db", "check", "--db", str(db)), capture_output=True, text=True, check=False)
        assert check.returncode == 0, check.stdout + check.stderr
        # A worker whose job is gone ends by itself.
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive
    repeated = Counter((workload, schedule) for _, workload, schedule, _ in trials(db))
    assert max(repeated.values()) == 1, "a schedule that has a trial is not tried again"
    assert len({job for *_, job in trials(db)}) == KILLS


def test_ctrl_c_keeps_what_was_found_and_says_so(tmp_path: Path, model: str):
    db = tmp_path / "x.db"
    process = subprocess.Popen(
        headstart("tune", model, "--tokens", "4", "--for", "10m", "--db", str(db)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while len(trials(db)) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err and "carries on from here" in err
    assert "one step" in out and str(db) in out
    assert len(trials(db)) >= 3


def test_a_run_with_nothing_left_to_do_ends(tmp_path: Path, model: str):
    db = tmp_path / "x.db"
    command = headstart("tune", model, "--tokens", "4", "--trials", "2", "--db", str(db), "--json")
    first = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    made = len(trials(db))
    assert all(row["trials"] <= 2 and row["champion_s"] for row in first["workloads"])
    second = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(trials(db)) == made
    assert second["total"] == first["total"]
