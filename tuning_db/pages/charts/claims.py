"""The claims for one workload on one chip: a mark for each, and a line for who leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from targets.units import seconds
from tuning_db.pages.charts.frame import Line, frame
from tuning_db.pages.charts.svg import drawing, tag
from tuning_db.pages.words import moment

# Marks that tell how far a claim is trusted without their colour: paths around a centre.
SHAPES = {
    "claimed": "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "replayed": "m0 -5l5 5l-5 5l-5 -5z",
    "reproduced": "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
    "refused": "m-3.5 -3.5l7 7m0 -7l-7 7",
    "withdrawn": "m-3.5 -3.5l7 7m0 -7l-7 7",
}


@dataclass(frozen=True)
class Mark:
    """One claim: when it came, how long a call takes by it, whose it is, its tier or what it fell to."""

    at: float
    seconds: float
    vendor: str
    state: str


def claims(
    name: str,
    width: int,
    title: str,
    marks: Sequence[Mark],
    leaders: Line,
    kinds: Mapping[str, str],
    now: float,
    launch: float,
) -> Markup:
    """The chart; empty where there is no claim.

    Args:
        name: of the chart, for its ids.
        width: of the whole.
        title: which workload and chip.
        marks: the claims.
        leaders: moments, and seconds of the claim that leads from then on, None where none does.
        kinds: the class of each vendor's colour.
        now, launch: moments.
    """
    if not marks:
        return Markup("")
    values = [mark.seconds for mark in marks] + [value for _, value in leaders if value]
    first = min([mark.at for mark in marks] + [at for at, _ in leaders])
    placed = frame(width, 250 if width >= 480 else 220, (first, now), values)
    parts = [*placed.axes(), *placed.upright(launch, "launch")]
    if leaders:
        parts.append(placed.steps(leaders, "lead"))
    if leaders and (last := leaders[-1][1]):
        parts += placed.names({"leads": last}, {"leads": "note"})
    for mark in marks:
        at = f"M{placed.x(mark.at):.1f} {placed.y(mark.seconds):.1f}{SHAPES[mark.state]}"
        said = f"{mark.vendor}, {mark.state}: {seconds(mark.seconds)}, {moment(mark.at)}"
        parts.append(tag("path", tag("title", said), d=at, class_=f"mark {mark.state} {kinds[mark.vendor]}"))
    best = min(marks, key=lambda mark: mark.seconds)
    about = f"{len(marks)} claims over time, less is better; the fastest is {seconds(best.seconds)} of {best.vendor}."
    if leaders and (last := leaders[-1][1]):
        about += f" The claim that leads at {moment(now)} takes {seconds(last)}."
    return drawing(name, width, placed.height, title, about, parts)
