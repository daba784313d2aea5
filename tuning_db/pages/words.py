"""Moments, spans and strangers' text as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime, timezone

from markupsafe import Markup, escape

# Where a rest of seconds turns into words: two units at most, and none below a minute.
UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))
# Controls, format characters (zero width, right to left), private use, halves of pairs, and what is not assigned.
UNSEEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}
# Letters that take no room without being of those classes: Hangul fillers, a blank of Braille, variation selectors.
BLANK = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0", "\u034f", *(chr(n) for n in range(0xFE00, 0xFE10))}
SPACES = "\n\t "


def moment(when: float) -> str:
    """A moment to the minute, in UTC."""
    return _utc(when).strftime("%Y-%m-%d %H:%M UTC")


def day(when: float) -> str:
    """A day, as it stands under an axis: ``3 Nov``."""
    at = _utc(when)
    return f"{at.day} {at:%b}"


def machine_moment(when: float) -> str:
    """The same for ``<time datetime>``."""
    return _utc(when).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A length of time in its two largest units: ``3 days 4 hours``."""
    rest, parts = int(abs(seconds)), []
    for unit, length in UNITS:
        number, rest = divmod(rest, length)
        if number:
            parts.append(f"{number} {unit}{'' if number == 1 else 's'}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "less than a minute"


def away(when: float, now: float) -> str:
    """How far a moment is from now: ``in 3 days 4 hours``, ``2 days ago``."""
    return f"in {span(when - now)}" if when > now else f"{span(now - when)} ago"


def listed(names: Iterable[str]) -> str:
    """Names in a row, with *and* before the last."""
    *first, last = list(names) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def plain(text: object) -> str:
    """Text with everything that cannot be seen, or turns what is around it, spelt out: ``[U+202E]``."""
    said = str(text)
    if said.isascii() and said.isprintable():
        return said
    return "".join(f"[U+{ord(letter):04X}]" if hidden(letter) else letter for letter in said)


def shown(text: object) -> Markup:
    """The same as HTML, with what is spelt out marked, and the rest of the line kept in its own direction."""
    said = str(text)
    if said.isascii() and said.isprintable():
        return Markup(f"<bdi>{escape(said)}</bdi>")
    marked = "".join(
        f'<span class="unseen">U+{ord(letter):04X}</span>' if hidden(letter) else escape(letter) for letter in said
    )
    return Markup(f"<bdi>{marked}</bdi>")


def hidden(letter: str) -> bool:
    """Whether a character leaves no trace of its own on a page."""
    return letter not in SPACES and (letter in BLANK or unicodedata.category(letter) in UNSEEN)


def _utc(when: float) -> datetime:
    # The furthest year that there is, for launches that are never.
    return datetime.fromtimestamp(min(max(when, 0.0), 253402300799.0), timezone.utc)
