"""Errors as pages, for browsers; what is not there and what is not open to somebody is one page."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from tuning_db.pages.render import page
from tuning_db.service.errors import ApiError

TITLES = {
    400: "That is not a question we understand",
    401: "Please log in",
    403: "That is not open to you",
    404: "Not there, or not open to you",
    405: "That cannot be done here",
    413: "Too large",
    429: "Too many requests",
    503: "Not now",
}


def refused(request: Request, error: ApiError) -> Response | None:
    """The page of an error, where a browser asks for a page; None where a program asks."""
    if request.url.path.startswith("/v1/") or "text/html" not in request.headers.get("accept", ""):
        return None
    title = TITLES.get(error.status, "Something went wrong here")
    # The address is not on it: pages of different things that are not there are the same.
    response = page(request, "refused", error.status, title=title, message=error.body["error"]["message"])
    response.headers.update(error.headers)
    return response
