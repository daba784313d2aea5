"""What becomes champion in a local database while others tune, sent to a service as it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from targets.errors import HeadstartError
from tuning_db.batch import Batch
from tuning_db.sending import Parcel, Sent, known_by, without


@dataclass
class Follower:
    """Sends what is new, visit by visit.

    A batch is taken whole or not at all. Where the service names trials that it refuses, the rest is sent at once
    without them, and they never again; where it refuses the batch as such (a quota, a key), all of it is tried again
    at the next visit.

    Attributes:
        collect: what there is to send, new or not.
        sign: makes a parcel of a batch.
        send: sends it; raises ``HeadstartError`` where there is no telling what became of it.
        known: what is not to be sent, as ``sending.known_by`` knows it again; grows with each visit.
        undelivered: what the last visit could not deliver; the next sends these bytes first, which is one submission.
    """

    collect: Callable[[], Iterable[Batch]]
    sign: Callable[[Batch], Parcel]
    send: Callable[[Parcel], Sent]
    known: set[tuple[object, ...]]
    undelivered: Parcel | None = None

    def visit(self) -> Iterator[Sent]:
        """Send what is new, and say what became of each batch.

        Raises:
            HeadstartError: a batch could not be delivered or was refused as such, or the service did not prove that it
                has it.
        """
        while (parcel := self._next()) is not None:
            self.undelivered = parcel
            sent = self.send(parcel)
            self.undelivered = None
            claims = parcel.batch.claims
            done = claims if sent.taken else [claims[entry - 1] for entry in _refused(sent)]
            if not done:
                why = "; ".join(f"{reason['code']}: {reason['message']}" for reason in sent.reasons)
                raise HeadstartError(f"the batch is refused: {why}")
            self.known |= {known_by(claim) for claim in done}
            yield sent

    def _next(self) -> Parcel | None:
        if self.undelivered is not None:
            return self.undelivered
        return next((self.sign(batch) for batch in without(self.collect(), self.known)), None)


def _refused(sent: Sent) -> set[int]:
    """Numbers of the trials that are refused, from 1."""
    entries = {reason.get("entry") for reason in sent.reasons}
    return {entry for entry in entries if isinstance(entry, int) and 0 < entry <= len(sent.parcel.batch.claims)}
