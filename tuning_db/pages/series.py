"""One colour for each name, the same everywhere on a page: classes of the style sheet."""

from __future__ import annotations

from collections.abc import Iterable

COLOURS = 8


def kinds(names: Iterable[str]) -> dict[str, str]:
    """The class of each name, by their order; a ninth name has the first one's colour again, and another dash."""
    found = {}
    for at, name in enumerate(sorted(set(names))):
        found[name] = f"s{at % COLOURS}" + (" dashed" if at >= COLOURS else "")
    return found
