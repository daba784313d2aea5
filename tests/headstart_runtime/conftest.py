"""Bundles of a tiny decoder, built once for all that call them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart_runtime.bundle import Bundle
from tests.headstart_runtime.bundles import FP8, build, config, decoder


@pytest.fixture(scope="session")
def bf16(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Kernels of a decoder in bfloat16 for 1 and 6 rows."""
    return build(decoder(config()), tmp_path_factory.mktemp("bf16") / "tiny.bundle")


@pytest.fixture(scope="session")
def fp8(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Kernels of the same with fp8 weights."""
    return build(decoder(config(**FP8)), tmp_path_factory.mktemp("fp8") / "tiny.bundle")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A file of misses that is not there yet."""
    return tmp_path / "misses.json"
