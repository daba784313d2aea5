"""The roofline model: no kernel can be faster than its arithmetic or its memory traffic allows.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

from targets.target import Target

# Peaks that were measured are themselves noisy: only a time well below the floor, this much of it, is impossible.
IMPOSSIBLE = 0.67


def floor_seconds(
    target: Target, flops: float, cold_bytes: float, warm_bytes: float = 0.0, arithmetic: str = "float32"
) -> float:
    """Seconds that a kernel takes at least on a target; 0 where the target has no peaks.

    The largest of ``flops / peak``, bytes that memory must deliver / ``dram`` and bytes that pass through the
    second-level caches / ``cache``. Peaks are best cases, so a shorter time cannot be right.

    Args:
        target: the chip, with ``peaks``.
        flops: operations of one call, a multiply-add counting two.
        cold_bytes: bytes that must come from memory.
        warm_bytes: bytes of the call that earlier calls may have left in a cache.
        arithmetic: the type that bounds the arithmetic, see ``Peaks.bound``.
    """
    return max(_arithmetic_seconds(target, flops, arithmetic), _memory_seconds(target, cold_bytes, warm_bytes))


def bound(target: Target, flops: float, cold_bytes: float, warm_bytes: float = 0.0, arithmetic: str = "float32") -> str:
    """Which side of the roof a kernel is under: ``compute`` or ``memory``; arguments as ``floor_seconds``."""
    compute = _arithmetic_seconds(target, flops, arithmetic)
    return "compute" if compute >= _memory_seconds(target, cold_bytes, warm_bytes) else "memory"


def _arithmetic_seconds(target: Target, flops: float, arithmetic: str) -> float:
    return flops / target.peaks.bound(arithmetic) if target.peaks else 0.0


def _memory_seconds(target: Target, cold_bytes: float, warm_bytes: float) -> float:
    """A floor must be true before it is tight: levels work at the same time, and each keeps as much as it can.

    Of warm bytes, what all caches together cannot hold comes from memory again at every call; of all bytes, what
    the first-level caches cannot hold passes through the second level. A cache of unknown speed costs nothing.
    """
    peaks = target.peaks
    if peaks is None:
        return 0.0
    first = target.cores * target.l1d
    every = first + target.cores * target.l2 + target.l3
    from_memory = (cold_bytes + max(0.0, warm_bytes - every)) / peaks.dram
    from_cache = max(0.0, cold_bytes + warm_bytes - first) / peaks.cache if peaks.cache else 0.0
    return max(from_memory, from_cache)
