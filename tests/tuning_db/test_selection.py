"""Selections: one spelling, read strictly, and what a tier of trust chooses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.digest import canonical_json
from tests.tuning_db.selecting import FEWER, ROWS, SELECTION, STEP, candidate, kernel, selections
from tuning_db.selection import RANKS, TIERS, Selection, joined, step_key

TEXT, ROWS_TEXT = SELECTION.dumps(), ROWS.dumps()
ASSETS = Path(__file__).parent / "assets"


def changed(path: str, value: Any, of: Selection = SELECTION) -> bytes:
    """The selection with one value replaced, spelled as it must be."""
    document: Any = json.loads(of.dumps())
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


@pytest.mark.parametrize("of", [SELECTION, ROWS], ids=["one step", "families"])
@given(st.data(), st.integers(1, 255))
@settings(max_examples=250, deadline=None)
def test_a_changed_byte_is_another_selection_or_none(of: Selection, data: st.DataObject, flip: int) -> None:
    """Whatever is still read is what is written: nothing in the text goes unread."""
    text = bytearray(of.dumps())
    text[data.draw(st.integers(0, len(text) - 1))] ^= flip
    try:
        found = Selection.loads(bytes(text))
    except ValueError:
        return
    assert found.dumps() == text
    assert found != of
    assert found.digest != of.digest


def test_what_an_older_version_wrote_is_read_and_written_the_same() -> None:
    text = (ASSETS / "selection_1.json").read_bytes()
    assert Selection.loads(text) == SELECTION
    assert SELECTION.dumps() == text


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_anything_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="is not"):
        Selection.loads(data)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("schema", "headstart-selection/3", "headstart-selection/1"),
        ("schema", "headstart-selection/2", "too many: families"),
        ("families", [], "too many: families"),
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


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("schema", "headstart-selection/1", "too many: families"),
        ("model/smaller", [STEP], "fewer tokens, ascending"),
        ("model/smaller", [FEWER, FEWER], "fewer tokens, ascending"),
        ("model/smaller", [{**FEWER, "phase": "both"}], "smaller: entry 1: phase"),
        ("families/0/more", 1, "too many: more"),
        ("families/0/names", [], "1 to"),
        ("families/0/operator", "rmsnorm", "entry 1: w0+4 is not there, or not the family's kernel of 4 rows"),
        ("families/0/params/n", 2, "not the family's"),
        ("families/0/params/m", 4, "not the family's"),
        ("families/0/row_parameter", "n", "not the family's"),
        ("families/0/row_parameter", "rows", "not the family's"),
        ("families/0/sliced", [], "1 to"),
        ("families/0/largest", 17, "up to the largest"),
        ("families/0/largest", 1 << 21, "largest"),
        ("families/0/kernels", [], "1 to"),
        ("families/0/kernels/0/workload", "w" + "9" * 24, "is not there"),
        ("families/0/kernels/0/rows", 5, "not the family's kernel of 5 rows"),
        ("families/0/kernels/0/rows", 16, "ascending by rows"),
        ("families/0/any/0/function", "a b", "a symbol"),
        ("families/0/any/0/last", 8, r"\[\] does not cover 5 to 9 rows"),
        ("families/0/any", [], r"\[\] does not cover 5 to 9 rows"),
        ("families/0/plans", [], "1 to"),
        ("families/0/plans/0/last", 3, "consecutive numbers of rows"),
        ("families/0/plans/2/run", [4, 4], "does not cover 10 to 12"),
        ("families/0/plans/2/run", [16, 4], "does not cover|does not fit"),
        ("families/0/plans/3/run", [8, 8], "by kernels of the family"),
        ("families/0/plans/3/run", [-16], "run"),
        ("families/0/plans/3/run", [True], "run"),
    ],
)
def test_families_that_are_none_are_refused(path: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Selection.loads(changed(path, value, ROWS))


def test_a_family_is_there_once() -> None:
    with pytest.raises(ValueError, match="families: one appears twice"):
        Selection.loads(replace(ROWS, families=ROWS.families * 2).dumps())


def test_what_computes_the_same_is_of_a_family() -> None:
    (family,) = ROWS.families
    assert ROWS.family_of(kernel(1)) is family
    assert ROWS.family_of(replace(kernel(1), workload="w7", params={"m": 7, "n": 1, "k": 64})) is family
    for params in ({"m": 7, "n": 2, "k": 64}, {"n": 1, "k": 64}, {"m": 7, "n": 1, "k": 64, "out": "x"}):
        assert ROWS.family_of(replace(kernel(1), params=params)) is None
    assert ROWS.family_of(replace(kernel(1), operator="linear_fp8")) is None


def test_steps_are_joined_as_the_last_of_them() -> None:
    fewer = replace(SELECTION, step=FEWER, kernels=(kernel(3), kernel(2, calls=9)), missing={"sort": 1})
    both = joined([fewer, SELECTION], [FEWER])
    assert both.steps == (FEWER, STEP)
    assert both.kernels == (kernel(3), SELECTION.kernels[1], SELECTION.kernels[0])
    assert both.missing == {"sort": 1, "topk": 4}


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
