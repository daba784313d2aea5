"""Manifests are read strictly: what was written, or an error that says where."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart_runtime.errors import InputError
from headstart_runtime.manifest import Manifest
from tests.tuning_db.runtime.sealed import MANIFEST

DOCUMENT: dict[str, Any] = json.loads(MANIFEST.dumps())


def changed(path: str, value: Any) -> str:
    """The manifest with one value replaced."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path.split("/")
    place: Any = document
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(document)


def paths(value: Any, prefix: str = "") -> list[str]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in (f"{prefix}{key}", *paths(item, f"{prefix}{key}/"))]


def test_round_trip() -> None:
    assert Manifest.loads(MANIFEST.dumps()) == MANIFEST
    assert Manifest.loads(MANIFEST.dumps()).dumps() == MANIFEST.dumps()


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("schema", "headstart-bundle/2", "this runtime reads headstart-bundle/3"),
        ("model", [], "model is .*, must be an object"),
        ("policy/threads", "2", "policy.threads"),
        ("policy/threads", True, "policy.threads"),
        ("policy/threads", 0, "at least 1"),
        ("target/arch", None, "target.arch"),
        ("target/instructions", "avx2", "target.instructions"),
        ("target/l3", -1.5, "target.l3"),
        ("kernels/0/function", "a b", "not a symbol"),
        ("kernels/0/seconds", "fast", r"kernels\[0\].seconds"),
        ("kernels/0/provenance", 3, r"kernels\[0\].provenance"),
        ("kernels/0/arguments", [], "at least one of each"),
        ("kernels/0/arguments/0/shape", [0], "shape"),
        ("kernels/0/arguments/0/shape", [2.5], r"shape\[0\]"),
        ("kernels/0/arguments/0/dtype", "object", "dtype"),
        ("kernels/0/arguments/0/dtype", "array", "dtype"),
        ("kernels/0/arguments/0/dtype", "finfo", "dtype"),
        ("kernels/0/arguments/0/role", "both", "inputs, then outputs"),
        ("kernels/0/weights", ["C"], "names of inputs"),
        ("kernels/0/weights", [], "weights are laid out in"),
        ("kernels/0/layout", None, "layout must be an id"),
        ("kernels/0/prepared", [], "and null elsewhere"),
        ("kernels/0/provenance/tier", "best", "must be one of measured"),
        ("kernels/0/prepared/0/role", "input", "role prepared"),
        ("kernels/0/prepared/0/shape", [1, 0], "shape"),
        ("kernels/0/prepared/0/dtype", "object", "dtype"),
        ("kernels/0/arguments/0/role", "output", "inputs, then outputs"),
        ("kernels/0/more", 1, "unknown field 'more'"),
        ("families/0/kernels", [], "at least one"),
        ("families/0/kernels/0/rows", 0, "ascending by rows"),
        ("families/0/kernels/0/rows", 3, "does not take 3 rows"),
        ("families/0/kernels/0/workload", "w9", "no kernel 'w9'"),
        ("families/0/sliced", [], "all outputs and at least one input"),
        ("families/0/sliced", ["C"], "all outputs and at least one input"),
        ("families/0/sliced", ["A"], "all outputs and at least one input"),
        ("families/0/sliced", ["A", "W", "C"], "does not take 2 rows"),
        ("families/0/largest", 10, "up to the largest"),
        ("families/0/plans", [], "up to the largest"),
        ("families/0/plans/1/first", 2, "consecutive"),
        ("families/0/plans/1/run", [], "does not cover 3 to 4"),
        ("families/0/plans/1/run", [3], "kernels of the family"),
        ("families/0/plans/1/run", [2], "does not cover 3 to 4"),
        ("families/0/plans/1/run", [2, 2, 2], "does not cover 3 to 4"),
        ("families/0/plans/2/last", 7, "does not cover 5 to 7"),
        ("families/0/any", [], "does not cover 6 to 9"),
        ("families/0/any/0/last", 8, "does not cover 6 to 9"),
        ("families/0/any/0/function", "a b", "not a symbol"),
    ],
)
def test_refused(path: str, value: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Manifest.loads(changed(path, value))


def test_twice() -> None:
    text = MANIFEST.dumps()
    with pytest.raises(InputError, match="twice"):
        Manifest.loads(text.replace('"library"', '"schema": "x", "library"'))
    document = {**DOCUMENT, "kernels": DOCUMENT["kernels"] * 2}
    with pytest.raises(InputError, match="twice"):
        Manifest.loads(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"schema": NaN}', "[" * 100_000, '{"schema": "\\ud800"}'])
def test_not_a_manifest(text: str) -> None:
    with pytest.raises(InputError):
        Manifest.loads(text)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_one_change_is_read_or_refused(data: st.DataObject) -> None:
    """Nothing but InputError comes out, and what is read is what was written."""
    path = data.draw(st.sampled_from(paths(DOCUMENT)))
    anything = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    text = changed(path, data.draw(anything | st.lists(anything) | st.dictionaries(st.text(), anything)))
    try:
        read = Manifest.loads(text)
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert json.loads(read.dumps()) == json.loads(text)
