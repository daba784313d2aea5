"""Finding out what is true of a claim: built in a sandbox, run on secret inputs, compared outside of it, timed in turn.

Seeds are drawn when everything is compiled, and the sandbox gets inputs, never seeds or expected outputs. The default
schedule runs on the same inputs: where even that is not right, inputs or machine are to blame and not the claim.
"""

from __future__ import annotations

import platform
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schedules.compare import mismatch
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import detect
from tuner.child import WorkerLost
from tuner.referee.causes import Cause
from tuner.referee.docket import Case
from tuner.referee.inputs import structures
from tuner.referee.judge import SEEDS, TOLERANCE, CaseResult, Findings, retimed
from tuner.referee.sandbox import Limits, Sandbox
from tuner.task import DEFAULT
from tuning_db.records import Status

CLAIM, CONTROL, INCUMBENT, REFERENCE = "claim", "default", "incumbent", "reference"
# Samples of a take: of short calls, and of those so long that each averages out much of the noise.
ROUNDS, FEW, LONG_S = 11, 5, 0.02
# How often a claim is timed where it was disturbed or slow, and the pause before it is timed again.
TAKES, PAUSE_S = 3, 0.5
# Seconds that the default schedule, which may be very slow, is given in a take.
CONTROL_S = 5.0

BUILD_CAUSES = {
    Status.BUILD_ERROR: Cause.BUILD_FAILED,
    Status.TIMEOUT: Cause.BUILD_TIMEOUT,
    Status.OVER_LIMIT: Cause.BUILD_MEMORY,
    Status.RUN_ERROR: Cause.BUILD_CRASHED,
}
RUN_CAUSES = {
    Status.RUN_ERROR: Cause.RUN_FAILED,
    Status.TIMEOUT: Cause.RUN_TIMEOUT,
    Status.OVER_LIMIT: Cause.RUN_MEMORY,
}


class Stopped(Exception):
    """A kernel showed what there was to find out; ``who`` it was decides what follows."""

    def __init__(self, who: str, cause: Cause, said: str) -> None:
        super().__init__(said)
        self.who, self.cause = who, cause


@dataclass
class _Trial:
    """What was found so far."""

    cases: list[CaseResult] = field(default_factory=list)
    takes: list[tuple[float, bool]] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


def examine(
    case: Case,
    limits: Limits | None = None,
    *,
    confined: bool = True,
    draw: Callable[[], int] = lambda: secrets.randbits(48),
    say: Callable[[str], None] = lambda what: None,
) -> Findings:
    """Build, check and time a claim.

    Args:
        case: that can be judged here.
        limits: of the sandbox.
        confined: False for no sandbox at all.
        draw: a secret seed.
        say: called with what is being done, for somebody who waits.

    Raises:
        HeadstartError: there is no sandbox to be had.
    """
    limits = limits or Limits()
    trial = _Trial()
    trial.evidence |= _setting(case)
    claimed = case.claimed
    stopped: Stopped | None = None
    failed: dict[str, Any] = {}
    for incumbent in (claimed.incumbent, None) if claimed.incumbent and not case.untimed else (None,):
        trial.cases, trial.takes, stopped = [], [], None
        try:
            _Examination(case, limits, confined, draw, say, trial).run(incumbent)
        except Stopped as found:
            stopped = found
            if found.who == INCUMBENT:
                failed = {"claim": incumbent[0] if incumbent else "", "failed": str(found)}
                continue  # it is not what is judged
        break
    if failed:
        trial.evidence["incumbent"] = failed
    trial.evidence["cases"] = [{"inputs": one.name, "seed": one.seed, "wrong": one.wrong} for one in trial.cases]
    return Findings(
        claimed.median,
        stopped.cause if stopped else None,
        str(stopped) if stopped else "",
        tuple(trial.cases),
        tuple(trial.takes),
        case.untimed,
        case.meant,
        trial.evidence,
    )


def _setting(case: Case) -> dict[str, Any]:
    """Where and with what it is judged."""
    here = detect.host()
    found: dict[str, Any] = {
        "machine": {"name": platform.node(), "chip": here.model, "target": here.fingerprint, "cores": here.cores},
        "system": f"{platform.system()} {platform.release()}",
        "toolchain": dict(case.claimed.toolchain.versions),
        "claimed": case.claimed.median,
        "tolerance": TOLERANCE,
    }
    if case.floor_s is not None:
        found["floor_s"] = case.floor_s
    if case.corrections:
        found["corrections"] = dict(case.corrections)
    return found


