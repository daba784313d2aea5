"""What a board holds, as plain data. Times are seconds, moments seconds since 1970, shares and fractions from 0 to 1.

A **step** is one step of one model: its operators in the race, each as often as the step calls it. Models of a release
are not added up: decoding and prefill are timed under different policies, and how often each happens nobody stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """Which release, and when.

    Attributes:
        id, name: of the release; both ``public`` for what was never embargoed.
        launch: when it opens for everybody.
        sealed: whether rivals see nothing of each other before.
        at: the moment that everything here is of.
    """

    id: str
    name: str
    launch: float
    sealed: bool
    at: float


@dataclass(frozen=True)
class Operator:
    """A workload of a model.

    Attributes:
        workload: its id.
        names: where it stands in the model.
        operator: the family.
        label: its shape and dtype, or the parameters where the operator is not known here.
        calls: in one step.
    """

    workload: str
    names: tuple[str, ...]
    operator: str
    label: str
    calls: int


@dataclass(frozen=True)
class Model:
    """A model of a release at one step.

    Attributes:
        id, name: of the model.
        step: phase, tokens and so on, as its publisher gave them.
        operators: those in the race, in the model's order.
        outside: calls of operators that have no workload, which nobody can race for.
    """

    id: str
    name: str
    step: Mapping[str, object]
    operators: tuple[Operator, ...]
    outside: int


@dataclass(frozen=True)
class Chip:
    """A target as the viewer may know it.

    Attributes:
        fingerprint: of the target.
        name: of the catalogue, or as a vendor calls it, or the fingerprint.
        peaks: whose word its peaks are: ``catalogue``, ``declared`` by vendors, or ``unknown``.
    """

    fingerprint: str
    name: str
    peaks: str


@dataclass(frozen=True)
class Setup:
    """How times were taken: they compare only under one policy.

    Attributes:
        policy: its id.
        cache, threads, clock: what it says.
    """

    policy: str
    cache: str
    threads: int
    clock: str


@dataclass(frozen=True)
class Entry:
    """What a vendor has of a step on one chip, under one policy, with the best of its toolchains.

    Attributes:
        vendor: name; empty for the best of all.
        toolchain: id.
        covered: number of operators that it has a standing claim for.
        calls: share of the step's calls that these are.
        work: share of the step's least possible time that these are; None where the chip's peaks are not known.
        covered_s: what these take, each as often as the step calls it.
        step_s: the same, where no operator is missing; None where one is.
        noise_s: half of the spreads, summed like the times: steps that differ by less are level.
        roofline: least possible time over time, of what is covered; None where the peaks are not known.
        tier: the lowest tier among its claims; None where it has none.
        tiers: share of ``covered_s`` by tier.
        disputed: number of its claims that referees disagree about.
    """

    vendor: str
    toolchain: str
    covered: int
    calls: float
    work: float | None
    covered_s: float
    step_s: float | None
    noise_s: float
    roofline: float | None
    tier: str | None
    tiers: Mapping[str, float]
    disputed: int


@dataclass(frozen=True)
class Race:
    """One model on one chip under one policy.

    Attributes:
        model: id of the model.
        chip, setup: where and how.
    """

    model: str
    chip: Chip
    setup: Setup


@dataclass(frozen=True)
class Table(Race):
    """Who is ahead in a race.

    Attributes:
        floor_s: least possible time of the step; None where the peaks are not known.
        entries: best first; see ``step.order``.
    """

    floor_s: float | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Board:
    """The board of a release: a table for each model, chip and policy that the viewer may know times of."""

    release: About
    models: tuple[Model, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Cell:
    """How far an operator is on a chip.

    Attributes:
        workload: id.
        state: ``nothing``, the tier of the claim that leads, or ``disputed`` where nothing leads because of that.
        disputed: whether referees disagree about a claim for it, whatever leads.
        seconds: of a call; None where nothing leads.
        roofline: least possible time over that; None where it or the peaks are not known.
        vendor: name of who leads; empty where nobody does.
    """

    workload: str
    state: str
    disputed: bool
    seconds: float | None
    roofline: float | None
    vendor: str


@dataclass(frozen=True)
class ChipReadiness:
    """How ready a chip is for a model, under one policy, with the best of the toolchains.

    Attributes:
        model: id of the model.
        chip: the chip.
        setup: None where nobody has claimed anything on the chip.
        best: the best claims of all vendors put together; None likewise.
        cells: one for each operator of the model, in its order.
        ready_calls: share of the step's calls whose leading claim is replayed or reproduced.
        ready_work: share of the step's least possible time likewise; None where the peaks are not known.
        projected_s: time of a step were the rest as near to its least possible time as what is ready is on average;
            None where nothing is ready or the peaks are not known.
    """

    model: str
    chip: Chip
    setup: Setup | None
    best: Entry | None
    cells: tuple[Cell, ...]
    ready_calls: float
    ready_work: float | None
    projected_s: float | None


@dataclass(frozen=True)
class Readiness:
    """Operators by chips: what can be used where."""

    release: About
    models: tuple[Model, ...]
    chips: tuple[ChipReadiness, ...]


@dataclass(frozen=True)
class Point:
    """A vendor's entry from a moment on."""

    at: float
    entry: Entry


