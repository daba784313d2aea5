"""Misses: counted once each, from any thread and process, and a file that is read strictly."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart_runtime import misses
from headstart_runtime.misses import MAX_COUNT, MOST, Miss, Misses, MissFile, added, loads, read

CHIP = "c" + "0" * 24
FILE = MissFile(
    "0123456789abcdef" * 2,
    {
        Miss("linear", {"m": 16, "dtype": "bfloat16"}, (("bfloat16", (48, 64)), ("bfloat16", (96, 64))), CHIP): 7,
        Miss("rmsnorm", {"eps": 1e-6, "weight": True}, (("float32", (5, 64)),), CHIP): 1,
    },
)
DOCUMENT: dict[str, Any] = json.loads(FILE.dumps())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


def miss(rows: int) -> Miss:
    return Miss("linear", {"m": 16, "n": 64, "k": 64}, (("float32", (rows, 64)), ("float32", (64, 64))), CHIP)


def paths(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in ((*before, key), *paths(item, (*before, key)))]


def test_round_trip() -> None:
    assert loads(FILE.dumps().encode()) == FILE
    assert loads(FILE.dumps().encode()).dumps() == FILE.dumps()


@given(st.sampled_from(paths(DOCUMENT)), JSON)
def test_whatever_is_written_over_a_place_is_read_as_it_is_or_refused(path: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        found = loads(json.dumps(document).encode())
    except ValueError as error:
        assert "\n" not in str(error) and str(error).isprintable()
    else:
        # What is read can be written and read again, and a count is one.
        assert loads(found.dumps().encode()) == found
        assert all(0 < count <= MAX_COUNT for count in found.counts.values())


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_file_of_misses_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(is not|names a field|holds)"):
        loads(data)


@pytest.mark.parametrize("path", paths(DOCUMENT), ids=str)
def test_nothing_may_be_left_out_or_added(path: tuple[Any, ...]) -> None:
    for change in ("less", "more"):
        document = copy.deepcopy(DOCUMENT)
        place = document
        for key in path[:-1]:
            place = place[key]
        if not isinstance(place, dict) or "m" in place or "eps" in place:
            return
        if change == "less":
            del place[path[-1]]
        else:
            place["user"] = "somebody"
        with pytest.raises(ValueError, match=r"missing or too many|schema"):
            loads(json.dumps(document).encode())


def test_what_is_nested_long_or_there_twice_is_refused(tmp_path: Path) -> None:
    twice = json.dumps({**DOCUMENT, "misses": DOCUMENT["misses"] * 2}).encode()
    many = json.dumps({**DOCUMENT, "misses": [DOCUMENT["misses"][0]] * (MOST + 1)}).encode()
    for data, said in (
        (b"[" * 100_000, "not JSON"),
        (twice, "miss 3: is there twice"),
        (many, "at most 1000"),
        (b'{"schema": 1, "schema": 1}', "twice"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "4300 digits|schema"),
    ):
        with pytest.raises(ValueError, match=said):
            loads(data)
    (tmp_path / "long").write_bytes(b" " * (5 << 20))
    with pytest.raises(ValueError, match="longer than 4 MiB"):
        read(tmp_path / "long")


@given(
    st.dictionaries(st.integers(1, 9), st.integers(1, MAX_COUNT)), st.dictionaries(st.integers(1, 9), st.integers(1, 9))
)
def test_counts_are_added(one: dict[int, int], other: dict[int, int]) -> None:
    file = added(
        added(MissFile("0" * 32, {}), {miss(n): c for n, c in one.items()}), {miss(n): c for n, c in other.items()}
    )
    assert file.id == "0" * 32
    wanted = {n: min(one.get(n, 0) + other.get(n, 0), MAX_COUNT) for n in one | other}
    assert file.counts == {miss(n): count for n, count in wanted.items()}


def test_threads_lose_nothing_and_nothing_is_written_twice(tmp_path: Path) -> None:
    counter, path = Misses(), tmp_path / "misses.json"

    def work() -> None:
        for n in range(300):
            counter.add(miss(n % 3 + 1))
            if n % 100 == 0:
                counter.write(path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = counter.write(path)
    assert first == counter.write(path) == read(path)
    assert first.counts == {miss(1): 400, miss(2): 400, miss(3): 400} == counter.counts
    # Nothing is left beside the file.
    assert [each.name for each in tmp_path.iterdir()] == ["misses.json"]


def test_processes_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "misses.json"
    code = (
        "import sys\n"
        "from headstart_runtime.misses import Miss, Misses\n"
        "counter = Misses()\n"
        "for _ in range(40):\n"
        f"    counter.add(Miss('linear', {{}}, (('float32', (3,)),), {CHIP!r}))\n"
        "    counter.write(sys.argv[1])\n"
    )
    root = Path(misses.__file__).parents[1]
    started = [subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    assert list(read(path).counts.values()) == [80]


def test_what_no_file_could_hold_is_not_counted(tmp_path: Path) -> None:
    counter = Misses()
    counter.add(Miss("primfunc", {"ir": "x" * 1000}, (("float32", (3,)),), CHIP))
    counter.add(Miss("linear", {}, (("float32", (3,)),), "a user"))
    for n in range(MOST + 5):
        counter.add(miss(n))
    counter.add(miss(0))
    assert len(counter.counts) == MOST and counter.counts[miss(0)] == 2
    assert len(counter.write(tmp_path / "misses.json").counts) == MOST


def test_another_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("mine")
    counter = Misses()
    counter.add(miss(1))
    with pytest.raises(ValueError, match="not JSON"):
        counter.write(path)
    assert path.read_text() == "mine"
    # It is not lost either.
    assert counter.write(tmp_path / "misses.json").counts == {miss(1): 1}
