"""Bundles for other chips are refused before a byte of their library is mapped: it would run as it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headstart_runtime import bundle, chip, linux
from headstart_runtime.chip import OtherChipError, here
from headstart_runtime.errors import InputError
from targets import detect
from targets.target import Target
from tests.tuning_db.runtime.sealed import MANIFEST, TARGET, seal
from tests.tuning_db.runtime.speaking import LOADED, speaking
from tuner.compile import _target


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return speaking(tmp_path_factory.mktemp("speaks"))


@pytest.fixture
def load(library: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Load a bundle for this machine with some fields of its target changed; says whether its library was mapped."""
    monkeypatch.setenv(LOADED, str(tmp_path / "loaded"))

    def load(any_chip: bool = False, **changes: Any) -> bool:
        target = replace(TARGET, name="zen9", model="EPYC 9", **changes)
        path = seal(tmp_path / "b", replace(MANIFEST, target=target).dumps(), library)
        try:
            with pytest.raises(InputError, match="has no function headstart_pool"):
                bundle.load(path, any_chip=any_chip)
        except OtherChipError as error:
            assert "\n" not in str(error)
            assert not (tmp_path / "loaded").exists()
            raise
        return (tmp_path / "loaded").exists()

    return load


def test_this_chip(load: Callable[..., bool]) -> None:
    assert load()


@pytest.mark.parametrize("any_chip", [False, True])
def test_another_architecture(load: Callable[..., bool], any_chip: bool) -> None:
    with pytest.raises(OtherChipError, match=r"for zen9 \(EPYC 9\), s390x; this machine is"):
        load(any_chip, arch="s390x")


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc/cpuinfo")
@pytest.mark.parametrize("any_chip", [False, True])
def test_instructions_that_are_not_here(load: Callable[..., bool], any_chip: bool) -> None:
    with pytest.raises(
        OtherChipError, match=r"for zen9 \(EPYC 9\); this machine is .* lacks .*: vector4096, vector8192$"
    ):
        load(any_chip, instructions=("vector8192", "vector4096"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cores": here().cores + 3}, f"{here().cores} cores and not {here().cores + 3}"),
        ({"l2": 7}, "second-level cache and not 7"),
        ({"l3": here().l3 + 1, "l1d": 0}, "first-level cache and not 0, .* third-level"),
        ({"features": ()}, "it has .* too"),
    ],
)
def test_another_chip_that_runs_the_code(load: Callable[..., bool], changes: dict[str, Any], told: str) -> None:
    if not here().features and "features" in changes:
        pytest.skip("the system does not say")
    with pytest.raises(OtherChipError, match=rf"for zen9 \(EPYC 9\); this machine is .*{told}.*any_chip=True"):
        load(**changes)
    assert load(any_chip=True, **changes)


@pytest.mark.parametrize(
    ("name", "arch", "cpu"),
    [
        ("zen4-vm", "x86_64", "znver4"),
        ("sapphire-rapids-smt", "x86_64", "sapphirerapids"),
        ("graviton3", "aarch64", "neoverse-v1"),
    ],
)
def test_the_chip_that_it_was_built_for_passes(
    recorded: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str, arch: str, cpu: str
) -> None:
    """Whatever the fingerprint of a machine is: a bundle for it loads there."""
    machine = linux.read(arch, None, recorded(name))
    target: Target = detect.describe(machine, cpu, f"{arch}-linux-gnu")
    monkeypatch.setattr(chip, "here", lambda: machine)
    chip.check_chip(_target(target))
    fewer = replace(machine, features=machine.features - {"avx512bf16", "bf16"})
    monkeypatch.setattr(chip, "here", lambda: fewer)
    with pytest.raises(OtherChipError, match=r"lacks instructions that its code uses: .*bf16"):
        chip.check_chip(_target(target), any_chip=True)
