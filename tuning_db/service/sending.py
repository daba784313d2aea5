"""Sending what is named by its hash: who has it already, and who wants only the rest of it."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request

from tuning_db.service.errors import ApiError

RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
# What such a route may answer besides.
SENT: dict[int | str, dict[str, Any]] = {304: {"description": "it is what If-None-Match says"}}
SENT_IN_PART: dict[int | str, dict[str, Any]] = {
    **SENT,
    206: {"description": "the part of it that Range asks for"},
    416: {"description": "it is not as long as Range says"},
}
YEAR_S = 365 * 86400


def sent_headers(digest: str, public: bool, fixed: bool) -> dict[str, str]:
    """Headers of something with a digest.

    Args:
        digest: its SHA-256.
        public: whether everybody may have it, so that caches may keep it.
        fixed: whether there is never anything else at its URL.
    """
    headers = {"etag": _tag(digest)}
    if public:
        headers["cache-control"] = f"public, max-age={YEAR_S}, immutable" if fixed else "no-cache"
    return headers


def is_known(request: Request, digest: str) -> bool:
    """Whether whoever asks has it already: ``If-None-Match`` names it."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or _tag(digest) in [one.strip().removeprefix("W/") for one in given.split(",")]


def wanted_range(request: Request, digest: str, length: int) -> tuple[int, int] | None:
    """First byte and the one after the last that whoever asks wants; None for all of it.

    One range is answered, as RFC 9110 has it; of several, and of what is no range, all of it is sent. ``If-Range`` says
    which content is meant.

    Raises:
        ApiError: 416, it is not as long.
    """
    found = RANGE.fullmatch(request.headers.get("range", "").strip())
    if found is None or found[0] == "bytes=-" or request.headers.get("if-range", _tag(digest)).strip() != _tag(digest):
        return None
    first, last = found[1], found[2]
    if not first:
        begin, end = max(0, length - int(last)), length
    else:
        begin, end = int(first), min(length, int(last) + 1) if last else length
    if first and last and int(last) < int(first):
        return None
    if begin >= end:
        raise ApiError(416, "invalid", "it is not as long as Range says", {"Content-Range": f"bytes */{length}"})
    return begin, end


def _tag(digest: str) -> str:
    return f'"{digest}"'
