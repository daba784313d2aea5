"""Families of kernels that take any number of rows, as commands show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli._output import table

if TYPE_CHECKING:
    from headstart_runtime.row_plan import BundleFamily


def families_json(families: Sequence[BundleFamily]) -> list[dict[str, Any]]:
    """Which operators take any number of rows, and by kernels of how many."""
    return [
        {
            "names": list(family.names),
            "operator": family.operator,
            "largest": family.largest,
            "kernels": [kernel.rows for kernel in family.kernels],
        }
        for family in families
    ]


def print_families(families: Sequence[BundleFamily]) -> None:
    """Say which operators take any number of rows."""
    if not families:
        return
    rows = [
        (
            ", ".join(family.names),
            family.operator,
            f"1 to {family.largest}",
            ", ".join(str(kernel.rows) for kernel in family.kernels) + ", any" * bool(family.any),
        )
        for family in families
    ]
    table("Any number of rows", ("name", "operator", "rows", "kernels"), rows, left=4)
