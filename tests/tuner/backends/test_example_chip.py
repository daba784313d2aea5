"""The worked example of a plug-in, installed by pip and used from the command line as its maker would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schedules.lower import lower
from schedules.operators.linear import Linear
from schedules.space import spaces_for
from schedules.workload import Workload
from targets import resolve
from tests.cli.session import ROOT, folder, run
from tests.plugin_packages import EXAMPLE, install, on_path, write
from tuner.backends import backend_for
from tuner.backends.bench import BackendBench
from tuner.local_executor import LocalExecutor
from tuner.task import DEFAULT
from tuning_db.records import Policy, Status

# One layer of attention would take most of the time of the whole test.
MODEL = {
    "model_type": "qwen3",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 64,
}
COMMAND = "import sys; sys.modules['torch'] = None; from cli.main import main; sys.argv[0] = 'headstart'; main()"
NPU = "example-npu"
STEP = ("--tokens=2", "--kv-len=16", f"--target={NPU}")
# It fits into the cache of the device.
WORKLOAD = Workload.of(Linear(4, 8, 64))


def shell(home: Path, site: Path, *words: str) -> str:
    """What ``headstart`` prints in a process of its own, for which a folder of packages is installed."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("HEADSTART_")}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tuning_db" / "runtime"), str(site)])
    command = [sys.executable, "-c", COMMAND, *words]
    ran = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_model_is_tuned_for_it(tmp_path, example):
    """One test, since tuning takes longer than all that is asked of what came of it."""
    (tmp_path / "tiny.json").write_text(json.dumps(MODEL))
    install(EXAMPLE, tmp_path / "site")
    listed = shell(tmp_path, tmp_path / "site", "targets", "list")
    assert f"{NPU}: added by plug-in headstart-example-chip 1.0" in listed
    words = ("tune", "tiny.json", *STEP, "--trials=2", "--seed=0", "--json")
    tuned = json.loads(shell(tmp_path, tmp_path / "site", *words))
    assert tuned["failures"] == {}
    operators = {row["operator"]: row for row in tuned["workloads"]}
    assert {"linear", "rmsnorm", "swiglu"} <= set(operators)
    assert all(row["champion_s"] for row in tuned["workloads"])
    assert operators["linear"]["speedup"] > 2 and operators["rmsnorm"]["speedup"] > 1
    with folder(tmp_path):
        (best,) = run("best", operators["linear"]["workload"], f"--target={NPU}", "--json").json["champions"]
        written = run("metaschedule", "export", "traces", f"--target={NPU}", "--json").json["champions"]
        bundled = run("bundle", "build", "tiny.json", *STEP, "-o=out")
    assert best["target"]["name"] == NPU and best["schedule"]["space"] == "example_chip.tiles"
    # It says whose times these are.
    assert best["policy"]["clock"] == "simulated" and best["toolchain"]["versions"]["example-npu"] == "1"
    assert len(written) == len(tuned["workloads"]) and {one["form"] for one in written} == {"trace"}
    assert bundled.code == 1 and "a bundle holds kernels for CPUs, and example-npu" in bundled.err


def test_the_chip_is_listed_beside_a_broken_one(example, tmp_path):
    write(tmp_path / "site", "broken", ["chip-2"], "import no_driver")
    with on_path(tmp_path / "site"):
        listed = run("targets", "list").out
    assert f"{NPU}: added by plug-in example_chip 1.0 (entry point '{NPU}')" in listed
    assert "cannot be used: plug-in broken 1.0 (entry point 'chip-2') cannot be loaded" in listed


def test_no_referee_judges_it(tmp_path, example):
    with folder(tmp_path):
        ended = run("referee", f"--target={NPU}", "--once", "--as=judge")
    assert ended.code == 2 and "no referee can judge claims for example-npu" in ended.err


def test_a_machine_without_a_device_says_what_is_missing(tmp_path, example):
    (tmp_path / "tiny.json").write_text(json.dumps(MODEL))
    with folder(tmp_path, CC="no-such-compiler"):
        ended = run("tune", "tiny.json", *STEP, "--trials=1")
    assert ended.code == 2
    assert "no kernels for example-npu can be run here: the simulator needs a C compiler" in ended.err


