"""How long do submissions wait for the one writer, with how many chips? A simulation of a day, for docs/scaling.md.

    python -m docs.scaling [SEED]

Chips stand in four time zones and tune through their own night. Each sends what it found in batches, to one writer or
to several between which chips are divided, who take them in the order of arrival, each for as long as was measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HOUR, DAY = 3600.0, 86400.0
NIGHT_BEGINS, NIGHT = 22 * HOUR, 8 * HOUR
# Hours before UTC, and the part of all chips that stands there: an assumption, of few and large centres.
ZONES = {8: 0.4, 1: 0.2, -5: 0.2, -8: 0.2}
MORNING = 0.25 * HOUR  # within which those send who do when they are done


@dataclass(frozen=True)
class Service:
    """How long a writer takes: ``batch_s + trials * trial_s`` seconds on average, drawn from a gamma distribution.

    Attributes:
        batch_s: for a submission, whatever is in it.
        trial_s: for each trial in it.
        variation: standard deviation over mean.
    """

    batch_s: float
    trial_s: float
    variation: float

    def draw(self, trials: int, count: int, rng: np.random.Generator) -> np.ndarray:
        """Seconds of so many submissions."""
        shape = self.variation**-2
        return rng.gamma(shape, (self.batch_s + trials * self.trial_s) / shape, count)


# As measured over HTTP: docs/performance.md, "With a million claims behind it", 57 ms for 50 trials and 400 for 500.
MEASURED = Service(batch_s=0.019, trial_s=0.00076, variation=0.3)


@dataclass(frozen=True)
class Load:
    """What a chip sends.

    Attributes:
        name: what it is called in the table.
        trials: of a night that are sent.
        batch: trials in a submission, 500 at most.
        at_once: whether it sends all of it when it is done, and not as it goes.
    """

    name: str
    trials: int
    batch: int
    at_once: bool

    def arrivals(self, chips: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """When submissions of a day come, in seconds of the day in UTC and in order, and the number of the chip."""
        zones = rng.choice(list(ZONES), size=chips, p=list(ZONES.values()))
        begins = NIGHT_BEGINS - zones * HOUR
        count = -(-self.trials // self.batch)
        if self.at_once:
            moments = (begins + NIGHT + rng.uniform(0, MORNING, chips))[:, None] + np.zeros(count)
        else:
            # Every so often, each chip with a moment of its own to begin at.
            moments = begins[:, None] + (np.arange(count) + rng.uniform(0, 1, (chips, 1))) * (NIGHT / count)
        moments = (moments % DAY).ravel()
        order = np.argsort(moments, kind="stable")
        return moments[order], np.repeat(np.arange(chips), count)[order]


class Day(NamedTuple):
    """What came of a day."""

    busy: float  # part of the day that the writers work; above 1 they cannot
    delays: np.ndarray  # seconds from sending to the answer, of each submission
    queue: int  # how many waited at most for one writer, the one it worked for included


def waits(arrived: np.ndarray, service: np.ndarray) -> np.ndarray:
    """Seconds that each waits for those before it (Lindley's recursion, all at once).

    What was asked for before an arrival, less the time that went by, is how far the writer is behind, from the last
    moment on at which it had nothing to do.
    """
    behind = np.concatenate([[0.0], np.cumsum(service)[:-1]]) - (arrived - arrived[0])
    return behind - np.minimum.accumulate(behind)


def day(load: Load, chips: int, writers: int, service: Service, rng: np.random.Generator) -> Day:
    """A day of submissions, of which each writer gets those of its chips."""
    moments, whose = load.arrivals(chips, rng)
    busy, delays, queue = 0.0, [], 0
    for writer in range(writers):
        arrived = moments[whose % writers == writer]
        took = service.draw(load.batch, len(arrived), rng)
        delay = waits(arrived, took) + took
        done = arrived + delay
        longest = np.arange(1, len(arrived) + 1) - np.searchsorted(done, arrived, side="right")
        busy, queue = busy + took.sum() / DAY / writers, max(queue, int(longest.max(initial=0)))
        delays.append(delay)
    return Day(busy, np.concatenate(delays), queue)


LOADS = (
    Load("the best of each workload, at the end", 60, 60, True),
    Load("the best of each workload, as found", 240, 20, False),
    Load("the fifty best of each workload, at the end", 3000, 500, True),
    Load("every trial", 190_000, 500, False),
)
CHIPS, WRITERS = (100, 1000, 10_000), (1, 4, 16)


def rows(seed: int, service: Service = MEASURED, most: int = CHIPS[-1]) -> Iterator[list[str]]:
    """Lines of the table."""
    for load in LOADS:
        for chips in (number for number in CHIPS if number <= most):
            for writers in WRITERS if chips == most else (1,):
                found = day(load, chips, writers, service, np.random.default_rng(seed))
                middle, tail = np.quantile(found.delays, [0.5, 0.99])
                figures = [f"{found.busy:.1%}", span(middle), span(tail), span(found.delays.max()), f"{found.queue:,}"]
                yield [load.name, f"{chips:,}", str(writers), *figures]


def span(seconds: float) -> str:
    """A length of time for people."""
    for size, unit in ((DAY, "days"), (HOUR, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= 2 * size or (unit == "s" and seconds >= 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:.0f} ms"


def main() -> None:
    """Print the table of the page."""
    print("| what is sent | chips | writers | busy | median | p99 | at most | longest queue |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
