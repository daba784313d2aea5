"""Selections: one spelling, read strictly, and what a tier of trust chooses."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.digest import canonical_json
from tests.tuning_db.selecting import SELECTION, STEP, candidate, kernel, selections
from tuning_db.selection import RANKS, TIERS, Selection, step_key

TEXT = SELECTION.dumps()


def changed(path: str, value: Any) -> bytes:
    """The selection with one value replaced, spelled as it must be."""
    document = copy.deepcopy(SELECTION.to_json())
    *parents, last = path.split("/")
    place: Any = document
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    return canonical_json(document).encode()


@given(selections)
@settings(max_examples=50, deadline=None)
def test_what_was_written_is_read(selection: Selection) -> None:
    text = selection.dumps()
    assert Selection.loads(text) == selection
    assert Selection.loads(text).dumps() == text
    assert selection.digest == hashlib.sha256(text).hexdigest()


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_another_selection_or_none(at: int, flip: int) -> None:
    """Whatever is still read is what is written: nothing in the text goes unread."""
    text = bytearray(TEXT)
    text[at] ^= flip
    try:
        found = Selection.loads(bytes(text))
    except ValueError:
        return
    assert found.dumps() == text
    assert found != SELECTION
    assert found.digest != SELECTION.digest


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_anything_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="is not"):
        Selection.loads(data)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("schema", "headstart-selection/2", "headstart-selection/1"),
        ("more", 1, "too many: more"),
        ("model/name", 3, "name: must be text"),
        ("model/step/phase", "train", "decode or prefill"),
        ("model/step/tokens", 0, "tokens"),
        ("model/step/tokens", True, "tokens"),
        ("target/fingerprint", "c12", "fingerprint"),
        ("toolchain/id", "x0", "toolchain: its content hashes to"),
        ("policy/threads", 3, "policy: its content hashes to"),
        ("policy/cache", "hot", "warm or cold"),
        ("kernels", [], "1 to"),
        ("kernels/0/workload", "../../x", "workload"),
        ("kernels/1/workload", "w" + "0" * 23 + "1", "appears twice"),
        ("kernels/0/calls", -1, "calls"),
        ("kernels/0/candidates/0/tier", "reproduced", "one of each tier"),
        ("kernels/0/candidates/0/tier", "measured", "least trusted first"),
        ("kernels/0/candidates/0/tier", "believed", "tier"),
        ("kernels/0/candidates/0/seconds", 0, "seconds"),
        ("kernels/0/candidates/0/seconds", 1, "canonical"),
        ("kernels/0/candidates/0/trial", "t12", "28 hexadecimal digits"),
        ("kernels/0/candidates/0/schedule/config", {"knob": 9}, "entry 1: candidates: schedule: its content hashes to"),
        ("kernels/0/candidates/0/created", -1, "created"),
        ("missing/topk", "x", "missing"),
    ],
)
def test_refused(path: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Selection.loads(changed(path, value))


def test_another_spelling_is_refused() -> None:
    with pytest.raises(ValueError, match="canonical"):
        Selection.loads(json.dumps(SELECTION.to_json(), sort_keys=True).encode())
    with pytest.raises(ValueError, match="twice"):
        Selection.loads(TEXT.replace(b'"missing"', b'"schema":"x","missing"'))
    with pytest.raises(ValueError, match="too deeply"):
        Selection.loads(changed("kernels/0/params/n", json.loads("[" * 40 + "]" * 40)))


def test_the_most_trusted_is_chosen_and_of_equals_the_fastest() -> None:
    """A tier says how far trust must go: what is trusted less is not taken for being faster."""
    both = kernel(1, candidate("claimed", 1, 1e-6), candidate("reproduced", 2, 5e-4), candidate("measured", 3, 1e-3))
    assert [both.chosen(tier).schedule.config["knob"] for tier in TIERS] == [2, 2, 2, 2]  # type: ignore[union-attr]
    slower = kernel(1, candidate("reproduced", 2, 5e-3), candidate("measured", 3, 1e-3))
    assert slower.chosen("reproduced") == candidate("measured", 3, 1e-3)
    alone = kernel(1, candidate("claimed", 1, 1e-6))
    assert alone.chosen("claimed") == candidate("claimed", 1, 1e-6)
    assert alone.chosen("replayed") is None


@given(selections, st.sampled_from(TIERS))
@settings(max_examples=30, deadline=None)
def test_what_is_chosen_is_a_selection(selection: Selection, tier: str) -> None:
    chosen = selection.chosen(tier)
    assert Selection.loads(chosen.dumps()) == chosen == chosen.chosen(tier)
    for before, after in zip(selection.kernels, chosen.kernels, strict=True):
        assert len(after.candidates) == any(RANKS[one.tier] >= RANKS[tier] for one in before.candidates)
        assert set(after.candidates) <= set(before.candidates)


def test_a_step_is_a_part_of_a_path() -> None:
    assert step_key(STEP) == "decode-t16-b16-kv4096-tp1-ep1"