def test_knobs_change_what_the_device_counts(example, tmp_path):
    target = resolve(NPU)
    backend, space = backend_for(target), spaces_for(WORKLOAD, target)["example_chip.tiles"]
    assert backend is not None
    inputs, output = WORKLOAD.inputs(np.random.default_rng(0)), np.empty((4, 8), np.float32)
    cold, warm = [], []
    for name, schedule in (
        ("default", DEFAULT),
        ("one", space.schedule({"rows": 1, "columns": 1, "columns_outer": 0})),
        ("tile", space.schedule({"rows": 2, "columns": 4, "columns_outer": 0})),
    ):
        (tmp_path / name).mkdir()
        artefact = backend.build(lower(WORKLOAD, schedule, target), target, tmp_path / name)
        program = backend.load(artefact, target, "npu:0")
        cold.append(program.call(inputs, [output], 3, True))
        warm.append(program.call(inputs, [output], 3, False))
    # The device counts and does not measure, so that this holds whatever else the machine does.
    assert all(len(set(times)) == 1 for times in cold) and all(times[1] == times[2] < times[0] for times in warm)
    assert cold[0][0] > cold[1][0] > 2 * cold[2][0]
    assert all(first[0] == alone[0] > again[1] for first, alone, again in zip(warm, cold, warm, strict=True))


# A maker's mistakes: what the device does, once, instead of what it was asked for.
BROKEN = """
import os, signal
from dataclasses import replace
from pathlib import Path

import example_chip
from example_chip.backend import SimulatedNpu, SimulatedProgram

fault = Path({fault!r})
targets = [replace(example_chip.NPU, name="broken-npu", tvm=dict(example_chip.NPU.tvm, mcpu="broken-npu"))]
spaces = []


class Program(SimulatedProgram):
    def call(self, inputs, outputs, calls, cold):
        if fault.exists():
            text = fault.read_text()
            fault.unlink()
            exec(text)
        return super().call(inputs, outputs, calls, cold)


class Device(SimulatedNpu):
    def load(self, artefact, target, device):
        return Program(artefact)


def backend(target):
    return Device()
"""
FAULTS = {
    "raise OSError('link down')": "link down",
    "os.kill(os.getpid(), signal.SIGSEGV)": "SIGSEGV",
    "os.posix_spawn('/bin/sleep', ['sleep', '60'], {})": "started 1 process of its own",
}


def test_a_device_that_does_otherwise_costs_one_trial(example, tmp_path, monkeypatch):
    site, fault = tmp_path / "site", tmp_path / "fault"
    write(site, "maker", ["broken-npu"], BROKEN.format(fault=str(fault)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    with on_path(site), LocalExecutor(resolve("broken-npu"), Policy("cold", 1)) as executor:
        session = executor.devices()[0].open(WORKLOAD, seed=0)
        for text, said in FAULTS.items():
            fault.write_text(text)
            outcome = session.trial(DEFAULT)
            assert outcome.status is Status.RUN_ERROR and said in outcome.error and "\n" not in outcome.error
            assert session.trial(DEFAULT).status is Status.OK


@pytest.mark.parametrize("fault", ["outputs[0][0] += 1", "outputs[0].fill(0)"])
def test_wrong_output_of_a_device_is_no_result(fault, example, monkeypatch):
    from example_chip.backend import SimulatedProgram

    right = SimulatedProgram.call

    def call(self, inputs, outputs, calls, cold):
        times = right(self, inputs, outputs, calls, cold)
        exec(fault)
        return times

    monkeypatch.setattr(SimulatedProgram, "call", call)
    target = resolve(NPU)
    backend = backend_for(target)
    assert backend is not None
    bench = BackendBench(backend, "npu:0", WORKLOAD, target, Policy("cold", 1), seed=0)
    kernel = bench.build(DEFAULT)
    bench.run(kernel)
    assert "elements wrong" in (bench.measure(kernel, None).wrong or "")
