"""The plots of a benchmark's page, as SVG to put into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuner.bench.result import TUNED, CaseResult
from tuner.bench.statistics import spread
from tuner.report.figure import ARITHMETIC, COLOURS, canvas, svg

# Peers that a plot tells apart by colour; there are four colours, and more would not be told apart.
FAMILIES: Mapping[str, Sequence[str]] = {
    ARITHMETIC[1]: ("torch", "compile", "max-autotune"),
    ARITHMETIC[2]: ("numpy",),
    ARITHMETIC[3]: ("metaschedule", "metaschedule-time"),
}
# matplotlib's name of a marker and the letter that looks like it, in a legend; a dot is the rest.
LETTERS = {"o": "\N{BLACK CIRCLE}", "s": "\N{BLACK SQUARE}", "D": "\N{BLACK DIAMOND}"}
MARKS = {"torch": "o", "compile": "s", "max-autotune": "D", "metaschedule": "o", "metaschedule-time": "s", "early": "s"}


def colour(name: str) -> str:
    """Colour of a peer."""
    if name in (TUNED, "early", "again") or name.startswith("seed"):
        return COLOURS[TUNED]
    return next((code for code, names in FAMILIES.items() if name in names), COLOURS["default"])


def letter(name: str) -> str:
    """The mark of a peer as a letter."""
    return LETTERS[MARKS.get(name, "o")]


def ratios(cases: Sequence[CaseResult]) -> str:
    """How many times as long as tuned every other peer takes on each workload, with the range over rounds.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    names = list(
        dict.fromkeys(peer.name for case in cases for peer in case.peers if peer.rounds and peer.name != TUNED)
    )
    titles: dict[str, str] = {}
    with canvas("ratios", 7.2, 0.9 + len(cases) * max(0.32, 0.075 * len(names))) as (figure, axes):
        axes.set_xscale("log")
        axes.axvline(1, color=COLOURS[TUNED], linewidth=1.2)
        for row, case in enumerate(cases):
            for at, name in enumerate(names):
                values = case.ratio(name)
                if not values:
                    continue
                interval = spread(values)
                # Peers one below the other within the height of a row.
                y = row + 0.7 * ((at + 0.5) / len(names) - 0.5)
                axes.plot([interval.low, interval.high], [y, y], color=colour(name), linewidth=1.2, alpha=0.6)
                gid = f"ratio{row}-{at}"
                mark = MARKS.get(name, "o")
                axes.plot(interval.median, y, mark, markersize=4, color=colour(name), gid=gid, markeredgewidth=0)
                titles[gid] = f"{case.name}: {name} {interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})"
        axes.set_ylim(len(cases) - 0.5, -0.5)
        axes.set_yticks(range(len(cases)), [case.name for case in cases])
        _plain(axes.xaxis)
        axes.set_xlabel("time over Headstart's, tuned; right of 1 Headstart is faster")
        return svg(figure, "ratios", f"Times of {', '.join(names)} over those of tuned, {len(cases)} workloads", titles)


def roofs(cases: Sequence[CaseResult]) -> str:
    """The share of the roofline that tuned and the best of torch reach on each workload.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    titles: dict[str, str] = {}
    with canvas("roofs", 7.2, 0.9 + 0.32 * len(cases)) as (figure, axes):
        for row, case in enumerate(cases):
            for name, y in ((TUNED, row - 0.18), (case.best_torch, row + 0.18)):
                values = case.roofline(name) if name else []
                if not name or not values:
                    continue
                share = spread(values)
                gid = f"roof{row}-{name}"
                axes.barh(y, share.median, 0.32, color=colour(name), alpha=0.85, gid=gid)
                axes.plot([share.low, share.high], [y, y], color=COLOURS["ink"], linewidth=0.8)
                titles[gid] = f"{case.name}: {name} {share.median:.0%}"
        axes.axvline(1, color=COLOURS["muted"], linewidth=1)
        axes.set_ylim(len(cases) - 0.5, -0.5)
        axes.set_yticks(range(len(cases)), [case.name for case in cases])
        axes.set_xlim(left=0)
        axes.set_xlabel("share of the roofline that was measured in the same rounds")
        return svg(figure, "roofs", f"Share of the roofline on {len(cases)} workloads", titles)


def drift(at: int, case: CaseResult) -> str:
    """Times of a workload round by round: whether a machine that changed its speed lies behind a difference.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    titles: dict[str, str] = {}
    with canvas(f"drift{at}", 2.7, 1.6) as (figure, axes):
        axes.set_yscale("log")
        for peer in case.peers:
            if peer.rounds:
                rounds = range(1, len(peer.rounds) + 1)
                milliseconds = [1e3 * s for s in peer.rounds]
                mark = MARKS.get(peer.name, "o")
                gid = f"line-{peer.name}"
                width = 1.6 if peer.name == TUNED else 0.9
                axes.plot(rounds, milliseconds, mark, ls="-", lw=width, markersize=3, color=colour(peer.name), gid=gid)
                titles[gid] = peer.name
        floors = [1e3 * s for s in case.roof.floors]
        axes.plot(range(1, len(floors) + 1), floors, color=COLOURS["muted"], linewidth=1, gid="floor")
        titles["floor"] = "roofline"
        axes.set_xticks(range(1, len(floors) + 1))
        _plain(axes.yaxis)
        axes.set_ylabel("ms")
        return svg(figure, f"drift{at}", f"Milliseconds of each peer on {case.name}, round by round", titles)


def _plain(axis: object) -> None:
    """Ticks at 1, 2 and 5 of each decade, without exponents."""
    from matplotlib.axis import Axis
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    assert isinstance(axis, Axis)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
