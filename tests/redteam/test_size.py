"""Bodies that are too long are refused by their length alone."""

from __future__ import annotations

import pytest

import tuning_db.batch
import tuning_db.envelope
from tests.redteam.hostile import attack
from tests.tuning_db.claims import batch, key
from tuning_db.batch import read_batch
from tuning_db.batch_format import MAX_BYTES
from tuning_db.envelope import MAX_ENVELOPE, MAX_PAYLOAD
from tuning_db.reasons import Reason, Refused
from tuning_db.submission import sign_batch


@pytest.mark.parametrize(
    "start", [b"", b"{", sign_batch(batch(), key()).dumps()], ids=["zeros", "open", "right so far"]
)
def test_a_hundred_megabytes(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = start.ljust(100 << 20, b" ")
    assert attack(data) == {Reason.TOO_LARGE}
    for module in (tuning_db.envelope, tuning_db.batch):
        monkeypatch.setattr(module, "parse", None)  # it would fail if it were called
    with pytest.raises(Refused) as failure:
        tuning_db.envelope.read_envelope(data)
    assert failure.value.reason is Reason.TOO_LARGE
    with pytest.raises(Refused) as failure:
        read_batch(data)
    assert failure.value.reason is Reason.TOO_LARGE


def test_one_byte_too_many() -> None:
    data = sign_batch(batch(), key()).dumps()
    assert attack(data.ljust(MAX_ENVELOPE, b" ")) == set()
    assert attack(data.ljust(MAX_ENVELOPE + 1, b" ")) == {Reason.TOO_LARGE}
    assert MAX_PAYLOAD == MAX_BYTES
