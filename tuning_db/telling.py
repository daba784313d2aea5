"""Misses between a file, a service and a database: told by deployments, fetched by whoever tunes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuning_db.answers import MISSES, TOLD
from tuning_db.client import Client, at
from tuning_db.misses import Missed


def told(source: str, misses: Sequence[Missed]) -> dict[str, Any]:
    """All that is sent of the misses in a file, whose id is ``source``."""
    return {"source": source, "misses": [miss.to_json() for miss in misses]}


def tell(client: Client, source: str, misses: Sequence[Missed]) -> None:
    """Send the misses in a file; to send them again changes nothing.

    Raises:
        HeadstartError: as ``Client``.
    """
    client.post(at("misses"), told(source, misses), TOLD)


def ask(client: Client, target: str | None = None) -> list[Missed]:
    """The misses that may be seen, what was missed most first; perhaps only of one chip, by its fingerprint.

    Raises:
        HeadstartError: as ``Client``.
    """
    answer = client.get(at("misses"), MISSES, target=target)
    fields = Missed.__dataclass_fields__
    return [Missed(**{name: miss[name] for name in fields}) for miss in answer["misses"]]
