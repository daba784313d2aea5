"""How often a space's guess of what a kernel takes agrees with what ptxas said of it.

    python -m tuner.cuda.agreement RESULTS.json ...

reads files such as ``docs/results/h100_resources.json`` and prints a table in Markdown; it compiles nothing.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedules.cuda.budget import Budget, most_registers
from schedules.cuda.space import CudaSpace
from schedules.operator import make_operator
from schedules.space import spaces
from schedules.workload import Workload
from targets import Target, resolve

# A guess of registers that is as near as this counts as near.
NEAR = 0.25


@dataclass(frozen=True)
class Compared:
    """A kernel with its guess.

    Attributes:
        space: of its schedule.
        guess: before it was compiled.
        resources: by ptxas, see ``tuner.cuda.cubin.Resources``.
        target: that it was compiled for.
    """

    space: str
    guess: Budget
    resources: Mapping[str, int]
    target: Target

    @property
    def most(self) -> int:
        """Registers that a thread may have."""
        return most_registers(self.guess.threads, self.target)

    @property
    def near(self) -> bool:
        """Whether the guess of registers, at most those that there are, is near."""
        guess = min(self.guess.registers, self.most)
        return abs(math.log(guess / self.resources["registers"])) <= math.log(1 + NEAR)

    @property
    def resident(self) -> bool:
        """Whether as many blocks fit on a multiprocessor, or one more or fewer of four and more."""
        guess, found = self.guess.resident(self.target), self.resources["resident"]
        return abs(guess - found) <= (min(guess, found) >= 4)

    @property
    def spills(self) -> bool:
        """Whether it spilled for want of registers."""
        return self.resources["spilled"] > 0 and self.resources["registers"] >= self.most

    @property
    def refused(self) -> bool:
        """Whether its space has it no more, for want of registers."""
        return not self.guess.fits(self.target)


def compared(results: Mapping[str, Any], target: Target) -> Iterator[Compared]:
    """Every kernel of a file of results that is of a space for GPUs."""
    for case in results["cases"]:
        workload = Workload.of(make_operator(case["operator"], case["params"]))
        for entrant in case["entrants"]:
            space = spaces().get(entrant.get("schedule", {}).get("space", ""))
            if space is None or not issubclass(space, CudaSpace) or not entrant["resources"]:
                continue
            guess = space(workload, target).budget(entrant["schedule"]["config"])
            yield Compared(space.name, guess, entrant["resources"][0], target)


def table(found: Iterable[Compared]) -> Iterator[str]:
    """Lines of a table in Markdown, a space each."""
    by_space: dict[str, list[Compared]] = defaultdict(list)
    for one in found:
        by_space[one.space].append(one)
    yield "| space | kernels | registers near | resident blocks | spill | of them refused | refused that do not |"
    yield "|---|---|---|---|---|---|---|"
    for space, kernels in sorted(by_space.items()):
        yield f"| {space} {_row(kernels)}"
    yield f"| all {_row([one for kernels in by_space.values() for one in kernels])}"


def _row(kernels: Sequence[Compared]) -> str:
    spilling = [one for one in kernels if one.spills]
    counts = (
        len(kernels),
        sum(one.near for one in kernels),
        sum(one.resident for one in kernels),
        len(spilling),
        sum(one.refused for one in spilling),
        sum(one.refused and not one.spills for one in kernels),
    )
    return "| " + " | ".join(map(str, counts)) + " |"


def main() -> None:
    """The command above, for an H100."""
    target = resolve("h100")
    found = [one for name in sys.argv[1:] for one in compared(json.loads(Path(name).read_text()), target)]
    print(*table(found), sep="\n")


if __name__ == "__main__":
    main()
