"""What must not be possible in the sandbox is tried there, with every layer and without each."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from schedules.workload import Argument
from targets.errors import HeadstartError
from tuner.referee import confine, landlock, probes, seccomp
from tuner.referee.sandbox import Limits, Sandbox, environment

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="the sandbox is Linux's")


def test_nothing_gets_out() -> None:
    layers, found = probes.check()
    assert confine.isolates(layers)
    assert layers["landlock"] == (landlock.version() > 0)
    if layers["landlock"]:
        assert [probe for probe in found if not probe.holds] == []
    assert {probe.name for probe in found} == {*probes.NAMES.values(), "no loop without end"}


def test_the_probes_succeed_where_nothing_is_confined() -> None:
    """So that they would notice."""
    _, found = probes.check(confined=False)
    assert {probe.name for probe in found if probe.holds} <= {
        "no loop without end",
        "files in the scratch folder",
        "no connection to another machine",  # where there is no network anyway
    }


def test_inputs_come_in_and_cannot_be_changed_and_outputs_come_out() -> None:
    given, made = Argument("A", (3, 5), "float32"), Argument("C", (2,), "bfloat16")
    with Sandbox([given], [made], Limits()) as box:
        box.inputs.arrays[0][...] = 7
        assert box.outputs.arrays[0].shape == (2,)
        assert box.request("probe", 30.0, probe="reopen", around={"descriptor": box.inputs.descriptor})["holds"]
        assert (box.inputs.arrays[0] == 7).all()


def test_without_any_way_to_keep_it_from_the_network_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.referee.sandbox.isolates", lambda layers: False)
    with pytest.raises(HeadstartError, match="neither network namespaces"):
        Sandbox([], [], Limits())


def test_the_environment_is_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_TOKEN", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://secret")
    assert not any("secret" in value for value in environment("scratch").values())
    # `python -m` puts the folder it is started in where Python looks for modules: that is no reason to show it.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path) not in environment("scratch")["PYTHONPATH"].split(os.pathsep)


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_the_filter_decides_on_every_machine(machine: str) -> None:
    at = 0 if machine == "x86_64" else 1
    made = seccomp.program(machine, 42)
    assert made is not None and len(made) < 4096
    refused = seccomp.ERROR | 1

    def answer(number: int, first: int = 0, arch: int = seccomp.ARCHITECTURES[machine]) -> int:
        held, place = 0, 0
        while True:
            code, yes, no, operand = made[place]
            place += 1
            if code == seccomp.RETURN:
                return operand
            if code == seccomp.LOAD:
                held = {seccomp.NUMBER: number, seccomp.ARCHITECTURE: arch, seccomp.FIRST: first}[operand]
                continue
            true = {
                seccomp.EQUAL: held == operand,
                seccomp.AT_LEAST: held >= operand,
                seccomp.ANY: bool(held & operand),
            }[code]
            place += yes if true else no

    for numbers in seccomp.CALLS.values():
        assert numbers[at] < 0 or answer(numbers[at]) == refused
    for numbers in seccomp.OWN.values():
        assert (answer(numbers[at], 42), answer(numbers[at], 1)) == (seccomp.ALLOW, refused)
    assert [answer(seccomp.LIMITS[at], who) for who in (0, 42, 1)] == [seccomp.ALLOW, seccomp.ALLOW, refused]
    assert answer(seccomp.CLONE[at], seccomp.CLONE_THREAD | 0x100) == seccomp.ALLOW
    assert answer(seccomp.CLONE[at], 17) == refused
    assert answer(seccomp.CLONE3[at]) == seccomp.ERROR | 38
    reading = 0 if machine == "x86_64" else 63
    assert answer(reading) == seccomp.ALLOW
    assert answer(reading, arch=0) == seccomp.KILL
    if machine == "x86_64":
        assert answer(seccomp.X32 | reading) == refused


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp.program("m68k", 1) is None
