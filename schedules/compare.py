"""Whether outputs are right: the rule of ``Tolerance``, and one line on what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schedules.operator import Tolerance

# Outputs are filled with these bytes before they are written: no right answer, NaN as any float.
UNWRITTEN = 0xFF


def poison(array: np.ndarray) -> None:
    """Overwrite an output with a pattern that no right answer has, so that what is not written shows."""
    array.reshape(-1).view(np.uint8).fill(UNWRITTEN)


def mismatch(
    outputs: Sequence[np.ndarray], references: Sequence[np.ndarray], tolerances: Sequence[Tolerance]
) -> str | None:
    """None when every output is right, else one line: which output, how many elements, the worst, where.

    An element of a float output is right when ``|out - ref| <= atol * rms(ref) + rtol * |ref|``, the root mean square
    taken over the finite values. Elements of integer outputs must be equal. ``fraction`` of the elements must be right;
    dtype, shape, and the places of every NaN and infinity must agree whatever the fraction.
    """
    if not len(outputs) == len(references) == len(tolerances):
        return f"{len(outputs)} outputs, {len(references)} references, {len(tolerances)} tolerances"
    for at, (output, reference, tolerance) in enumerate(zip(outputs, references, tolerances, strict=True)):
        reason = _mismatch(np.asarray(output), np.asarray(reference), tolerance)
        if reason is not None:
            return f"output {at}: {reason}"
    return None


def mismatch_in_part(
    outputs: Sequence[np.ndarray], references: Sequence[np.ndarray], tolerances: Sequence[Tolerance]
) -> str | None:
    """``mismatch`` of those elements that were written, at least one of each output; places count these elements.

    Before, outputs were filled with the bytes ``UNWRITTEN``.
    """
    written = [_written(output) for output in outputs]
    for at, mask in enumerate(written):
        if not mask.any():
            return f"output {at}: nothing was written"
    found = [output[mask] for output, mask in zip(outputs, written, strict=True)]
    expected = [reference[mask] for reference, mask in zip(references, written, strict=True)]
    return mismatch(found, expected, tolerances)


def _written(array: np.ndarray) -> np.ndarray:
    parts = np.ascontiguousarray(array).view(np.uint8).reshape(*array.shape, array.dtype.itemsize)
    mask: np.ndarray = (parts != UNWRITTEN).any(-1)
    return mask


def _mismatch(output: np.ndarray, reference: np.ndarray, tolerance: Tolerance) -> str | None:
    if output.dtype != reference.dtype:
        return f"dtype {output.dtype}, expected {reference.dtype}"
    if output.shape != reference.shape:
        return f"shape {output.shape}, expected {reference.shape}"
    if output.size == 0 or np.array_equal(output, reference):
        return None
    if np.issubdtype(reference.dtype, np.integer) or reference.dtype == np.bool_:
        out, ref = output.astype(np.int64), reference.astype(np.int64)
        error = np.abs(out - ref).astype(np.float64)
        wrong = error > 0
    else:
        # ml_dtypes' kinds are not np.floating; float64 holds all of them exactly.
        out, ref = output.astype(np.float64), reference.astype(np.float64)
        error, wrong = _float_errors(out, ref, tolerance)
    count = int(wrong.sum())
    lost = bool(np.isinf(error).any())
    if count == 0 or (not lost and wrong.size - count >= tolerance.fraction * wrong.size):
        return None
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(np.where(wrong, error, -1.0))), wrong.shape))
    return (
        f"{count} of {wrong.size} elements wrong, worst at {list(where)}: "
        f"got {out[where]:.6g}, expected {ref[where]:.6g}"
    )


def _float_errors(out: np.ndarray, ref: np.ndarray, tolerance: Tolerance) -> tuple[np.ndarray, np.ndarray]:
    """Absolute error of each element (infinite where only one side is finite) and whether it is too large."""
    finite = np.isfinite(ref)
    values = ref[finite]
    scale = float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
    same = (out == ref) | (np.isnan(out) & np.isnan(ref))
    with np.errstate(invalid="ignore"):
        error = np.where(finite & np.isfinite(out), np.abs(out - ref), np.where(same, 0.0, np.inf))
        allowed = np.where(finite, tolerance.atol * scale + tolerance.rtol * np.abs(ref), 0.0)
    return error, error > allowed