@dataclass
class _Examination:
    """One try, in one sandbox."""

    case: Case
    limits: Limits
    confined: bool
    draw: Callable[[], int]
    say: Callable[[str], None]
    trial: _Trial

    def run(self, incumbent: tuple[str, Schedule] | None) -> None:
        """Build everything, then check, then time.

        Raises:
            Stopped: there is nothing more to find out.
        """
        workload = self.case.workload
        with self._sandbox() as box:
            self.trial.evidence["sandbox"] = box.layers if self.confined else {"none": True}
            self.say("builds")
            self._build(box, CONTROL, DEFAULT)
            built = self._build(box, CLAIM, self.case.claimed.schedule)
            self.trial.evidence |= {name: built[name] for name in ("build_s", "program")}
            if incumbent:
                self._build(box, INCUMBENT, incumbent[1])
            self.say("checks")
            expected = None
            with _Oracle(workload, self) as oracle:
                for name, seed, inputs in self._inputs(workload):
                    expected = oracle.expected(inputs)
                    self._check(box, name, seed, inputs, expected)
            if not self.case.untimed and expected is not None:
                self.say("times")
                self._time(box, expected, incumbent)

    def _sandbox(self) -> Sandbox:
        workload = self.case.workload
        return Sandbox(workload.input_arguments, workload.output_arguments, self.limits, self.confined)

    def _inputs(self, workload: Workload) -> Iterator[tuple[str, int, Sequence[np.ndarray]]]:
        """Structured inputs, then random ones: the last are those that are timed on."""
        seed = self.draw()
        rng = np.random.default_rng(seed)
        drawn = workload.inputs(rng)
        for structure in structures(workload, drawn):
            yield structure.name, seed, structure.inputs(drawn, np.random.default_rng(seed))
        yield "seed", seed, drawn
        for _ in range(SEEDS - 1):
            seed = self.draw()
            yield "seed", seed, workload.inputs(np.random.default_rng(seed))

    def _build(self, box: Sandbox, who: str, schedule: Schedule | None) -> dict[str, Any]:
        message = {
            "who": who,
            "workload": {"operator": self.case.workload.operator, "params": dict(self.case.workload.params)},
            "target": self.case.target.spec(),
            "schedule": schedule.to_json() if schedule else None,
            "show": who == CLAIM,
        }
        try:
            answer = box.request("build", self.limits.build, **message)
        except WorkerLost as lost:
            answer = {"status": lost.status, "error": str(lost)}
        status = Status(answer["status"])
        if status is not Status.OK:
            raise Stopped(who, self._cause(who, BUILD_CAUSES[status]), answer["error"])
        return answer

    def _check(
        self, box: Sandbox, name: str, seed: int, inputs: Sequence[np.ndarray], expected: Sequence[np.ndarray]
    ) -> None:
        for shared, array in zip(box.inputs.arrays, inputs, strict=True):
            shared[...] = array
        box.request("case", self.limits.run)
        wrong = self._called(box, CONTROL, "run", expected)[1]
        if wrong and name == "seed":
            raise Stopped(CONTROL, Cause.NO_CONTROL, wrong)
        if wrong or not _tells(expected):
            self.trial.evidence.setdefault("skipped", []).append(name)
            return
        wrong = self._called(box, CLAIM, "run", expected)[1]
        self.trial.cases.append(CaseResult(name, seed, wrong))
        if wrong:
            raise Stopped(CLAIM, Cause.WRONG_OUTPUT, f"{wrong}; inputs {name}, seed {seed}")

    def _called(
        self, box: Sandbox, who: str, how: str, expected: Sequence[np.ndarray], **more: Any
    ) -> tuple[dict[str, Any], str]:
        """Call a kernel; what came of it, and what is wrong with its outputs."""
        # The default schedule of a large workload may take seconds a call.
        limit = self.limits.run if who != CONTROL else 4 * self.limits.run
        try:
            answer = box.request(how, limit, who=who, **more)
        except WorkerLost as lost:
            answer = {"status": lost.status, "error": str(lost)}
        status = Status(answer["status"])
        if status is not Status.OK:
            cause = RUN_CAUSES.get(status, Cause.RUN_FAILED)
            outside = any(name in answer["error"] for name in ("SIGSEGV", "SIGBUS"))
            raise Stopped(who, self._cause(who, Cause.OUT_OF_BOUNDS if outside else cause), answer["error"])
        if answer["harm"]:
            raise Stopped(who, self._cause(who, Cause.OUT_OF_BOUNDS), answer["harm"])
        return answer, mismatch(box.outputs.arrays, expected, self.case.workload.tolerances) or ""

    def _cause(self, who: str, cause: Cause) -> Cause:
        """Only a claim is refused for what its kernel does."""
        return cause if who == CLAIM else Cause.NO_CONTROL

    def _time(self, box: Sandbox, expected: Sequence[np.ndarray], incumbent: tuple[str, Schedule] | None) -> None:
        best: dict[str, list[float]] = {}
        disturbances: list[str] = []
        for take in range(TAKES):
            if take:
                time.sleep(PAUSE_S)
            samples = self._take(box, expected, incumbent is not None)
            disturbed = str(box.request("quiet", self.limits.run)["disturbed"])
            disturbances += [disturbed] if disturbed else []
            self.trial.takes.append((statistics.median(samples[CLAIM]), not disturbed))
            if retimed(self.trial.takes) == self.trial.takes[-1]:
                best = samples
            if retimed(self.trial.takes)[0] <= self.case.claimed.median * (1 + TOLERANCE):
                break  # whatever disturbed it made it slower, if anything
        self._keep(best, disturbances, incumbent)

    def _take(self, box: Sandbox, expected: Sequence[np.ndarray], rival: bool) -> dict[str, list[float]]:
        """Samples of the claim, the default and the incumbent in turn; outputs of each timed call are compared."""
        cold = self.case.claimed.policy.cache == "cold"
        who = [CLAIM, CONTROL, *[INCUMBENT] * rival]
        samples: dict[str, list[float]] = {name: [] for name in who}
        # As many whatever the incumbent does: of that, nothing is to be told from the figures of the claim.
        rounds = ROUNDS if self.case.claimed.median <= LONG_S else FEW
        for at in range(rounds):
            for name in who[at % len(who) :] + who[: at % len(who)]:
                if name == CONTROL and sum(samples[CONTROL]) > CONTROL_S:
                    continue
                answer, wrong = self._called(box, name, "sample", expected, cold=cold)
                samples[name].append(float(answer["seconds"]))
                if wrong and name == CLAIM:
                    self.trial.cases.append(CaseResult("timed", 0, wrong))
                    raise Stopped(CLAIM, Cause.WRONG_OUTPUT, f"{wrong}; in a timed call")
                if wrong:
                    raise Stopped(name, Cause.NO_CONTROL, wrong)
        return samples

    def _keep(
        self, samples: Mapping[str, list[float]], disturbed: list[str], incumbent: tuple[str, Schedule] | None
    ) -> None:
        mine = samples[CLAIM]
        self.trial.evidence |= {
            "samples": mine,
            "median": statistics.median(mine),
            "default": samples[CONTROL],
            "takes": [{"median": median, "settled": settled} for median, settled in self.trial.takes],
        }
        if disturbed:
            self.trial.evidence["disturbed"] = disturbed
        if incumbent:
            others = samples[INCUMBENT]
            self.trial.evidence["incumbent"] = {
                "claim": incumbent[0],
                "schedule": incumbent[1].id,
                "samples": others,
                "ratios": [one / other for one, other in zip(mine, others, strict=True)],
            }


