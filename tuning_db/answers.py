"""What answers of a service must be like, as far as a client makes use of them.

Fields that are not named here are kept, so that a newer service may say more.
"""

from __future__ import annotations

from typing import Any

from tuning_db.misses import MISS
from tuning_db.readers import (
    between,
    count,
    entries,
    flag,
    having,
    mapping,
    number,
    optional,
    sequence,
    table,
    text,
    versions,
)

MOST = 100_000
# Until the year 9999, so that it can be shown as a date.
moment = between(0, 253402300799, "seconds since 1970")


def _list(**fields: Any) -> Any:
    """Rows of these fields."""
    return entries(having(fields), MOST)


HEALTH = having({"service": text})
ACCOUNT = having({"id": text, "name": text, "role": text, "scopes": sequence(text)})
RULES = having({"sealed": flag, "withdraw_s": optional(number), "object_s": optional(number)})
_RELEASE = {"id": text, "name": text, "publisher": text, "launch": moment, "rules": RULES}
RELEASES = having({"releases": _list(**_RELEASE)})
CREATED = having(_RELEASE)
RELEASE = having(
    {
        **_RELEASE,
        "models": _list(name=text, step=mapping, ops=_list(name=text, operator=text, calls=count)),
        "workloads": _list(id=text, canonical=text),
    }
)
STANDINGS = having(
    {"standings": _list(workload=text, target=text, vendor=text, tier=text, median=number, spread=number)}
)
OPENINGS = having({"openings": _list(name=text, role=text, target=text, opens=moment)})
INVITED = having({"account": text, "opens": moment, "target": text})
_CLAIM = {
    **dict.fromkeys(("id", "workload", "target", "toolchain", "policy", "release", "vendor", "batch"), text),
    **{"received": moment, "tier": text, "state": text, "reason": text, "median": number, "spread": number},
}
CLAIMS = having({"claims": _list(**_CLAIM, schedule=text), "next": optional(text)})
_WHOLE = {
    **_CLAIM,
    "schedule": having({"id": text, "space": text, "version": count, "config": mapping}),
    "versions": versions,
    "timing": having({"cache": text, "threads": count, "clock": text}),
    "samples": sequence(number),
    "machine": text,
}
# Right after a verdict, and as one by its id.
JUDGED = having(_WHOLE)
CLAIM = having({**_WHOLE, "verdicts": _list(judge=text, outcome=text, reason=text, created=moment)})
CHAMPIONS = having({"champions": entries(JUDGED, MOST)})
WORKLOAD = having({"id": text, "canonical": text})
_KEY = {"id": text, "public": text, "created": moment, "revoked": optional(moment)}
KEYS = having({"keys": _list(**_KEY)})
KEY = having(_KEY)
REVOKED = having({"id": text, "revoked": moment, "withdrawn": sequence(text)})
TAKEN = having(
    {
        "batch": text,
        "received": moment,
        "claims": sequence(text),
        "notes": _list(code=text, entry=count, message=text),
        "receipt": mapping,
    }
)
TOLD = having({"source": text, "misses": count})
MISSES = having({"misses": _list(**MISS)})
CHECKPOINT = having({"checkpoint": text})
ENTRIES = having({"checkpoint": text, "start": count, "entries": sequence(text)})
REPOSITORY = having(
    {
        "release": text,
        "online_key": optional(text),
        "roots": entries(text, MOST),
        "targets": optional(text),
        "bundles": table(text, text, MOST),
        "roles": table(text, having({"version": count, "expires": moment}), 10),
    }
)
PUBLISHED = having({"release": text, "root": count, "targets": count})
UPLOADED = having({"length": count, "whole": flag, "missing": sequence(count)})
