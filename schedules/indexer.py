"""What the forms of the lightning indexer's logits share: queries and keys by format, and the sum over heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from schedules.block_scaled import MXFP4, decoded, padded
from schedules.dtypes import NUMPY, widened
from schedules.operator import Arrays, fill

if TYPE_CHECKING:
    from tvm import te

FORMATS = ("bfloat16", "float8_e4m3fn", "float4_e2m1fn")


def operands(dtype: str, queries: Sequence[int], keys: Sequence[int]) -> tuple[list[te.Tensor], list[te.Tensor]]:
    """TE inputs of queries and keys of these shapes, and ``Qf`` and ``Kf``, which hold their values.

    fp8 keys have a float32 scale each, ``KS``, which those values lack; the scales of fp8 queries are in the weights of
    the heads. fp4 is e2m1 pairs in ``uint8``, the even channel in the low four bits, with ue8m0 scales for 32 channels,
    ``SQ`` and ``SK``.

    Returns:
        The inputs in order, and the two stages; for bfloat16 those are inputs.
    """
    from tvm import te

    from schedules.low_bit import decode_e4m3

    if dtype == "float4_e2m1fn":
        inputs = [*MXFP4.placeholders("Q", *queries), *MXFP4.placeholders("K", *keys)]
        q, sq, k, sk = inputs
        qf = padded(queries, 1, lambda *at: MXFP4.value(q, sq, *at), "Qf")
        return inputs, [qf, padded(keys, 1, lambda *at: MXFP4.value(k, sk, *at), "Kf")]
    q, k = te.placeholder(queries, dtype, "Q"), te.placeholder(keys, dtype, "K")
    if dtype == "bfloat16":
        return [q, k], [q, k]
    qf = padded(queries, 1, lambda *at: decode_e4m3(q[at]), "Qf")
    kf = padded(keys, 1, lambda *at: decode_e4m3(k[at]), "Kf")
    return [q, k, te.placeholder(keys[:-1], "float32", "KS")], [qf, kf]


def logits(
    dots: Callable[..., Any],
    w: te.Tensor,
    shape: tuple[int, int, int],
    scale: Callable[..., Any] | None,
    visible: Callable[..., Any] | None,
) -> te.Tensor:
    """TE stages ``D``, ``T`` where something follows the sum, and ``I``: ``sum_h relu(dots(m, h, n)) w[m, h]``.

    Args:
        dots: the dot product, a ``te.sum``.
        w: weights of the heads of a token.
        shape: tokens, heads, keys.
        scale: of a token and a key, what the sum is multiplied by.
        visible: of a token and a key, whether it sees it; the others are -inf.
    """
    from tvm import te, tirx

    tokens, heads, keys = shape
    dot = te.compute(shape, dots, name="D")
    h = te.reduce_axis((0, heads), "h")
    zero, least = tirx.const(0.0, "float32"), tirx.const(float("-inf"), "float32")
    plain = scale is None and visible is None
    total = te.compute(
        (tokens, keys),
        lambda m, n: te.sum(tirx.max(dot[m, h, n], zero) * w[m, h], axis=h),
        name="I" if plain else "T",
    )

    def finished(m: Any, n: Any) -> Any:
        value = total[m, n] * scale(m, n) if scale else total[m, n]
        return tirx.Select(visible(m, n), value, least) if visible else value

    return total if plain else te.compute(total.shape, finished, name="I")


def random_operands(
    rng: np.random.Generator, dtype: str, queries: tuple[int, ...], keys: tuple[int, ...]
) -> tuple[Arrays, np.ndarray]:
    """Arrays for the inputs of ``operands``, and weights of the heads for which logits are about 1."""
    norm = (queries[-2] * queries[-1]) ** -0.5
    if dtype == "float4_e2m1fn":
        arrays, size = [*MXFP4.random(rng, *queries), *MXFP4.random(rng, *keys)], 1.0
    else:
        # Codes of fp8 are used up to their largest; the scales undo that.
        size = 64.0 if dtype == "float8_e4m3fn" else 1.0
        arrays = [fill(rng, queries, NUMPY[dtype], size), fill(rng, keys, NUMPY[dtype], size)]
        if dtype == "float8_e4m3fn":
            arrays.append(rng.uniform(0.5, 1.5, keys[:-1]).astype(np.float32) / np.float32(size))
    return arrays, fill(rng, queries[:-1], np.float32, norm / size)


def reference_operands(dtype: str, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys in float32, from the arrays of ``random_operands``; a scale of a key is applied to it."""
    if dtype == "float4_e2m1fn":
        q, sq, k, sk = (array.reshape(-1, array.shape[-1]) for array in arrays)
        queries, keys = MXFP4.values(q, sq), MXFP4.values(k, sk)
        return queries.reshape(*arrays[0].shape[:-1], -1), keys.reshape(*arrays[2].shape[:-1], -1)
    if dtype == "bfloat16":
        return widened(arrays[0]), widened(arrays[1])
    # A scale is positive, so that it may stand before the rectification.
    return decoded(arrays[0]), decoded(arrays[1]) * arrays[2][..., None]


def reference_logits(q: np.ndarray, k: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``I[m, n]`` of the queries ``q[m, h, d]`` and keys ``k[n, d]``, weighted by ``w[m, h]``."""
    total = np.empty((len(q), len(k)), np.float32)
    for token in range(len(q)):
        total[token] = w[token] @ np.maximum(q[token] @ k.T, 0)
    return total
