"""The page of a benchmark: complete, safe, the same each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tests.tuner.bench.example import HOSTILE, TWO, case, result
from tuner.bench import plots
from tuner.bench.page import render

pytest.importorskip("matplotlib")


class Tags(HTMLParser):
    """Names of the elements of a page, and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]


def test_everything_is_there() -> None:
    page = render(result(*TWO, absent={"numpy": "what it lacks"}), 0.0)
    for text in ("one", "two", "torch", "1.50x", "what it lacks", "Cold", "failed"):
        assert text in page
    assert page == render(result(*TWO, absent={"numpy": "what it lacks"}), 0.0)
    assert "var(--tuned)" in page and "#010207" not in page


def test_text_is_escaped_and_nothing_is_loaded() -> None:
    page = render(result(case(HOSTILE, tuned=(1e-3, 1e-3), torch=(2e-3, 1e-3), default=())), 0.0)
    tags = Tags()
    tags.feed(page)
    assert "svg" in tags.names and not tags.names & {"img", "script", "link", "iframe", "object"}
    assert all(value.startswith("#") for value in tags.sources)
    assert not re.search(r"url\((?!#)|@import", page)
    assert "default-src 'none'" in page


def test_plots_are_well_formed_and_say_what_they_show() -> None:
    for svg in (plots.ratios(TWO), plots.roofs(TWO), plots.drift(1, TWO[0])):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img" and root.get("aria-label")
    assert "one: torch 2.00 (2.00 to 3.00)" in plots.ratios(TWO)
