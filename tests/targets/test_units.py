"""Figures as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targets import units


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.00 ns"), (9.9e-8, "99.0 ns"),
     (9.996e-7, "1.00 us"), (9.996e-6, "10.0 us"), (12.34e-6, "12.3 us"), (999.6e-6, "1.00 ms"),
     (4.56e-3, "4.56 ms"), (0.19, "190 ms"), (0.9996, "1.00 s"), (4321.0, "4321 s")],
)  # fmt: skip
def test_seconds(value: float | None, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (512.0, "512 B/s"), (2.05e10, "20.5 GB/s"), (999.7e9, "1.00 TB/s"), (2e18, "2000 PB/s")],
)
def test_rate(value: float | None, text: str) -> None:
    assert units.rate(value, "B/s") == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (1.0, "1.00x"), (9.996, "10x"), (123.4, "123x")])
def test_times(value: float | None, text: str) -> None:
    assert units.times(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.4, "0 s"), (99.4, "99 s"), (100.0, "2 min"), (3569.0, "59 min"), (3700.0, "1 h 02 min"),
     (172799.0, "2 d 00 h"), (190000.0, "2 d 05 h")],
)  # fmt: skip
def test_duration(value: float | None, text: str) -> None:
    assert units.duration(value) == text


def test_size_and_percent() -> None:
    assert units.size(None) == units.percent(None) == "-"
    assert units.size(1023) == "1023 B" and units.size(1536) == "1.5 KiB" and units.size(2**45) == "32.0 TiB"
    assert units.percent(0.874) == "87%" and units.percent(0.004) == "<1%" and units.percent(0.0) == "0%"


@given(st.floats(1e-9, 1e7))
def test_seconds_says_the_value(value: float) -> None:
    number, unit = units.seconds(value).split()
    assert float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit] == pytest.approx(value, rel=0.006)
