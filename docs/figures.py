"""Write the tables and plots of ``performance.md`` from what ``headstart bench --json`` printed.

``python docs/figures.py`` reads every ``docs/results/NAME.json``, writes ``docs/images/NAME.svg`` and the tables
between the lines ``<!-- results: NAME -->`` and ``<!-- end -->``, so that no figure is copied by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from targets.units import percent, seconds, times

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "performance.md"
OTHERS = ("default", "numpy", "torch", "compile", "max-autotune", "metaschedule", "metaschedule-time", "early")
# Of torch, and how a plot shows them; tones that can be told apart on light and on dark.
MARKS = {"torch": ("o", "#d1495b"), "compile": ("s", "#c98a1b"), "max-autotune": ("D", "#8f6bd1")}
TUNED, INK = "#2a9d8f", "#7a8490"


def ratio(case: dict[str, Any], name: str) -> float | None:
    """The median over rounds of a peer's time over that of tuned."""
    found = {peer["name"]: peer for peer in case["peers"]}.get(name)
    return found["over_tuned"]["median"] if found and found["over_tuned"] else None


def share(case: dict[str, Any]) -> float:
    """The share of the roofline that tuned reaches."""
    return float(next(peer["roofline"]["median"] for peer in case["peers"] if peer["name"] == "tuned"))


def table(cases: Sequence[dict[str, Any]]) -> str:
    """A row a workload, in Markdown; the last one has the geometric means."""
    names = [name for name in OTHERS if any(ratio(case, name) for case in cases)]
    torch = any(case["best_torch"] for case in cases)
    head = ["workload", "tuned", "of roof", *["best torch"] * torch, *names]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for case in cases:
        tuned = next(peer["seconds"] for peer in case["peers"] if peer["name"] == "tuned")
        best = [times(ratio(case, case["best_torch"]) if case["best_torch"] else None)] * torch
        row = [f"`{case['name']}`", seconds(tuned), percent(share(case)), *best]
        lines.append("| " + " | ".join([*row, *(times(ratio(case, name)) for name in names)]) + " |")
    means = [percent(geometric_mean([share(case) for case in cases]))]
    if torch:
        means.append(mean([ratio(case, case["best_torch"]) for case in cases if case["best_torch"]]))
    means += [mean([ratio(case, name) for case in cases]) for name in names]
    lines.append("| **geometric mean** | | " + " | ".join(f"**{value}**" for value in means) + " |")
    return "\n".join(lines)


def mean(values: Sequence[float | None]) -> str:
    """Of those that are there."""
    there = [value for value in values if value]
    return times(geometric_mean(there)) if there else times(None)


def prepared(path: Path) -> Any:
    """Matplotlib's pyplot, set up for plots that look right on light and on dark pages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    matplotlib.rcParams |= dict.fromkeys(inked, INK)
    matplotlib.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
    matplotlib.rcParams |= {"axes.grid": True, "grid.alpha": 0.25, "font.size": 8}
    matplotlib.rcParams |= {"svg.hashsalt": path.name, "svg.fonttype": "none"}
    return pyplot


def plot(cases: Sequence[dict[str, Any]], path: Path) -> None:
    """Ratios of torch on the left, shares of the roofline on the right, as SVG."""
    pyplot = prepared(path)
    figure, (left, right) = pyplot.subplots(
        1, 2, sharey=True, figsize=(8.6, 0.8 + 0.19 * len(cases)), layout="constrained", width_ratios=[3, 2]
    )
    rows = range(len(cases))
    for name, (mark, tone) in MARKS.items():
        found = [(value, row) for row, case in enumerate(cases) if (value := ratio(case, name))]
        left.plot(*zip(*found, strict=True), mark, color=tone, markersize=4, label=name) if found else None
    left.set_xscale("log", base=2)
    left.axvline(1, color=TUNED, linewidth=1.5, label="Headstart")
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    left.set_xlabel("time over Headstart's: right of the line Headstart is faster")
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=7, loc="outside upper center", ncols=4)
    right.barh(rows, [share(case) for case in cases], 0.6, color=TUNED)
    right.axvline(1, color=INK, linewidth=1)
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.set_xlabel("share of the roofline in the same rounds")
    left.set_yticks(rows, [case["name"] for case in cases])
    left.set_ylim(len(cases) - 0.5, -0.5)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close(figure)


def rows_table(families: Sequence[dict[str, Any]]) -> str:
    """A row a family of kernels for any number of rows, in Markdown."""
    lines = ["| family | kernels | over the default | least | default better at |", "|---|---|---:|---:|---|"]
    for family in families:
        worst = next(one for one in family["rows"] if one["rows"] == family["worst"])
        kernels = ", ".join(map(str, [*family["kernels"], *["any"] * bool(family["any"])]))
        better = ", ".join(map(str, family["worse"])) or "none"
        least = f"{times(worst['speedup'])} at {worst['rows']}"
        name = f"`{family['operator']}` {family['label']}"
        lines.append(f"| {name} | {kernels} | {times(family['geomean'])} | {least} | {better} |")
    return "\n".join(lines)


def rows_plot(families: Sequence[dict[str, Any]], path: Path) -> None:
    """For each family how many times faster than the default schedule its plan is, by the number of rows, as SVG."""
    pyplot = prepared(path)
    figure, axes = pyplot.subplots(1, len(families), figsize=(8.6, 2.4), layout="constrained", squeeze=False)
    for place, family in zip(axes[0], families, strict=True):
        counts = [one["rows"] for one in family["rows"]]
        low, high = ([1 / edge(one["ratios"]) for one in family["rows"]] for edge in (max, min))
        place.fill_between(counts, low, high, color=TUNED, alpha=0.25, linewidth=0)
        place.plot(counts, [one["speedup"] for one in family["rows"]], color=TUNED, linewidth=1)
        place.axhline(1, color=INK, linewidth=1)
        place.set_xscale("log", base=2)
        place.set_yscale("log", base=2)
        place.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        place.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        place.set_title(family["name"], fontsize=8)
        place.set_xlabel("rows")
    axes[0][0].set_ylabel("default's time over the plan's")
    figure.savefig(path, transparent=True, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Tables of everything there is, and the plots that the page shows."""
    page = PAGE.read_text()
    for path in sorted((DOCS / "results").glob("*.json")):
        found = json.loads(path.read_text())
        if "families" in found:
            page = with_rows(page, found["families"])
        if "workloads" not in found:
            continue  # of a GPU: tuner/cuda/table.py
        cases = found["workloads"]
        image = f"images/{path.stem}.svg"
        if image in page:
            plot(cases, DOCS / image)
        block = rf"(<!-- results: {path.stem} -->\n).*?(<!-- end -->)"
        page = re.sub(block, lambda found, cases=cases: f"{found[1]}{table(cases)}\n{found[2]}", page, flags=re.DOTALL)
    PAGE.write_text(page)


def with_rows(page: str, families: Sequence[dict[str, Any]]) -> str:
    """The page with plot and table of kernels for any number of rows."""
    rows_plot(families, DOCS / "images" / "rows.svg")
    told = "Times of the default schedule over those of plans, for each number of rows"
    text = f"![{told}](images/rows.svg)\n\n{rows_table(families)}\n"
    return re.sub(
        r"(<!-- results: rows -->\n).*?(<!-- end -->)", lambda found: found[1] + text + found[2], page, flags=re.DOTALL
    )


if __name__ == "__main__":
    main()
