"""The closing table of `headstart tune`."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import cli._summary
from tuner.summary import Row, Summary


def row(name: str, default_s: float | None, champion_s: float | None, **more: object) -> Row:
    fields = {"flops": 2_000_000_000, "bytes": 30_000_000, "bound": "memory", "calls": 10, "floor_s": 1e-3, **more}
    return Row(f"w{name}", (name,), "linear", "16x4096x4096 bf16", trials=9, arithmetic="bfloat16",
               default_s=default_s, champion_s=champion_s, **fields)  # type: ignore[arg-type]  # fmt: skip


def printed(summary: Summary, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    out = io.StringIO()
    monkeypatch.setattr(cli._summary, "console", Console(file=out, width=width))
    cli._summary.print_summary(summary, "a/long/path/" * 12 + "x.db", ["headstart report some-model " + "-" * 100])
    return out.getvalue()


SUMMARY = Summary(
    "some-model",
    (row("wq", 8e-3, 2e-3), row("w[red]o", 4e-3, 2e-3, bound="compute"), row("untried", None, None)),
    {"sparse_mqa": 3, "topk": 7},
)


@pytest.mark.parametrize("width", [80, 96, 100, 160])
def test_everything_is_there_and_the_table_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(SUMMARY, width, monkeypatch)
    table = text[: text.index("one step")]
    assert max(len(line) for line in table.splitlines()) <= width
    for figure in ("8.00 ms", "2.00 ms", "4.00x", "15.0 GB/s", "1.00 TFLOP/s", "50%"):
        assert figure in table
    total = next(line for line in text.splitlines() if "one step" in line)
    assert "120 ms" in total and "40.0 ms" in total and "3.00x" in total and "50%" in total
    assert "2 of 3 workloads are measured" in text
    assert "topk (7), sparse_mqa (3)" in " ".join(text.split())


def test_names_are_not_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "w[red]o" in printed(SUMMARY, 100, monkeypatch)


def test_what_is_to_be_copied_is_not_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(SUMMARY, 80, monkeypatch).splitlines()
    assert "  headstart report some-model " + "-" * 100 in lines
    assert "Database: " + "a/long/path/" * 12 + "x.db" in lines


def test_unknown_roof_is_not_a_share_of_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(Summary("m", (row("wq", 8e-3, 2e-3, floor_s=0.0),), {}), 100, monkeypatch)
    assert "%" not in text.replace("% of", "")


def test_nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(Summary("m", (row("wq", None, None),), {}), 100, monkeypatch)
    assert "0 of 1 workloads are measured" in text


def test_where_nothing_was_timed_it_says_so_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (row("wq", None, None, untimed="emulated:1"), row("wk", None, None))
    text = " ".join(printed(Summary("m", rows, {}), 100, monkeypatch).split())
    assert (
        "not timed" in text and "1 of 2 workloads have a champion that is right and not timed (tier replayed)" in text
    )
    assert "stands in for the chip (emulated)" in text and "1 of 2 workloads have none yet" in text
