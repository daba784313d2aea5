"""A bundle on a machine that has numpy and tvm-ffi and nothing else of what is installed here."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart_runtime.bundle import Bundle
from headstart_runtime.errors import InputError
from tests.tuning_db.runtime.isolated import run_alone
from tuning_db.runtime_copy import write_runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "runtime"
    write_runtime(folder)
    return folder


@pytest.mark.parametrize("more", [(), ("ml_dtypes",)], ids=["numpy alone", "with ml_dtypes"])
def test_every_kernel(fp8: Bundle, runtime: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    run_alone(fp8.path, runtime, tmp_path, *more)


def test_what_the_copy_says_of_itself(runtime: Path) -> None:
    text = (runtime / "pyproject.toml").read_text()
    assert 'name = "headstart-runtime"' in text and 'dependencies = ["apache-tvm-ffi' in text and '"numpy>=' in text
    assert (runtime / "headstart_runtime" / "torch" / "__init__.py").is_file()


def test_only_a_copy_is_replaced(runtime: Path, tmp_path: Path) -> None:
    files = write_runtime(runtime)
    assert "pyproject.toml" in files and "headstart_runtime/bundle.py" in files
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="is not a copy of the runtime"):
        write_runtime(tmp_path / "mine")