@dataclass(frozen=True)
class Leader:
    """Who heads the table from a moment on; ``vendor`` is empty where nobody does any more."""

    at: float
    vendor: str
    covered_s: float
    step_s: float | None
    tier: str | None


@dataclass(frozen=True)
class Change:
    """Who leads for one operator from a moment on.

    Attributes:
        at: the moment.
        workload, toolchain: ids.
        vendor: name; empty where nobody leads any more.
        tier, seconds: of the leading claim; None where there is none.
        judged: whether a verdict or a withdrawal brought it about, and not a claim that arrived.
    """

    at: float
    workload: str
    toolchain: str
    vendor: str
    tier: str | None
    seconds: float | None
    judged: bool


@dataclass(frozen=True)
class Course(Race):
    """How a race went.

    Attributes:
        floor_s: as in ``Table``.
        series: for each vendor, by name, its entries in the order of time.
        leaders: who headed the table, in the order of time.
        changes: who led for which operator, in the order of time.
    """

    floor_s: float | None
    series: Mapping[str, tuple[Point, ...]]
    leaders: tuple[Leader, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Timeline:
    """The race up to a moment."""

    release: About
    models: tuple[Model, ...]
    courses: tuple[Course, ...]


@dataclass(frozen=True)
class Lap(Race):
    """A vendor that was ready at launch: it had a step without gaps.

    Attributes:
        entry: as it was at launch, without claims that were refused or withdrawn since, in today's tiers.
    """

    entry: Entry


@dataclass(frozen=True)
class Distance:
    """How far one who was ready at launch was ahead of another.

    Attributes:
        early_s: the early one's step at launch.
        other_s: the other's step at launch; None where it had none without gaps.
        ratio: ``other_s / early_s``: above 1 the early one was ahead.
        level: when the other first had a step within the noise of ``early_s`` and trusted as far; the launch itself
            where it had one then; None while it has not.
        days: from the launch to then.
    """

    early_s: float
    other_s: float | None
    ratio: float | None
    level: float | None
    days: float | None


@dataclass(frozen=True)
class Gap(Distance):
    """Between two vendors, on the same chip and under the same policy.

    Attributes:
        model: id of the model.
        fingerprint, policy: where and how.
        early, other: names.
    """

    model: str
    fingerprint: str
    policy: str
    early: str
    other: str


@dataclass(frozen=True)
class ChipGap(Distance):
    """Between the best steps of two chips, under policies that leave the caches alike.

    Attributes:
        model: id of the model.
        cache: ``warm`` or ``cold``.
        early, other: fingerprints.
    """

    model: str
    cache: str
    early: str
    other: str


@dataclass(frozen=True)
class HeadStart:
    """What being early was worth, as known at ``release.at``."""

    release: About
    models: tuple[Model, ...]
    laps: tuple[Lap, ...]
    gaps: tuple[Gap, ...]
    chips: tuple[ChipGap, ...]
