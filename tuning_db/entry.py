"""An entry of a ledger: who did what, when; and the one text of it that is hashed.

That text is canonical JSON of an object of

    action   what was done: 1 to 200 printable ASCII characters, so that none steers a terminal or looks like another
    actor    who did it, the same
    created  seconds since 1970, a number with a decimal point
    log      name of the log
    payload  an object: what it was done to
    salt     32 random hex digits: who holds the hash of an entry, as every proof shows some, cannot guess its content
    seq      its number within its log, from 0

and its UTF-8 (which is ASCII) is the content of the entry's leaf in the tree of its log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from targets.digest import canonical_json
from tuning_db.checkpoint import log_name
from tuning_db.merkle import leaf_hash
from tuning_db.readers import count, mapping, number, parse, record, text

SALT_BYTES = 16
MAX_NAME = 200
# 10000-01-01T00:00:00Z: what comes later has no date in ISO 8601.
LAST_MOMENT = 253402300800.0


def _salt(value: Any) -> str:
    if not re.fullmatch(f"[0-9a-f]{{{2 * SALT_BYTES}}}", text(value)):
        raise ValueError(f"must be {2 * SALT_BYTES} hexadecimal digits")
    return str(value)


def _name(value: Any) -> str:
    if not re.fullmatch(f"[ -~]{{1,{MAX_NAME}}}", text(value)):
        raise ValueError(f"must be 1 to {MAX_NAME} printable ASCII characters")
    return str(value)


def _moment(value: Any) -> float:
    if not 0 <= (moment := number(value)) < LAST_MOMENT:
        raise ValueError("must be seconds since 1970, up to the year 9999")
    return moment


READ = record(
    {
        "action": _name,
        "actor": _name,
        "created": _moment,
        "log": log_name,
        "payload": mapping,
        "salt": _salt,
        "seq": count,
    }
)


@dataclass(frozen=True)
class Entry:
    """An entry, as the head of this module has it."""

    log: str
    seq: int
    actor: str
    action: str
    payload: Mapping[str, Any]
    created: float
    salt: str

    @property
    def content(self) -> str:
        """The text that is hashed.

        Raises:
            ValueError: something in it is not JSON: a NaN, a loop.
            TypeError: something in it is of no type of JSON.
        """
        return canonical_json({**vars(self), "payload": dict(self.payload)})

    @property
    def leaf(self) -> bytes:
        """Hash of the leaf, 32 bytes."""
        return leaf_hash(self.content.encode())

    @classmethod
    def loads(cls, content: bytes) -> Entry:
        """Read an entry's text.

        Raises:
            ValueError: it is not the text of an entry, in exactly the spelling that ``content`` has.
        """
        try:
            entry = cls(**READ(parse(content)))
            same = entry.content.encode() == content
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        if not same:
            raise ValueError("is not canonical JSON: keys sorted, ASCII only, no spaces, numbers at their shortest")
        return entry
