"""Elements of SVG, with whatever a stranger wrote in them escaped and made visible."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

from tuning_db.pages.words import plain


def tag(name: str, *content: Markup | str, **attributes: object) -> Markup:
    """An element; attributes lose a ``_`` at their end and have ``-`` for those within."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else plain(value)
        parts.append(f' {_attribute(key)}="{escape(shown)}"')
    inner = "".join(part if isinstance(part, Markup) else escape(plain(part)) for part in content)
    return Markup(f"{''.join(parts)}>{inner}</{name}>")


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "tick") -> Markup:
    """Words at a place."""
    return tag("text", words, x=x, y=y, text_anchor=anchor, class_=kind)


def drawing(name: str, width: float, height: float, title: str, about: str, parts: Iterable[Markup]) -> Markup:
    """The whole picture, with a title and a description for those who do not see it.

    Args:
        name: makes the ids of the two its own on the page.
        width, height: in units of about a pixel.
        title, about: what it is, and what is to be seen in it.
        parts: what is in it, the lowest first.
    """
    said = [tag("title", title, id=f"{name}-title"), tag("desc", about, id=f"{name}-about")]
    return tag(
        "svg",
        *said,
        *parts,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-about",
    )


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
