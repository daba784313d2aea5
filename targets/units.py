"""Figures as people read them; every function takes None for what is not known and then says ``-``."""

from __future__ import annotations

# Seconds.
DAY = 86400.0


def seconds(value: float | None) -> str:
    """A duration in the unit that fits and three digits: ``12.3 us``, ``4.56 ms``, ``1.20 s``."""
    if value is None:
        return "-"
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        # 0.9996 ms would be written as 1000 us.
        if value >= 0.9995 * length:
            return f"{_three(value / length)} {unit}"
    return f"{_three(value * 1e9)} ns"


def duration(value: float | None) -> str:
    """A span of time that people wait for: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 04 h``."""
    if value is None:
        return "-"
    whole = round(value)
    if whole < 100:
        return f"{whole} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(value / 3600)
    return f"{hours // 24} d {hours % 24:02} h"


def size(value: float | None) -> str:
    """A number of bytes in binary units: ``1.5 MiB``."""
    if value is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def rate(value: float | None, unit: str) -> str:
    """A throughput in decimal units and three digits: ``20.5 GB/s`` for 2.05e10 and ``B/s``."""
    if value is None:
        return "-"
    prefix = ""
    for prefix in ("", "k", "M", "G", "T", "P"):
        # 999.5 would be written as 1000.
        if value < 999.5 or prefix == "P":
            break
        value /= 1000
    return f"{_three(value)} {prefix}{unit}"


def times(value: float | None) -> str:
    """How many times: ``3.12x``."""
    return "-" if value is None else f"{value:.2f}x" if value < 9.995 else f"{value:.0f}x"


def percent(fraction: float | None) -> str:
    """A fraction in whole percent: ``87%``; ``<1%`` where that would round to nothing."""
    if fraction is None:
        return "-"
    return "<1%" if 0 < fraction < 0.005 else f"{fraction:.0%}"


def _three(value: float) -> str:
    """Three digits, or more where they are before the point."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"
