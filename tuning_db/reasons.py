"""Why something that a vendor sent is not taken: a stable code for programs, a sentence for people."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from targets.errors import InputError

LONGEST = 400


class Reason(Enum):
    """A stable code, and what it means; codes are part of the format and never change."""

    TOO_LARGE = "too_large", "the envelope or the batch has more bytes than are read"
    MALFORMED = "malformed", "not in the documented form: the message names the field and the entry"
    INCONSISTENT = "inconsistent", "an id that is not the hash of its content, or figures that contradict one another"
    PAYLOAD_TYPE = "payload_type", "the envelope holds something other than a batch of a version that is known"
    UNKNOWN_KEY = "unknown_key", "no signature is by a key that is known and valid"
    BAD_SIGNATURE = "bad_signature", "a signature that names a known key is not one of this content by that key"
    WRONG_VENDOR = "wrong_vendor", "the batch names another vendor than the one whose key signed it"
    NONCE_REUSED = "nonce_reused", "another batch had this nonce; only a retry of the very same bytes may"
    REPLAYED = "replayed", "an earlier batch held the same trials, in whatever order"
    UNKNOWN_WORKLOAD = "unknown_workload", "no such workload is open to this vendor"
    UNKNOWN_SPACE = "unknown_space", "no such space, or another version of it"
    SCHEDULE_NOT_ALLOWED = "schedule_not_allowed", "the schedule holds what no schedule of its space may hold"
    BELOW_FLOOR = "below_floor", "faster than the declared chip can be"
    NO_PEAKS = "no_peaks", "only noted: the declared chip has no peaks, so its times cannot be held against its floor"
    TOO_FEW_SAMPLES = "too_few_samples", "a time that was taken less often than it takes to know it"
    NO_NOISE = "no_noise", "samples without the noise that every clock and machine has"
    DUPLICATE = "duplicate", "the same schedule with the same samples is there already"
    CLONE = "clone", "another schedule that is there already differs from it in nothing that matters"
    COPIED_SAMPLES = "copied_samples", "the samples of one trial under several schedules or workloads"
    OVER_QUOTA = "over_quota", "more than the vendor may send in a day: the message says when it fits"
    TOO_MANY = "too_many", "more trials of one workload on one chip than a batch may have"

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Reason:
        """A member whose value is its code."""
        member = object.__new__(cls)
        member._value_ = code
        member.meaning = meaning
        return member

    @property
    def refuses(self) -> bool:
        """Whether a batch with it is refused; else it is taken, and the vendor told."""
        return self is not Reason.NO_PEAKS


class Finding(NamedTuple):
    """What is to be said of a trial of a batch.

    Attributes:
        entry: which trial, counted from 1.
        said: for the vendor: one line of ASCII.
    """

    reason: Reason
    entry: int
    said: str


class Refused(InputError):
    """A batch or an envelope is refused as a whole; ``reason`` is the code, the message is one line of ASCII."""

    def __init__(self, reason: Reason, said: str) -> None:
        super().__init__(printable(said))
        self.reason = reason


def printable(said: str) -> str:
    """One line of printable ASCII, of bounded length, whatever a stranger put into it."""
    line = " ".join(said.split())
    shown = "".join(letter if " " <= letter <= "~" else ascii(letter)[1:-1] for letter in line[: 2 * LONGEST])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
