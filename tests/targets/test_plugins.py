"""Chips of plug-ins: found without importing, refused with the reason where they cannot be used, harmless to others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

import targets
from cli.targets import command as targets_command
from schedules.plugin_spaces import added, checked
from schedules.space import spaces, spaces_on
from targets import catalogue, plugins
from targets.errors import InputError
from tests.plugin_packages import PLUGIN, on_path, write
from tuner.backends import backend_for

Install = Callable[..., None]

SPACE = """
from schedules.spaces.default import Default


class Mine(Default):
    name = {name!r}
    version = {version!r}


spaces = [{spaces}]
"""


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Install]:
    """``install(package, chips, code)`` puts a plug-in into this process, until the test ends."""
    with ExitStack() as stack:

        def make(package: str, chips: list[str], code: str | None = None) -> None:
            write(tmp_path / package, package, chips, code)
            stack.enter_context(on_path(tmp_path / package))

        yield make


def code(name: str, **changed: str) -> str:
    """A plug-in of a chip, some of what it says replaced."""
    text = PLUGIN.format(name=name)
    for before, after in changed.items():
        assert before in text
        text = text.replace(before, after)
    return text


def test_a_chip_is_found_by_its_name(install):
    install("maker", ["chip-1"])
    assert "chip-1" in plugins.names() and "maker" not in sys.modules
    chip = targets.resolve("chip-1")
    assert chip.fingerprint.startswith("c") and "maker" in sys.modules
    found = plugins.chip_of(chip)
    assert found is not None and found.origin == "plug-in maker 1.0 (entry point 'chip-1')"
    assert spaces_on(chip) == spaces()


def test_no_other_plug_in_is_imported(install):
    install("good", ["chip-1"])
    install("bad", ["chip-2"], "raise RuntimeError('no driver')")
    assert targets.resolve("chip-1").name == "chip-1"
    assert plugins.chip_of(catalogue.target("zen4")) is None
    with pytest.raises(InputError, match=r"bad 1\.0 .* cannot be loaded \(RuntimeError: no driver\): mend"):
        targets.resolve("chip-2")


def test_another_chip_of_the_same_name_is_not_the_plug_ins(install):
    install("maker", ["chip-1"])
    other = targets.Target("chip-1", "Maker", "Chip", {"kind": "c", "mcpu": "chip-1"}, cores=2, vector_bits=32)
    assert plugins.chip_of(other) is None and spaces_on(other) == spaces() and backend_for(other) is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("chip-1", "import nowhere", "cannot be loaded (ModuleNotFoundError: No module named 'nowhere')"),
        ("chip-1", "import sys; sys.exit('no licence')", "cannot be loaded (SystemExit: no licence)"),
        ("chip-1", "def __getattr__(name): raise OSError('no card')", "cannot be loaded (OSError: no card)"),
        ("chip-1", "targets = []", "lacks spaces, backend"),
        ("chip-1", "targets = spaces = backend = None", "targets must be a list of Target"),
        ("chip-1", "targets, spaces, backend = ['chip-1'], [], print", "targets must be a list of Target"),
        ("chip-1", "targets, spaces, backend = [], [], print", "its targets are nothing"),
        ("chip-1", code("chip-2"), "must have one target of that name; its targets are 'chip-2'"),
        ("chip-1", code("chip-1", **{'"mcpu": "chip-1"': '"mcpu": "x"'}), "no attribute of the TVM target"),
        ("chip-1", code("chip-1", **{'"mcpu"': '"x": {1, 2}, "mcpu"'}), "not made of plain values"),
        ("chip-1", code("chip-1", **{"cores=1": "cores=0"}), "needs sorted features, cores, vector_bits"),
        ("chip-1", code("chip-1", **{"cores=1": "cores=1, features=('b', 'a')"}), "needs sorted features"),
        ("chip-1", code("chip-1", **{"cores=1": "cores=1, peaks=Peaks({'int8': 1e9}, 1e9)"}), "need flops of float32"),
        ("chip-1", code("chip-1", **{"cores=1": "cores=1, peaks=Peaks({'float32': 0}, 1e9)"}), "must be positive"),
        ("zen4", None, "'zen4' is taken"),
        ("host", None, "'host' is taken"),
        ("Chip 1", None, "'Chip 1' is no name of small letters"),
    ],
)
def test_what_is_wrong_with_a_plug_in_is_said(install, name, text, said):
    install("maker", [name], text)
    with pytest.raises(InputError) as refused:
        plugins.chip(name)
    assert said in str(refused.value) and "plug-in maker 1.0" in str(refused.value)
    assert "\n" not in str(refused.value)
    # Whatever it is, the command for all other chips goes on.
    listed = json.loads(CliRunner().invoke(targets_command, ["list", "--json"], catch_exceptions=False).stdout)
    assert [entry["name"] for entry in listed] == [*catalogue.specs(), name]
    assert listed[-1] == {"name": name, "broken": str(refused.value)}
    assert targets.resolve("zen4") == catalogue.target("zen4")


def test_two_plug_ins_with_one_name(install):
    install("first", ["chip-1"])
    install("second", ["chip-1"])
    with pytest.raises(InputError, match=r"first 1\.0 and second 1\.0 both add a chip called 'chip-1': uninstall one"):
        targets.resolve("chip-1")


def test_a_chip_that_is_one_of_the_catalogue_by_another_name(install):
    install(
        "maker",
        ["znver4"],
        "from dataclasses import replace\nfrom targets import catalogue\nspaces, backend = [], print\n"
        "targets = [replace(catalogue.target('zen4'), name='znver4')]",
    )
    with pytest.raises(InputError, match="'znver4' is zen4 to the database"):
        targets.resolve("znver4")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"name": "maker.mine", "version": 1, "spaces": "Mine"}, ""),
        ({"name": "default", "version": 1, "spaces": "Mine"}, "its name must be 'maker.' and a word"),
        ({"name": "other.mine", "version": 1, "spaces": "Mine"}, "its name must be 'maker.' and a word"),
        ({"name": None, "version": 1, "spaces": "Mine"}, "is called None"),
        ({"name": "maker.mine", "version": True, "spaces": "Mine"}, "needs a version"),
        ({"name": "maker.mine", "version": 1, "spaces": "Mine, Mine"}, "two of its spaces are called 'maker.mine'"),
        ({"name": "maker.mine", "version": 1, "spaces": "int"}, "int is no class derived from schedules.space.Space"),
        ({"name": "maker.mine", "version": 1, "spaces": "3"}, "3 is no class derived from schedules.space.Space"),
        (
            {"name": "maker.mine", "version": 1, "spaces": "Default.__base__"},
            "space Space must define apply, features, mutate, sample, seeds, supports",
        ),
    ],
)
def test_spaces_are_checked(install, space, said):
    install("maker", ["chip-1"], PLUGIN.format(name="chip-1") + SPACE.format(**space))
    chip, fault = checked("chip-1")
    assert said in fault and (chip is None) == bool(said)
    if chip is not None:
        assert list(added(chip)) == ["maker.mine"]
        assert "maker.mine" in spaces_on(chip.target) and "maker.mine" not in spaces_on(catalogue.target("zen4"))
    else:
        with pytest.raises(InputError, match=r"plug-in maker 1\.0"):
            spaces_on(targets.resolve("chip-1"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no card')", r"has no backend for it \(RuntimeError: no card\)"),
        ("return 1", "is of type int"),
    ],
)
def test_a_backend_that_is_none(install, body, said):
    install("maker", ["chip-1"], PLUGIN.format(name="chip-1").replace('raise RuntimeError("no card")', body))
    with pytest.raises(InputError, match=said):
        backend_for(targets.resolve("chip-1"))


def test_what_reads_from_strangers_loads_no_plug_in(tmp_path: Path):
    """A plug-in that would leave a trace is installed, and its chip and space are named in what a service reads."""
    trace = tmp_path / "trace"
    write(tmp_path / "site", "maker", ["chip-1"], f"open({str(trace)!r}, 'w').close()")
    look = (
        "import importlib, pkgutil, sys, tuning_db\n"
        "for module in pkgutil.walk_packages(tuning_db.__path__, 'tuning_db.'):\n"
        "    importlib.import_module(module.name)\n"
        "from tuning_db.pages.schedule import plan\n"
        "from tuning_db.screening import catalogue_by_fingerprint, space_versions\n"
        "assert 'maker.mine' not in space_versions() and catalogue_by_fingerprint()\n"
        "assert plan('s', 'maker.mine', 1, {}).about == ''\n"
        "from targets import plugins\n"
        "print(*plugins.names())\n"
    )
    code = f"import sys; sys.path[:0] = {[str(tmp_path / 'site'), *sys.path]!r}\n{look}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["chip-1"] and not trace.exists()
