"""The watch sees what it is there for; without that, the other tests of this folder say little."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.redteam.hostile import attack, nothing_runs
from tests.tuning_db.claims import batch, key
from tuning_db.submission import sign_batch


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: eval("1 + 1"),
        lambda folder: exec("1 + 1"),
        lambda folder: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda folder: (folder / "file").write_text("x"),
        lambda folder: ctypes.CDLL(None),
        lambda folder: __import__("this_is_not_there_yet"),
    ],
    ids=["eval", "exec", "process", "file", "library", "import"],
)
def test_it_sees(act: Any, tmp_path: Path) -> None:
    with pytest.raises(AssertionError), nothing_runs(), suppress(ImportError):
        act(tmp_path)


def test_an_honest_batch_passes() -> None:
    assert attack(sign_batch(batch(), key()).dumps()) == set()
