"""Write ``golden_ids.json`` anew: ``python -m tests.schedules.update_golden`` from the root of the repository.

An id that changes orphans every trial that was kept under it, so a changed line needs a reason, and a change of the
rules of ``schedules.canonical`` needs a new ``VERSION`` there.
"""

from __future__ import annotations

import json
from pathlib import Path

from schedules.canonical import VERSION
from schedules.operator import operators
from schedules.workload import Workload

GOLDEN = Path(__file__).with_name("golden_ids.json")


def golden_ids() -> dict[str, object]:
    """The version of the rules, and the id of one instance of every operator, with its parameters.

    That is the first example, or what the file has already: parameters that came later are not in databases either.
    """
    known = json.loads(GOLDEN.read_text())["ids"]
    ids = {}
    for name, operator in sorted(operators().items()):
        params = known[name]["params"] if name in known else next(iter(operator.examples())).params()
        ids[name] = {"params": params, "id": Workload.load(name, params).id}
    return {"version": VERSION, "ids": ids}


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_ids(), indent=2, sort_keys=True) + "\n")
