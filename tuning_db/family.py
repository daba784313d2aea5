"""Families in a selection, in the form that the manifest of a bundle has them in, read from strangers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from headstart_runtime.manifest import SYMBOL
from headstart_runtime.row_plan import LARGEST, AnyKernel, BundleFamily, FamilyKernel, RowRange, check_plans
from targets.digest import canonical_json
from targets.errors import InputError
from tuning_db.batch_format import workload
from tuning_db.readers import entries, mapping, matching, record, text, whole

# Kernels of one family, functions for any number of rows, and arguments with rows.
MAX_KERNELS, MAX_ANY, MAX_ARGUMENTS = 1000, 100, 100

ROWS = whole(1, LARGEST)
FAMILY = record(
    {
        "names": entries(text, 10_000, 1),
        "operator": text,
        "params": mapping,
        "row_parameter": text,
        "sliced": entries(text, MAX_ARGUMENTS, 1),
        "largest": ROWS,
        "kernels": entries(record({"rows": ROWS, "workload": workload}), MAX_KERNELS, 1),
        "any": entries(
            record({"first": ROWS, "last": ROWS, "function": matching(SYMBOL.pattern, "a symbol")}), MAX_ANY
        ),
        "plans": entries(record({"first": ROWS, "last": ROWS, "run": entries(ROWS, LARGEST)}), LARGEST, 1),
    }
)


def family_json(family: BundleFamily) -> dict[str, Any]:
    """A family as JSON types."""
    return asdict(family)


def read_family(row: Mapping[str, Any]) -> BundleFamily:
    """What ``FAMILY`` read stands for."""
    parts = {
        "kernels": tuple(FamilyKernel(**one) for one in row["kernels"]),
        "any": tuple(AnyKernel(**one) for one in row["any"]),
        "plans": tuple(RowRange(**one) for one in row["plans"]),
    }
    return BundleFamily(**{**row, **parts})


def takes(family: BundleFamily, operator: str, params: Mapping[str, Any]) -> bool:
    """Whether a computation is one of a family's, with some number of rows."""
    rest = {name: value for name, value in params.items() if name != family.row_parameter}
    return (operator, rest) == (family.operator, family.params) and family.row_parameter in params


def check_families(families: Sequence[BundleFamily], known: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
    """That each is of kernels that are there and compute what it does, and has a plan for each number of rows.

    Args:
        known: operator and parameters by workload.

    Raises:
        ValueError: one is not, or has not.
    """
    if len({canonical_json([one.operator, one.params]) for one in families}) != len(families):
        raise ValueError("families: one appears twice")
    for at, family in enumerate(families, 1):
        where = f"families: entry {at}"
        counts = [one.rows for one in family.kernels]
        if counts != sorted(set(counts)):
            raise ValueError(f"{where}: kernels must be ascending by rows")
        for one in family.kernels:
            operator, params = known.get(one.workload, ("", {}))
            if not takes(family, operator, params) or params[family.row_parameter] != one.rows:
                raise ValueError(f"{where}: {one.workload} is not there, or not the family's kernel of {one.rows} rows")
        try:
            check_plans(family, where)
        except InputError as error:
            raise ValueError(str(error)) from None
