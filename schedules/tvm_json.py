"""TVM's own JSON of programs, read from strangers."""

from __future__ import annotations

import json
from typing import Any

from targets.errors import InputError

# Fields that hold a number; every other number refers to a node.
NUMBERS = {
    *("data_alignment", "iter_type", "kind", "ndim", "offset_factor"),
    *("line", "column", "end_line", "end_column"),
}
# What a program comes to when everything is written out that it refers to: TVM and we walk through all of it, some by
# recursion. Programs of a few blocks have tens of thousands, and are some forty deep.
MAX_SIZE, MAX_DEPTH = 10_000_000, 1000


def load(text: str) -> Any:
    """What ``tvm.ir.save_json`` wrote.

    TVM checks the type of every field that it reads, but a node that refers to one that is not there yet, to itself
    or to none crashes it; what it writes itself refers backwards only. And a few nodes that refer to each other twice
    over are soon more than anybody can walk through.

    Raises:
        InputError: it is anything else.
    """
    import tvm

    try:
        graph = json.loads(text)
        _check(graph["nodes"], graph["root_index"])
        return tvm.ir.load_json(text)
    except InputError:
        raise
    except RecursionError:
        raise InputError("it is nested too deeply") from None
    except Exception as error:  # TVM raises errors of many classes, and JSON has its own
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"[:300]) from None


def _check(nodes: list[Any], root: int) -> None:
    sizes: list[int] = []
    depths: list[int] = []
    for at, node in enumerate(nodes):
        data = node.get("data")
        if isinstance(data, dict):
            references = [value for field, value in data.items() if field not in NUMBERS]
        else:
            references = data if isinstance(data, list) else []
        references = [value for value in references if isinstance(value, int)]
        if any(not 0 <= value < max(at, 1) for value in references):
            raise InputError(f"node {at} refers to one after it")
        inner = [value for value in references if value < at]
        sizes.append(min(MAX_SIZE, 1 + sum(sizes[value] for value in inner)))
        depths.append(1 + max((depths[value] for value in inner), default=0))
    if not 0 <= root < len(nodes):
        raise InputError("it has no root")
    if sizes[root] >= MAX_SIZE or depths[root] > MAX_DEPTH:
        raise InputError("it is larger or deeper than any program")
