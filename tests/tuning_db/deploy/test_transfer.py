"""The network fails: the old bundle stays whole, and the next pull goes on where the last one was."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from targets.errors import HeadstartError
from tests.tuning_db.deploy.depot import (
    HASTE,
    LIBRARY,
    ONCE,
    WISH,
    Depot,
    Fault,
    deployment,
    library,
    pull,
    puller,
    sha,
)
from tests.tuning_db.deploy.proxy import proxy
from tests.tuning_db.selecting import SELECTION, candidate, kernel
from tuning_db.deploy.cache import Cache
from tuning_db.published import BundleFile

NEWER = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", 5, 5e-4)), kernel(2)))
BLOB = f"blobs/{sha(LIBRARY)}"


def classes(sent: bytes) -> dict[int, bool]:
    """Offsets into what a server sent, and whether an answer ends there: in and behind the headers, and in the body.

    Of the timestamp, the targets, and each file of the bundle.
    """
    answers: list[tuple[int, int, int]] = []
    while (at := answers[-1][2] if answers else 0) < len(sent):
        headers = sent.index(b"\r\n\r\n", at) + 4
        (length,) = [int(line[16:]) for line in sent[at:headers].split(b"\r\n") if line.startswith(b"Content-Length: ")]
        answers.append((at, headers, headers + length))
    found = {}
    for at, headers, end in (answers[2], answers[4], *answers[-3:]):
        found |= dict.fromkeys([(at + headers) // 2, headers, headers + 1, (headers + end) // 2, end - 1], False)
        found[end] = True
    return found


def test_the_wire_is_cut_anywhere(depot: Depot, tmp_path: Path) -> None:
    """Once at each class of offsets, for a client that does not try again: old and whole, then new."""
    with proxy(depot.port) as wire:
        pull(tmp_path / "first", f"http://127.0.0.1:{wire.port}", ONCE)
        offsets = classes(bytes(wire.sent))
    assert len(offsets) == 30
    for at, between in offsets.items():
        folder = tmp_path / str(at)
        folder.mkdir()
        with proxy(depot.port) as wire:
            wire.cut, url = at, f"http://127.0.0.1:{wire.port}"
            try:
                pull(folder, url, ONCE)
                assert between  # where another connection did
            except HeadstartError as error:
                assert "\n" not in str(error)
                assert not (folder / "b").exists()
                assert not (folder / "headstart.lock").exists()
            pull(folder, url, ONCE)
            assert library(folder) == LIBRARY


def test_the_wire_is_cut_and_tried_again(depot: Depot, tmp_path: Path) -> None:
    """A patient client needs no second pull, and asks only for the rest; the old bundle is replaced by the new one."""
    pull(tmp_path, depot.url)
    new = bytes(reversed(LIBRARY))
    depot.publish(NEWER, new)
    depot.sign()
    depot.faults += [Fault(f"blobs/{sha(new)}", cut=n, times=1) for n in (0, 1, 70_000, len(new) - 70_002)]
    depot.asked.clear()
    assert pull(tmp_path, depot.url, replace(HASTE, tries=3)).changed
    assert library(tmp_path) == new
    ranges = [asked for path, asked in depot.asked if sha(new) in path]
    assert ranges == [None, None, "bytes=1-", "bytes=70001-", f"bytes={len(new) - 1}-"]


def test_a_pull_goes_on_where_the_last_one_was(depot: Depot, tmp_path: Path) -> None:
    depot.faults.append(Fault(BLOB, cut=50_000, times=1))
    with pytest.raises(HeadstartError, match="connection was lost"):
        pull(tmp_path, depot.url, ONCE)
    depot.asked.clear()
    by, _ = puller(tmp_path, depot.url)
    by.pull(deployment(tmp_path, by), WISH)
    assert [asked for path, asked in depot.asked if BLOB in path] == ["bytes=50000-"]
    assert not list((tmp_path / "cache" / "parts").iterdir())


@pytest.mark.parametrize("there", [b"x" * 1000, LIBRARY[:-1] + b"x", LIBRARY + b"x", LIBRARY])
def test_a_beginning_that_is_not_one(depot: Depot, tmp_path: Path, there: bytes) -> None:
    """What is wrong in the cache is found out by its digest and thrown away; what is whole needs no asking."""
    with Cache(tmp_path / "cache").part(sha(LIBRARY)) as part:
        part.write(there)
    if there != LIBRARY:
        with pytest.raises(HeadstartError, match="refused"):
            pull(tmp_path, depot.url)
        assert not (tmp_path / "b").exists()
    pull(tmp_path, depot.url)
    assert library(tmp_path) == LIBRARY
    assert there != LIBRARY or not [path for path, _ in depot.asked if BLOB in path]


@pytest.mark.parametrize(
    ("path", "claims", "told"),
    [
        (BLOB, len(LIBRARY) + 10, "sends more|connection was lost"),
        (BLOB, 10, "sends something else than was signed: refused"),
        ("timestamp", 10, "refused"),
        ("timestamp", 10_000, "connection was lost"),
    ],
)
def test_lengths_that_are_lies(depot: Depot, tmp_path: Path, path: str, claims: int, told: str) -> None:
    """Too long a length and then less is as a wire that is cut; too short a one, other bytes than were signed."""
    depot.faults.append(Fault(path, claims=claims))
    try:
        pull(tmp_path, depot.url, ONCE)
        assert claims == len(LIBRARY) + 10  # all of it was there
    except HeadstartError as error:
        assert re.search(told, str(error))
        assert not (tmp_path / "b").exists()
    depot.faults.clear()
    pull(tmp_path, depot.url)
    assert library(tmp_path) == LIBRARY


def test_a_server_without_ranges(depot: Depot, tmp_path: Path) -> None:
    """It sends the whole again; what is here already is passed over."""
    depot.faults += [Fault(BLOB, cut=50_000, times=1)]
    with pytest.raises(HeadstartError):
        pull(tmp_path, depot.url, ONCE)
    depot.files[next(path for path in depot.files if BLOB in path)] = LIBRARY
    whole = depot._answer

    def answer(handler: object) -> None:
        handler.headers.replace_header("Range", "") if "Range" in handler.headers else None  # type: ignore[attr-defined]
        whole(handler)  # type: ignore[arg-type]

    depot._answer = answer  # type: ignore[method-assign]
    pull(tmp_path, depot.url)
    assert library(tmp_path) == LIBRARY


def test_a_cache_that_was_damaged(depot: Depot, tmp_path: Path) -> None:
    """A bit that fell over in the cache is found before it is placed, and fetched again."""
    pull(tmp_path, depot.url)
    (blob,) = (tmp_path / "cache" / "blobs").rglob(sha(LIBRARY))
    blob.write_bytes(bytes([LIBRARY[0] ^ 1]) + LIBRARY[1:])
    (tmp_path / "b" / "kernels.so").unlink()
    pull(tmp_path, depot.url)
    assert library(tmp_path) == LIBRARY
    assert not Cache(tmp_path / "cache").lacks(BundleFile(sha(LIBRARY), len(LIBRARY)))


def test_offline(depot: Depot, tmp_path: Path) -> None:
    """From the cache alone, with the lock file or without; what is not there is said."""
    with pytest.raises(HeadstartError, match=r"has nothing of tiny for example .* pull once with a connection"):
        pull(tmp_path, depot.url, offline=True)
    pull(tmp_path, depot.url)
    depot.asked.clear()
    (tmp_path / "headstart.lock").unlink()
    (tmp_path / "b").rename(tmp_path / "old")
    assert pull(tmp_path, depot.url, offline=True).changed
    assert library(tmp_path) == LIBRARY
    assert not depot.asked
    (tmp_path / "b").rename(tmp_path / "older")
    for blob in (tmp_path / "cache" / "blobs").rglob(sha(LIBRARY)):
        blob.unlink()
    with pytest.raises(HeadstartError, match=r"lacks kernels\.so of bundle .*: pull once with a connection"):
        pull(tmp_path, depot.url, offline=True)
