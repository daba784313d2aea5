"""Strangers' text on pages: escaped, visible, in its place; and the words for times."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tuning_db.pages.markup import Markup
from tuning_db.pages import words
from tuning_db.pages.charts.claims import Mark, claims
from tuning_db.pages.charts.race import race
from tuning_db.pages.charts.roofline import Spot, roofline
from tuning_db.pages.charts.scale import Scale, around, day_ticks, log_ticks
from tuning_db.pages.render import environment
from tuning_db.pages.schedule import plan
from tuning_db.pages.series import kinds

HOSTILE = """</title></svg><script>alert(1)</script><img src=x onerror=a>"'&\u202egnp.exe\u200b\x00]]>"""
STYLE = (Path(words.__file__).parent / "templates" / "style.css").read_text()


def test_what_cannot_be_seen_is_spelt_out() -> None:
    assert words.plain("a\u202eb\u200bc\u3164\ufe0f") == "a[U+202E]b[U+200B]c[U+3164][U+FE0F]"
    assert words.plain("größe 東京 λ\n") == "größe 東京 λ\n"
    shown = words.shown("<\u2066b>")
    assert shown == '<bdi>&lt;<span class="unseen">U+2066</span>b&gt;</bdi>'


@given(st.text())
def test_nothing_that_is_shown_is_markup_or_hidden(text: str) -> None:
    shown = words.shown(text)
    rest = re.sub(r'</?bdi>|<span class="unseen">|</span>', "", shown)
    assert "<" not in rest
    assert '"' not in rest
    assert not any(words.hidden(letter) for letter in shown)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59, "less than a minute"),
        (60, "1 minute"),
        (7260, "2 hours 1 minute"),
        (86400 * 3 + 60, "3 days"),
        (-3600, "1 hour"),
    ],
)
def test_spans(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


def test_moments_of_any_size() -> None:
    assert words.moment(1e300) == "9999-12-31 23:59 UTC"
    assert words.away(100.0, 3700.0) == "1 hour ago"
    assert words.away(3700.0, 100.0) == "in 1 hour"


def test_charts_hold_what_strangers_write() -> None:
    of = kinds([HOSTILE, "b"])
    series = {HOSTILE: [(0.0, None), (1e5, 2e-3), (2e5, 1e-3)], "b": [(1e5, 1.5e-3)]}
    marks = [Mark(1e5, 2e-3, HOSTILE, "claimed"), Mark(2e5, 1e-3, "b", "refused")]
    drawn = [race("a", width, HOSTILE, series, of, 9e5, 5e5, 5e-4) for width in (358, 720)]
    drawn.append(claims("c", 720, HOSTILE, marks, [(1e5, 2e-3)], of, 9e5, 5e5))
    drawn.append(roofline("r", 720, HOSTILE, [Spot(HOSTILE, 2.0, 1e9, "b")], {"b": 1e12}, 1e10, of))
    for chart in drawn:
        tree = ElementTree.fromstring(chart)
        assert "script" not in {element.tag for element in tree.iter()}
        assert "U+202E" in chart
        numbers = re.findall(r'(?<![\w-])(?:x|y|cx|cy)="([^"]*)"', chart)
        assert numbers
        assert all(-5 <= float(number) <= 725 for number in numbers)


def test_charts_of_nothing_are_empty() -> None:
    assert race("a", 720, "t", {"a": [(0.0, None)]}, kinds("a"), 1.0, 2.0) == ""
    assert claims("a", 720, "t", [], [], {}, 1.0, 2.0) == ""
    assert roofline("a", 720, "t", [], {}, 1.0, {}) == ""


@given(st.lists(st.floats(1e-9, 1e3), min_size=1), st.integers(1, 8))
def test_ticks_are_inside_and_few(values: list[float], most: int) -> None:
    scale = around(values, 200.0, 0.0)
    ticks = log_ticks(scale, most)
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert len(ticks) <= most
    assert all(0 <= scale(value) <= 200 for value in values)


@given(st.floats(1, 4e9), st.floats(86400, 4e8), st.integers(2, 8))
def test_days_are_inside_and_few(first: float, long: float, most: int) -> None:
    scale = Scale(first, first + long, 0.0, 100.0)
    ticks = day_ticks(scale, most)
    assert len(ticks) <= most + 1
    assert all(scale.low <= tick <= scale.high and tick % 86400 == 0 for tick in ticks)


def test_schedules_are_read_whatever_is_in_them() -> None:
    trace = [
        [["GetSBlock", [], ["C", "main"], ["b0"]], ["SamplePerfectTile", ["l1"], [2, 16], ["v4", "v5"]], 7],
        [[1, [4, 2]]],
    ]
    assert plan("s", "generic", 1, {"trace": trace}).steps == (
        "b0 = GetSBlock(name=C, function=main)",
        "v4, v5 = SamplePerfectTile(l1, n=2, innermost=16)  # chose [4, 2]",
        "7",
    )
    assert plan("s", "none", 1, {"b": 2, "a": HOSTILE}).knobs == (("a", HOSTILE), ("b", "2"))
    assert plan("s", "generic", 1, {"trace": [[[[], {}, None, None]], [[[], 1]]]}).steps


def test_a_page_of_hostile_words() -> None:
    given = {"here": "/", "account": "", "over": False, "title": HOSTILE, "message": HOSTILE}
    page = Markup(environment().get_template("refused.html.jinja").render(**given))
    assert page.problems == []


def luminance(colour: str) -> float:
    """Of a colour of sRGB, as WCAG has it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Of two colours."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_far_enough_apart(scheme: str) -> None:
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part)) for part in STYLE.split("@media")[:2])
    have = light | (dark if scheme == "dark" else {})
    for ground in ("paper", "panel"):
        for ink in ("ink", "muted", "link", "bad", "good", *(f"s{n}" for n in range(8))):
            assert contrast(have[ground], have[ink]) >= 4.5, (ground, ink)
        assert contrast(have[ground], have["edge"]) >= 3, ground
    for n in range(6):
        assert contrast(have[f"h{n}"], have[f"t{n}"]) >= 4.5, n
    assert contrast(have["link"], have["paper"]) >= 4.5
    assert contrast(have["mark"], have["ink"]) >= 4.5
