"""Taking what is pending, judging it, and sending what was found: one claim after the other.

The service knows what this referee has judged, and hands out the rest: whoever was killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuner.referee.docket import Claimed, Obstacle, admit
from tuner.referee.examine import examine
from tuner.referee.judge import Findings, Ruling, judge
from tuner.referee.sandbox import Limits

if TYPE_CHECKING:
    from tuning_db.client import Client

# Claims that are asked for at once: few, since another referee may have judged them meanwhile.
TAKEN = 5
# Of the form of the evidence.
VERSION = 1


@dataclass(frozen=True)
class Judged:
    """What came of a claim.

    Attributes:
        claimed: the claim.
        ruling: what was said of it.
        evidence: the figures.
        seconds: that it took.
        state, tier: of the claim afterwards, as the service answered; empty where it did not take the verdict.
        untaken: why it did not: the claim is withdrawn by now, or the time to object is over.
    """

    claimed: Claimed
    ruling: Ruling
    evidence: dict[str, Any]
    seconds: float
    state: str = ""
    tier: str = ""
    untaken: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {
            "claim": self.claimed.id,
            "vendor": self.claimed.vendor,
            "workload": self.claimed.workload["id"],
            "outcome": self.ruling.outcome.value,
            "cause": self.ruling.cause.value,
            "reason": self.ruling.reason,
            "seconds": self.seconds,
            "state": self.state,
            "tier": self.tier,
            "untaken": self.untaken,
            "evidence": self.evidence,
        }


@dataclass
class Referee:
    """Judges claims for one chip.

    Attributes:
        client: of the service, as a referee's account.
        target: fingerprint of the chip.
        limits: of the sandbox.
        confined: False for no sandbox at all.
        since: seconds since 1970; what this referee judged before then is judged again.
        say: called with a claim and what is done with it, for somebody who waits.
    """

    client: Client
    target: str
    limits: Limits = field(default_factory=Limits)
    confined: bool = True
    since: float = 0.0
    say: Callable[[Claimed, str], None] = lambda claimed, what: None

    def once(self) -> Iterator[Judged]:
        """Judge what is pending, until nothing is; each is sent before it is given back, and before the next begins.

        Raises:
            HeadstartError: the service cannot be reached, says no, or there is no sandbox to be had.
        """
        done: set[str] = set()
        while True:
            found = self.client.get("/v1/pending", target=self.target, limit=TAKEN, since=self.since or None)
            claims = [one for one in map(Claimed.of_json, found["pending"]) if one.id not in done]
            if not claims:
                return
            for claimed in claims:
                done.add(claimed.id)
                yield self.judge(claimed)

    def watch(self, pause_s: float) -> Iterator[Judged]:
        """As ``once``, again and again with a pause in between."""
        while True:
            yield from self.once()
            time.sleep(pause_s)

    def judge(self, claimed: Claimed) -> Judged:
        """Find out what is true of a claim, and send the verdict."""
        from tuning_db.client import ServiceError, at

        start = time.monotonic()
        findings = self._findings(claimed)
        ruling, spent = judge(findings), time.monotonic() - start
        evidence = {"version": VERSION, "cause": ruling.cause.value, "seconds": spent, **findings.evidence}
        body = {"outcome": ruling.outcome.value, "reason": ruling.reason, "evidence": evidence}
        # Not once more where it may have come through: what did not is pending, and is judged again another time.
        try:
            after = self.client.post(at("claims", claimed.id, "verdicts"), body, again=False)
        except ServiceError as error:
            if error.status not in (400, 404):
                raise
            return Judged(claimed, ruling, evidence, spent, untaken=str(error))
        return Judged(claimed, ruling, evidence, spent, str(after["state"]), str(after["tier"]))

    def _findings(self, claimed: Claimed) -> Findings:
        try:
            case = admit(claimed)
        except Obstacle as obstacle:
            return Findings(claimed.median, obstacle.cause, str(obstacle), evidence={"claimed": claimed.median})
        return examine(case, self.limits, confined=self.confined, say=lambda what: self.say(claimed, what))


def require_sandbox() -> None:
    """See, before anything is asked for, that there is a sandbox.

    Raises:
        HeadstartError: what vendors sent could reach the network.
    """
    from tuner.referee.sandbox import Sandbox

    with Sandbox([], [], Limits()):
        pass
