"""What must be true of every file: imports point down, modules stay small, nothing names the machine it was made on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("headstart_runtime", "targets", "schedules", "tuning_db", "tuner", "cli")
# The runtime is the lowest layer, and lies in a folder of its own so that it can be put on a path without the rest.
RUNTIME = "tuning_db/runtime/headstart_runtime/"
LONGEST = 400
MODULES = sorted(path.relative_to(ROOT).as_posix() for layer in LAYERS[1:] for path in (ROOT / layer).rglob("*.py"))


def layer_of(module: str) -> str:
    """The layer that a module belongs to."""
    return LAYERS[0] if module.startswith(RUNTIME) else module.partition("/")[0]


def imported(module: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, inside functions and for type checking too."""
    for node in ast.walk(ast.parse((ROOT / module).read_text(), module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: a relative import hides where it points"
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def tracked() -> list[Path]:
    """The files of the repository, the ones that were not added yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    layer = LAYERS.index(layer_of(module))
    up = [
        f"{module}:{line}: {name}" for line, name in imported(module) if name.partition(".")[0] in LAYERS[layer + 1 :]
    ]
    assert not up


@pytest.mark.parametrize("module", [module for module in MODULES if layer_of(module) == "tuning_db"])
def test_the_database_names_no_compiler(module: str) -> None:
    assert not [name for _, name in imported(module) if name.partition(".")[0] == "tvm"]


@pytest.mark.parametrize("module", [module for module in MODULES if layer_of(module) == "tuning_db"])
def test_the_database_asks_for_no_plug_in(module: str) -> None:
    """What reads data of strangers must not run what somebody installed beside it because a name asks for it."""
    asks = {"targets.resolve", "targets.names", "targets.plugins", "schedules.plugin_spaces"}
    asks |= {f"schedules.space.{name}" for name in ("spaces_on", "spaces_for", "apply")}
    found = {name for _, name in imported(module)}
    assert not [name for name in found for ask in asks if name == ask or name.startswith(f"{ask}.")]


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(RUNTIME)])
def test_the_runtime_stands_alone(module: str) -> None:
    """It is copied to machines that have nothing else of Headstart, and of packages only these."""
    allowed = {"headstart_runtime", "numpy", "tvm_ffi", "ml_dtypes", *sys.stdlib_module_names}
    if module.startswith(f"{RUNTIME}torch/"):
        allowed.add("torch")
    assert {name.partition(".")[0] for _, name in imported(module)} <= allowed


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("headstart_runtime", ["tvm"]),
        ("tuning_db", ["tvm", "cryptography"]),
        (
            "cli",
            ["tvm", "torch", "onnx", "xgboost", "matplotlib", "jinja2", "cryptography", "fastapi", "uvicorn", "httpx"],
        ),
    ],
)
def test_what_loading_brings(package: str, unwanted: list[str]) -> None:
    """A server needs no compiler, and no command waits for one before it knows what it is to do."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"import {package} as package\n"
        "for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        f"print(*(name for name in {unwanted} if name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_no_two_test_modules_have_one_name() -> None:
    """Where a folder is no package, pytest imports by the name of the file alone, and stops at the second."""
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = Counter(path.name for path in paths)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_small(module: str) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= LONGEST


def test_no_file_names_the_machine_it_was_made_on() -> None:
    # Written so that this file does not match: home of the first user, where checkouts lie, scratch folders of shells.
    private = re.compile(rb"(?<![\w.-])/(root|work|tmp/[b]ash_jobs)/")
    found = {path.relative_to(ROOT).as_posix() for path in tracked() if private.search(path.read_bytes())}
    assert not found
