"""Rows that operators declare independent are; those that could declare it and do not are listed, with the reason."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest

from schedules.compare import mismatch
from schedules.operator import Arrays, Operator, make_operator, operators
from schedules.rows import family, row_arguments, row_count, with_rows
from schedules.workload import Workload
from targets.errors import InputError

DECLARED = {name: kind for name, kind in operators().items() if kind.row_parameter}
EXAMPLES = [example for kind in DECLARED.values() for example in kind.examples()]
IDS = [f"{example.name}-{example.label}".replace(" ", "_") for example in EXAMPLES]
# Every other operator, and why it has no rows.
WITHOUT = {
    "add": "its parameter counts elements, not rows",
    "batched_linear": "rows are the second axis of the activations, and the first belongs to a weight each",
    "compress": "a window of keys reads rows of the one before it",
    "grouped_linear": "blocks of rows share an expert",
    "grouped_linear_masked": "rows are the second axis, and the first belongs to an expert each",
    "mqa_logits_paged": "the pages of all sequences are one argument",
    "sparse_mqa": "the keys of all sequences are one argument",
    "sparse_mqa_fp8": "the keys of all sequences are one argument",
}


def splits(rows: int) -> Iterator[list[int]]:
    """Ends of consecutive slices: rows one by one, a first row alone, two halves, uneven thirds."""
    cuts = [range(1, rows), (1,), (rows // 2,), (rows // 3, rows - 2)]
    for ends in dict.fromkeys(tuple(sorted({end for end in cut if 0 < end < rows})) for cut in cuts):
        yield [*ends, rows]


def in_slices(op: Operator, inputs: Arrays, ends: list[int]) -> Arrays:
    """The reference on consecutive slices of the rows, put together."""
    has_rows, parts, first = row_arguments(op)[: len(inputs)], [], 0
    for end in ends:
        given = [array[first:end] if of_rows else array for array, of_rows in zip(inputs, has_rows, strict=True)]
        parts.append(with_rows(op, end - first).reference(given))
        first = end
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


@pytest.mark.parametrize("op", EXAMPLES, ids=IDS)
def test_the_reference_on_slices_is_the_reference(op: Operator) -> None:
    op = with_rows(op, 7)
    has_rows, workload = row_arguments(op), Workload.of(op)
    assert all(has_rows[-workload.outputs :]), "every output has rows"
    assert not any(has_rows[at] for at in workload.weights), "weights have none"
    inputs = op.inputs(np.random.default_rng(0))
    expected = op.reference(inputs)
    for ends in splits(7):
        assert mismatch(in_slices(op, inputs, ends), expected, op.tolerances) is None, ends


def test_every_operator_declares_its_rows_or_is_listed() -> None:
    assert sorted(WITHOUT) == sorted(set(operators()) - set(DECLARED))


@pytest.mark.parametrize("name", WITHOUT)
def test_no_parameter_of_those_that_are_listed_counts_rows(name: str) -> None:
    """But for ``add``, whose rows would be single numbers."""
    op = next(iter(operators()[name].examples()))
    candidates = []
    for field in fields(op):
        if str(field.type) == "int" and _splits(op, field.name):
            candidates.append(field.name)
    assert candidates == (["size"] if name == "add" else [])


def _splits(op: Operator, parameter: str) -> bool:
    """Whether the parameter counts rows, as far as shapes tell: all outputs have it first, some inputs, no weights."""
    count = getattr(op, parameter)
    try:
        here, more = Workload.of(op), Workload.of(replace(op, **{parameter: count + 1}))
    except InputError:
        return False
    for at, (one, other) in enumerate(zip(here.arguments, more.arguments, strict=True)):
        follows = one.shape != other.shape
        if follows and (one.shape[0], other.shape[0], one.shape[1:]) != (count, count + 1, other.shape[1:]):
            return False
        if follows if at in here.weights else not follows and at >= len(here.input_arguments):
            return False
    return True


def test_a_family_is_what_differs_in_rows_only() -> None:
    one = make_operator("linear", {"m": 1, "n": 8, "k": 4})
    other = make_operator("linear", {"m": 1, "n": 9, "k": 4})
    assert family(one) == family(with_rows(one, 9)) != family(other)
    assert row_count(with_rows(one, 9)) == 9
    assert row_count(make_operator("add", {"size": 4})) == 0
