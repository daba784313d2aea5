"""Block-scaled matrices in numpy against the definition of their formats, element by element."""

import ml_dtypes
import numpy as np
import pytest

from schedules.block_scaled import BLOCKS_FP8, MXFP4, MXFP8, ROWS_FP8, BlockScaled, rows_of_fp8
from targets.errors import InputError

FORMATS = {"rows": ROWS_FP8, "blocks": BLOCKS_FP8, "mxfp8": MXFP8, "mxfp4": MXFP4}
every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


def by_definition(form: BlockScaled, codes: np.ndarray, scales: np.ndarray, columns: int) -> np.ndarray:
    """Values with the types of ml_dtypes, one at a time."""
    out = np.empty((len(codes), columns), np.float32)
    for row, column in np.ndindex(*out.shape):
        if form.packed:
            nibble = (int(codes[row, column // 2]) >> (4 * (column % 2))) & 15
            value = np.uint8(nibble).view(ml_dtypes.float4_e2m1fn)
        else:
            value = codes[row, column]
        scale = scales[row // form.rows, column // form.columns]
        out[row, column] = float(value) * float(scale.view(ml_dtypes.float8_e8m0fnu) if form.power else scale)
    return out


@every_format
@pytest.mark.parametrize("shape", [(130, 256), (3, 160)])
def test_values(form: BlockScaled, shape: tuple[int, int]) -> None:
    codes, scales = form.random(np.random.default_rng(0), *shape, size=0.1)
    values = form.values(codes, scales)
    np.testing.assert_array_equal(values, by_definition(form, codes, scales, shape[1]))
    assert form.nbytes(*shape) == codes.nbytes + scales.nbytes
    assert 0.05 < np.sqrt(np.mean(values**2)) < 0.2


@every_format
def test_products_of_slices(form: BlockScaled) -> None:
    """As many rows as make several slices, the last one partial."""
    rng = np.random.default_rng(0)
    codes, scales = form.random(rng, 600, 5 * 1024)
    left = rng.standard_normal((2, 5 * 1024), np.float32)
    found = form.times(left, codes, scales)
    np.testing.assert_allclose(found, left @ form.values(codes, scales).T, rtol=1e-4, atol=1e-3)


def test_groups_of_activations() -> None:
    assert (rows_of_fp8("x", 128), rows_of_fp8("x", 32)) == (ROWS_FP8, MXFP8)
    with pytest.raises(InputError, match="'x': group is 64"):
        rows_of_fp8("x", 64)
