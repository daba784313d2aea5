"""Paths in a repository, and what says which bundle was built."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.digest import canonical_json
from targets.errors import InputError
from tests.tuning_db.selecting import SELECTION
from tuning_db.published import Address, BundleFile, Prebuilt, blob_path

ADDRESS = Address.of(SELECTION)
FILES = {"kernels.so": BundleFile("1" * 64, 100), "SHA256SUMS": BundleFile("2" * 64, 0)}
PREBUILT = Prebuilt("a" * 64, FILES)
segments = st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)


def test_paths() -> None:
    where = f"tiny/decode-t16-b16-kv4096-tp1-ep1/{SELECTION.target}/{SELECTION.toolchain.id}/{SELECTION.policy.id}.json"
    assert ADDRESS.selection == f"champions/{where}"
    assert ADDRESS.prebuilt == f"bundles/{where}"
    assert blob_path("1" * 64) == "blobs/" + "1" * 64


@given(st.builds(Address, segments, segments, segments, segments, segments))
@settings(max_examples=50, deadline=None)
def test_a_path_says_whose_it_is(address: Address) -> None:
    assert Address.parse(address.selection) == address
    assert Address.parse(address.prebuilt) == address


@given(st.from_regex(r"(champions|bundles|blobs|x)?(/[.a]{0,3}){0,6}(\.json)?", fullmatch=True))
@settings(max_examples=100, deadline=None)
def test_other_paths_are_none(path: str) -> None:
    found = Address.parse(path)
    assert found is None or (path in (found.selection, found.prebuilt) and not re.search(r"(^|/)\.|//", path))


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a b", "a%2fb", "a\n", "é", "x" * 101])
def test_a_name_that_is_no_part_of_a_path(name: str) -> None:
    with pytest.raises(InputError, match="no place in a repository"):
        Address.of(replace(SELECTION, model=name))


def test_prebuilt() -> None:
    assert Prebuilt.loads(PREBUILT.dumps()) == PREBUILT


@pytest.mark.parametrize("name", ["../kernels.so", "/kernels.so", "a/b", "..", ".hidden", "a\0b", "", "a\n", "a\\b"])
def test_a_file_that_would_lie_elsewhere(name: str) -> None:
    document: dict[str, Any] = {**PREBUILT.to_json(), "files": {name: {"sha256": "1" * 64, "length": 1}}}
    with pytest.raises(ValueError, match="plain file name"):
        Prebuilt.loads(canonical_json(document).encode())


@pytest.mark.parametrize(
    "file",
    [
        {"sha256": "1" * 63, "length": 1},
        {"sha256": "G" * 64, "length": 1},
        {"sha256": "1" * 64, "length": -1},
        {"sha256": "1" * 64, "length": 1.0},
        {"sha256": "1" * 64, "length": 1 << 60},
        {"sha256": "1" * 64},
        {"sha256": "1" * 64, "length": 1, "url": "https://elsewhere.example"},
    ],
)
def test_a_file_that_is_none(file: Any) -> None:
    with pytest.raises(ValueError, match="files: entry 1"):
        Prebuilt.loads(canonical_json({**PREBUILT.to_json(), "files": {"a": file}}).encode())


def test_a_changed_byte_is_another_or_none() -> None:
    text = PREBUILT.dumps()
    for at in range(len(text)):
        for flip in (1, 0x20, 0x80):
            other = bytearray(text)
            other[at] ^= flip
            try:
                assert Prebuilt.loads(bytes(other)).dumps() == other
            except ValueError:
                continue