class _Oracle:
    """What outputs should be: by the operator's reference, or from the program as it is written, in its own sandbox."""

    def __init__(self, workload: Workload, examination: _Examination) -> None:
        self.workload, self.examination = workload, examination
        self._box: Sandbox | None = None

    def __enter__(self) -> _Oracle:
        return self

    def __exit__(self, *_: object) -> None:
        if self._box is not None:
            self._box.close()

    def expected(self, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """The outputs for some inputs.

        Raises:
            Stopped: there are none to be had.
        """
        with np.errstate(all="ignore"):  # structured inputs may overflow
            found = self.workload.reference(inputs)
        if found is not None:
            return found
        if self._box is None:
            self._box = self.examination._sandbox()
            self.examination._build(self._box, REFERENCE, None)
        for shared, array in zip(self._box.inputs.arrays, inputs, strict=True):
            shared[...] = array
        self._box.request("case", self.examination.limits.run)
        self.examination._called(self._box, REFERENCE, "run", self._box.outputs.arrays)
        return [array.copy() for array in self._box.outputs.arrays]


def _tells(expected: Sequence[np.ndarray]) -> bool:
    """Whether outputs are finite: where sums overflow, it is their order that decides between infinity and NaN."""
    return all(bool(np.isfinite(array.astype(np.float32)).all()) for array in expected)
