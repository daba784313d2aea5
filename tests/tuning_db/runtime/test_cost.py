"""What loading and calling costs is measured by the processes that pay for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart_runtime.bundle import Bundle
from headstart_runtime.cost import measure
from headstart_runtime.errors import HeadstartError


def test_figures(bf16: Bundle) -> None:
    found = measure(bf16.path, runs=1)
    steps = found["seconds"]
    assert list(steps) == ["import numpy", "import tvm_ffi", "import headstart_runtime", "load", "first call", "total"]
    assert sum(steps.values()) == pytest.approx(2 * steps["total"])
    assert found["bytes"]["headstart_runtime and the bundle"] < 50 << 20 < 20 * found["bytes"]["numpy and tvm_ffi"]
    assert all(0 < seconds < 1 for seconds in found["calls"].values()) and len(found["calls"]) == 4


def test_no_figures(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"^no bundle at .*: not a directory$"):
        measure(tmp_path / "absent", runs=1)
