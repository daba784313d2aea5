"""Plans for any number of rows against the default schedule compiled for exactly so many, timed in turn, warm.

Both are kernels of bundles, called by the same runtime on the same threads, so that what a plan costs besides its
kernels (slices, calls, copies) is in its time. Whoever has a default schedule for each number of rows has to find the
one that fits, too.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart_runtime import bundle
from headstart_runtime.bundle import Bundle
from headstart_runtime.family import Family
from headstart_runtime.kernel import Kernel
from headstart_runtime.row_plan import BundleFamily
from schedules.compare import mismatch
from schedules.operator import Operator, make_operator
from schedules.workload import Workload
from targets import Target, resolve
from targets.errors import InputError
from tuner.compile import build_bundle
from tuner.toolchain import toolchain
from tuning_db.records import Policy
from tuning_db.selection import SelectedKernel, Selection

# Seconds of calls in a sample, at least one call.
SAMPLE_S = 4e-3
# Seconds that a number of rows may take once it has the fewest rounds.
PATIENCE_S = 0.4
FEWEST = 3
SEED = 1
# What a plan may take more than the default schedule: a fraction, and seconds of looking up what to call in Python.
NOISE, CALL_S = 0.02, 0.5e-6


@dataclass(frozen=True)
class RowsResult:
    """One number of rows of one family.

    Attributes:
        run: rows of the kernels of its plan; none where the one for any number of rows does them.
        plan_s, default_s: medians of seconds a call.
        ratios: the plan's time over the default's, round by round.
        wrong: what is wrong with what the plan computed; None if nothing is.
    """

    rows: int
    run: tuple[int, ...]
    plan_s: float
    default_s: float
    ratios: tuple[float, ...]
    wrong: str | None

    @property
    def speedup(self) -> float:
        """Default over plan, the median of the rounds."""
        return 1 / statistics.median(self.ratios)

    @property
    def worse(self) -> bool:
        """Whether the plan took longer than the default in three rounds of four, by more than noise and a call take."""
        least = statistics.quantiles(self.ratios, n=4, method="inclusive")[0] - 1
        return least > NOISE and least * self.default_s > CALL_S

    def to_json(self) -> dict[str, Any]:
        """The fields and what follows from them as JSON types."""
        return {**vars(self), "run": list(self.run), "ratios": list(self.ratios), "speedup": self.speedup}


@dataclass(frozen=True)
class FamilyResult:
    """One family, labelled as its largest: rows of its kernels, ranges of those for any number, and comparisons."""

    name: str
    operator: str
    label: str
    kernels: tuple[int, ...]
    any: tuple[tuple[int, int], ...]
    rows: tuple[RowsResult, ...]

    @property
    def geomean(self) -> float:
        """Default over plan, the geometric mean over all numbers of rows."""
        return statistics.geometric_mean([one.speedup for one in self.rows])

    @property
    def worst(self) -> RowsResult:
        """Where the plan is worth least."""
        return min(self.rows, key=lambda one: one.speedup)

    @property
    def worse(self) -> list[int]:
        """Numbers of rows at which the default is better."""
        return [one.rows for one in self.rows if one.worse]

    def to_json(self) -> dict[str, Any]:
        """The fields and what follows from them as JSON types."""
        return {
            "name": self.name,
            "operator": self.operator,
            "label": self.label,
            "kernels": list(self.kernels),
            "any": [list(one) for one in self.any],
            "geomean": self.geomean,
            "worst": self.worst.rows,
            "worse": self.worse,
            "rows": [one.to_json() for one in self.rows],
        }


def operator_of(entry: BundleFamily, rows: int) -> Operator:
    """The operator of a family for so many rows."""
    return make_operator(entry.operator, {**entry.params, entry.row_parameter: rows})


def families_named(loaded: Bundle, names: Sequence[str]) -> list[Family]:
    """The families of a bundle by these names, all where there are none.

    Raises:
        InputError: the bundle has no such family, or none at all.
    """
    known = [family.names[0] for family in loaded.manifest.families]
    if not known:
        raise InputError(f"the bundle {loaded.path} has no families: build it for several --tokens")
    try:
        return [loaded.family(name) for name in names or known]
    except KeyError as error:
        raise InputError(f"{loaded.path}: {error.args[0]}") from None


def bench_rows(
    loaded: Bundle,
    names: Sequence[str],
    rows: Sequence[int],
    rounds: int,
    listener: Callable[[str, int], None] = lambda name, rows: None,
) -> list[FamilyResult]:
    """Compare families of a bundle that was built for this machine.

    Args:
        names: of families; all where there are none.
        rows: numbers of rows; those beyond the largest of a family are left out.
        rounds: at most, of each number of rows.
        listener: called with the family and the number of rows that is compiled or timed.

    Raises:
        InputError: no such family, no rows, or the bundle is for another chip.
    """
    target, built = resolve("host"), loaded.manifest
    if built.target.fingerprint != target.fingerprint:
        raise InputError(f"the bundle {loaded.path} is for {built.target.name}, and this machine is {target.name}")
    policy = Policy(built.policy.cache, built.policy.threads, built.policy.clock)
    results = []
    for family in families_named(loaded, names):
        name = family.entry.names[0]
        counts = [count for count in rows if 1 <= count <= family.entry.largest]
        if not counts:
            raise InputError(f"{name} takes 1 to {family.entry.largest} rows, and none of these was asked for")
        found = tuple(compare(family, counts, target, policy, rounds, partial(listener, name)))
        label = operator_of(family.entry, family.entry.largest).label
        kernels = tuple(kernel.rows for kernel in family.entry.kernels)
        any_ = tuple((one.first, one.last) for one in family.entry.any)
        results.append(FamilyResult(name, family.entry.operator, label, kernels, any_, found))
    return results


def compare(
    family: Family,
    rows: Sequence[int],
    target: Target,
    policy: Policy,
    rounds: int,
    listener: Callable[[int], None] = lambda rows: None,
) -> Iterator[RowsResult]:
    """Time a family at each of these numbers of rows; the default schedules are compiled first.

    Args:
        family: of a bundle for this machine.
        rows: which, e.g. ``range(1, 257)``.
        target, policy: of the bundle.
        rounds: at most.
        listener: called with each number of rows before it is compiled, and again before it is timed.
    """
    workloads = {count: Workload.of(operator_of(family.entry, count)) for count in rows}
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        default = _default(workloads, target, policy, Path(folder, "default.bundle"), listener)
        ready: Any = None
        for count, workload in workloads.items():
            listener(count)
            inputs = workload.inputs(np.random.default_rng(SEED))
            weights = [array for array, a in zip(inputs, family.inputs, strict=True) if a in family.weights]
            given = [array for array, a in zip(inputs, family.inputs, strict=True) if a not in family.weights]
            if ready is None:
                # The same for all numbers of rows: any will do.
                ready, kept = family.prepare(*weights), weights
            yield _timed(workload, ready, default[workload.id], kept, given, family, rounds)


def _default(
    workloads: dict[int, Workload], target: Target, policy: Policy, path: Path, listener: Callable[[int], None]
) -> Bundle:
    """A bundle of the default schedules."""
    kernels = tuple(
        SelectedKernel((f"rows{count}",), of.id, of.operator, of.label, dict(of.params), 1)
        for count, of in workloads.items()
    )
    step = {"phase": "decode", "tokens": 1, "batch": 1, "kv_len": 1, "tp": 1, "ep": 1}
    selection = Selection(
        "default", "", step, target.fingerprint, target.name, toolchain(target), policy, kernels, missing={}
    )
    by_id = {of.id: count for count, of in workloads.items()}
    build_bundle(selection, target, path, lambda workload: listener(by_id[workload.id]))
    return bundle.load(path)


def _timed(
    workload: Workload,
    ready: Any,
    default: Kernel,
    weights: Sequence[Any],
    given: Sequence[Any],
    family: Family,
    rounds: int,
) -> RowsResult:
    count = int(np.shape(given[0])[0])
    usual = {count: default.prepare(*weights)}
    arrays = [_tensor(array) for array in given]
    # Both write the same arrays: how long a kernel takes depends on where its arrays lie to one another.
    outputs = [_tensor(array) for array in default.allocate()]
    calls = [lambda: ready(*arrays, *outputs), lambda: usual[arrays[0].shape[0]](*arrays, *outputs)]
    results = []
    for call in calls:
        for output in outputs:
            _array(output).view(np.uint8).fill(0xFF)
        call()
        results.append([_array(output).copy() for output in outputs])
    wrong = mismatch(results[0], results[1], workload.tolerances)
    numbers = [_number(call) for call in calls]
    samples: tuple[list[float], list[float]] = [], []
    start = time.perf_counter()
    while len(samples[0]) < rounds and (len(samples[0]) < FEWEST or time.perf_counter() - start < PATIENCE_S):
        # Each goes first in every second round.
        for which in (0, 1) if len(samples[0]) % 2 == 0 else (1, 0):
            samples[which].append(_sample(calls[which], numbers[which]))
    ratios = tuple(plan / default for plan, default in zip(*samples, strict=True))
    run = tuple(part.kernel for part in family.slices(count) if part.kernel)
    plan_s, default_s = statistics.median(samples[0]), statistics.median(samples[1])
    return RowsResult(count, run, plan_s, default_s, ratios, wrong)


def _number(call: Callable[[], Any]) -> int:
    """How many calls make a sample."""
    return max(1, min(2000, int(SAMPLE_S / max(_sample(call, 1), 1e-7))))


def _sample(call: Callable[[], Any], number: int) -> float:
    # The first call wakes threads that slept while the other was timed.
    call()
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def _tensor(array: np.ndarray) -> Any:
    """A torch tensor over an array, which costs a call least; the array itself where there is no torch for it."""
    try:
        import torch
    except ImportError:
        return array
    kind = getattr(torch, array.dtype.name, None)
    if kind is None:
        return array
    plain = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}[array.dtype.itemsize]
    return torch.from_numpy(array.view(plain)).view(kind)


def _array(tensor: Any) -> np.ndarray:
    """The array under a tensor."""
    from schedules.workload import numpy_dtype

    if isinstance(tensor, np.ndarray):
        return tensor
    import torch

    dtype = numpy_dtype(str(tensor.dtype).removeprefix("torch."))
    plain = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    return tensor.view(plain).numpy().view(dtype)
