"""Recorded machines: ``machines/NAME.json`` maps paths below / to the text that was there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

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
