"""Why a referee says what it says: a stable code for programs, a sentence for people."""

from __future__ import annotations

from enum import Enum

from tuning_db.claim import Outcome


class Cause(Enum):
    """A code, the outcome that it leads to, and what it means; codes are part of verdicts and never change."""

    SCHEDULE_NOT_ALLOWED = "schedule_not_allowed", Outcome.REFUSED, "it holds what no schedule of its space may hold"
    BELOW_FLOOR = "below_floor", Outcome.REFUSED, "the claimed time is less than the chip takes at its best"
    BUILD_FAILED = "build_failed", Outcome.REFUSED, "it cannot be applied to the workload, or not be compiled"
    BUILD_TIMEOUT = "build_timeout", Outcome.REFUSED, "compiling it takes longer than is waited for"
    BUILD_MEMORY = "build_memory", Outcome.REFUSED, "compiling it takes more memory than it may have"
    BUILD_CRASHED = "build_crashed", Outcome.REFUSED, "the compiler does not survive it"
    RUN_FAILED = "run_failed", Outcome.REFUSED, "the kernel ends with an error, or ends its process"
    RUN_TIMEOUT = "run_timeout", Outcome.REFUSED, "a call takes longer than is waited for"
    RUN_MEMORY = "run_memory", Outcome.REFUSED, "running it takes more memory than it may have"
    OUT_OF_BOUNDS = "out_of_bounds", Outcome.REFUSED, "it touches memory that is not its own, or writes to an input"
    WRONG_OUTPUT = "wrong_output", Outcome.REFUSED, "an output differs from the reference by more than the tolerance"
    NOT_REPRODUCED = "not_reproduced", Outcome.REFUSED, "on the same chip it takes far longer than claimed"
    SLOWER = "slower", Outcome.REPLAYED, "right, but here slower than claimed by more than the tolerance"
    DISTURBED = "disturbed", Outcome.REPLAYED, "right, but the machine was too busy to time it"
    NOT_TIMED = "not_timed", Outcome.REPLAYED, "right, and this machine cannot time it"
    REPRODUCED = "reproduced", Outcome.REPRODUCED, "right, and as fast as claimed"
    MEANING_ONLY = "meaning_only", Outcome.UNJUDGED, "what a CPU can run of it is not wrong, the rest takes the chip"
    OTHER_CHIP = "other_chip", Outcome.UNJUDGED, "this machine cannot run what is built for that chip"
    OTHER_TOOLCHAIN = "other_toolchain", Outcome.UNJUDGED, "it was built with other versions than are here"
    UNKNOWN_SPACE = "unknown_space", Outcome.UNJUDGED, "the space, or this version of it, is not known here"
    UNKNOWN_WORKLOAD = "unknown_workload", Outcome.UNJUDGED, "the workload cannot be made again here"
    OTHER_WORKLOAD = "other_workload", Outcome.UNJUDGED, "made again here, the workload is another computation"
    TOO_LARGE = "too_large", Outcome.UNJUDGED, "the arguments do not fit into the memory of this machine"
    NO_CONTROL = "no_control", Outcome.UNJUDGED, "the default schedule does not do what it should here either"

    outcome: Outcome
    meaning: str

    def __new__(cls, code: str, outcome: Outcome, meaning: str) -> Cause:
        """A member whose value is its code."""
        member = object.__new__(cls)
        member._value_ = code
        member.outcome, member.meaning = outcome, meaning
        return member
