"""Failed trials told together: by how they ended, with the reasons that were given most often."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tuning_db.records import Status, Trial


@dataclass(frozen=True)
class Failures:
    """Trials that ended the same way: how many, of which operators, and the reasons given, most frequent first."""

    status: str
    trials: int
    operators: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]


def failures(made: Iterable[tuple[str, Trial]], most: int) -> list[Failures]:
    """Failed trials by status, with the ``most`` frequent reasons of each; what failed most first.

    Args:
        made: trials, good ones too, each with its operator.
        most: how many reasons.
    """
    operators: dict[Status, Counter[str]] = defaultdict(Counter)
    reasons: dict[Status, Counter[str]] = defaultdict(Counter)
    for operator, trial in made:
        if trial.status is not Status.OK:
            operators[trial.status][operator] += 1
            reasons[trial.status][trial.error] += 1
    found = [
        Failures(
            status.value,
            count.total(),
            tuple(name for name, _ in count.most_common()),
            tuple(reasons[status].most_common(most)),
        )
        for status, count in operators.items()
    ]
    return sorted(found, key=lambda failed: -failed.trials)
