"""An empty plot in the style of the pages, and a plot as SVG: colours come from the page, text stays text."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from targets.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib wants colours, and the page has light and dark ones: these stand for custom properties of its style.
COLOURS = {"ink": "#010203", "muted": "#010204", "grid": "#010205", "default": "#010206", "tuned": "#010207"}
ARITHMETIC = ("#010208", "#010209", "#01020a", "#01020b")


@contextmanager
def canvas(name: str, width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """An empty plot of a size in inches; ``name`` makes its ids its own and the same each time."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("the report", "report") from None
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,  # a label may hold dollar signs
        "font.family": "sans-serif",
        "font.size": 8.5,
        "axes.edgecolor": COLOURS["muted"],
        "axes.labelcolor": COLOURS["muted"],
        "axes.linewidth": 0.6,
        "xtick.color": COLOURS["muted"],
        "ytick.color": COLOURS["muted"],
        "text.color": COLOURS["ink"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": COLOURS["grid"],
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def svg(figure: Figure, name: str, description: str, titles: Mapping[str, str]) -> str:
    """The figure as an element to put into HTML.

    Args:
        name: in front of every id.
        description: for those who do not see it.
        titles: what hovering shows, by the ``gid`` of an artist.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.S)
    for variable, colour in (*COLOURS.items(), *((f"arithmetic{n}", colour) for n, colour in enumerate(ARITHMETIC))):
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    for gid, title in titles.items():
        mark = f'<g id="{name}-{gid}">'
        text = text.replace(mark, f"{mark}<title>{html.escape(title)}</title>", 1)
    label = html.escape(description)
    return re.sub(r'width="[^"]*pt" height="[^"]*pt"|height="[^"]*pt" width="[^"]*pt"', "", text, count=1).replace(
        "<svg", f'<svg role="img" aria-label="{label}"', 1
    )
