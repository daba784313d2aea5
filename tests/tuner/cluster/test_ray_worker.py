"""``headstart worker``: a machine joins a cluster for its own chip, once, and leaves on Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from targets import detect
from targets.errors import InputError
from tests.tuner.cluster.test_ray_executor import until
from tuner.cluster.chips import chip_of_cluster
from tuner.cluster.connection import connected, resource

pytest.importorskip("ray")


def test_a_machine_joins_once_and_leaves(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_LOCKS", str(tmp_path / "locks"))
    host = detect.host()
    command = [sys.executable, "-m", "cli.main", "worker", "--ray", made.address]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        said = worker.stdout.readline()
        assert f"({host.fingerprint}) measures for the cluster at {made.address}, 1 device: cpu:0" in said
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"is taken by `headstart worker`, process {worker.pid}" in second.stderr
        found = chip_of_cluster(made.address, host.fingerprint)
        assert found.fingerprint == host.fingerprint and found.name == host.name
        with pytest.raises(InputError, match=f"the cluster has {host.name}"):
            chip_of_cluster(made.address, "nobody's")
        worker.send_signal(signal.SIGINT)
        _, told = worker.communicate(timeout=60)
        assert worker.returncode == 0 and "Leaving the cluster" in told and "Traceback" not in told
        with connected(made.address, {}) as ray:
            until(lambda: sum(resource(host) in node["Resources"] for node in ray.nodes() if node["Alive"]) == 2)
    finally:
        worker.kill()
        worker.communicate()


def test_a_worker_without_a_cluster_says_so() -> None:
    command = [sys.executable, "-m", "cli.main", "worker", "--ray", "127.0.0.1:1"]
    alone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert alone.returncode == 1 and alone.stderr.startswith("error: no Ray cluster can be reached at 127.0.0.1:1")
