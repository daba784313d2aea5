"""Pages are filled in by jinja2, with everything escaped, and sent under a policy that lets them run nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from targets.units import percent, rate, seconds, size, times
from tuning_db.pages import words
from tuning_db.pages.static import address

# Nothing from elsewhere, no script at all, styles from the one file, forms that go to us, no frames around us.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer", with which browsers do not say where a form comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@cache
def environment() -> Environment:
    """The templates of the folder beside this file; a name that a template lacks is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        **{"seconds": seconds, "size": size, "rate": rate, "times": times, "percent": percent},
        **{"moment": words.moment, "machine_moment": words.machine_moment, "span": words.span},
        **{"shown": words.shown, "plain": words.plain, "listed": words.listed, "short": short},
    }
    made.globals |= {"style": address("style.css"), "icon": address("icon.svg"), "away": words.away}
    return made


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page as an answer.

    Args:
        request: what is asked for.
        template: without its ending.
        status: of HTTP.
        context: what the template needs besides ``account`` (name of who is logged in, or empty) and ``here``.
    """
    known = {"account": getattr(request.state, "account", ""), "over": getattr(request.state, "over", False)}
    text = environment().get_template(f"{template}.html.jinja").render(here=request.url.path, **known, **context)
    return HTMLResponse(text, status, HEADERS)


def short(id: str) -> Markup:
    """The first characters of an id, the whole of it for those who ask."""
    return Markup('<code title="{}">{}…</code>').format(words.plain(id), words.plain(id[:10]))
