"""Recorded machines (``machines/NAME.json`` maps paths below / to the text that was there), and bundles built once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from headstart_runtime.bundle import Bundle

# A machine that is busy with other tests is no reason for one to fail.
settings.register_profile("headstart", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headstart")

MACHINES = Path(__file__).parent / "machines"


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Path]:
    """``recorded(name, **changed)``: a folder with the files of a machine, some with other text."""

    def write(name: str, changed: dict[str, str] | None = None) -> Path:
        files = json.loads((MACHINES / f"{name}.json").read_text()) | (changed or {})
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return write


@pytest.fixture(scope="session", autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests wait for no other job on this machine, and none for them: nothing here asks how fast a kernel is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_LOCKS", str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture(scope="session")
def bf16(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Kernels of a tiny decoder in bfloat16, for 1 and 6 rows."""
    from tests.tuning_db.runtime.bundles import build, config, decoder

    return build(decoder(config()), tmp_path_factory.mktemp("bf16") / "tiny.bundle")


@pytest.fixture(scope="session")
def fp8(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Kernels of the same decoder with fp8 weights."""
    from tests.tuning_db.runtime.bundles import FP8, build, config, decoder

    return build(decoder(config(**FP8)), tmp_path_factory.mktemp("fp8") / "tiny.bundle")


@pytest.fixture(scope="session")
def any_rows(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Families of kernels of a tiny decoder in bfloat16, for any number of rows."""
    from tests.tuning_db.runtime.bundles import build_rows, config

    return build_rows(config(), tmp_path_factory.mktemp("rows") / "tiny.bundle")
