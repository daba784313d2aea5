"""A directory is replaced whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from targets.errors import InputError
from tuning_db.place import replacing


def yes(path: Path) -> bool:
    return True


def write(destination: Path, text: str) -> None:
    with replacing(destination, yes) as work:
        (work / "a").write_text(text)
        (work / "b").write_text(text)


def test_new_and_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write(tmp_path / "d", text)
        assert (tmp_path / "d" / "a").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "d", "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "d", yes) as work:
        (work / "a").write_text("new")
        raise RuntimeError
    assert (tmp_path / "d" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "d")
    for destination, may in ((tmp_path / "d", False), (tmp_path / "link", True), (tmp_path / "no" / "d", True)):
        with pytest.raises(InputError), replacing(destination, lambda path, may=may: may):
            pytest.fail("the block must not run")


def test_readers_always_see_one_whole_directory(tmp_path: Path) -> None:
    destination = tmp_path / "d"
    write(destination, "0")
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            # Every generation has both files; a name that vanished would be an error here.
            seen.add((destination / "a").read_text())

    failure: list[BaseException] = []
    reader = threading.Thread(target=lambda: _keep(read, failure))
    reader.start()
    for generation in range(1, 40):
        write(destination, str(generation))
    done.set()
    reader.join()
    assert not failure
    assert seen


def _keep(call: object, failure: list[BaseException]) -> None:
    try:
        call()  # type: ignore[operator]
    except BaseException as error:
        failure.append(error)


def test_what_a_process_left_that_ended_is_cleared_away(tmp_path: Path) -> None:
    """And what another one is at is left alone, as is what anybody else put there."""
    code = (
        "import os, sys; from pathlib import Path; from tuning_db.place import replacing\n"
        "with replacing(Path(sys.argv[1]), lambda path: True) as work:\n"
        "    (work / 'a').write_text('half'); os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "d")], check=False)
    (left,) = tmp_path.iterdir()
    (tmp_path / ".d.placing").mkdir()
    (tmp_path / ".d.mine").mkdir()
    with replacing(tmp_path / "d", yes) as first:
        assert not left.exists()
        write(tmp_path / "d", "second")
        assert first.exists()
        (first / "a").write_text("first")
    assert (tmp_path / "d" / "a").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".d.mine", ".d.placing", "d"]
