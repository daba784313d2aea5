"""Times that no clock shows, and times that no chip reaches."""

from __future__ import annotations

import json
import re

import pytest

from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import batch, claim
from tuning_db.reasons import Reason
from tuning_db.screening import SAME

SAMPLE = b'"samples":[0.001501,'


@pytest.mark.parametrize(
    "spelled",
    [
        b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"-0.001", b"0", b"0.0", b"-0.0", b"5e-324", b"1e-320",
        b"1e-10", b"1e+308", b"1.7976931348623157e+308", b"100001.0", b"9" * 400, b"0." + b"0" * 400 + b"1",
        b"1" * 5000, b'"0.001"', b"null", b"true", b"[0.001]", b"{}", b"0x1p-10", b"1_000.0", b"+0.001", b".001",
    ],
    ids=lambda spelled: spelled[:20].decode(),
)  # fmt: skip
@pytest.mark.parametrize("field", ["samples", "median", "spread", "build_s", "created"])
def test_a_time_that_is_none(field: str, spelled: bytes) -> None:
    start = b'"%b":%b' % (field.encode(), b"[" * (field == "samples"))
    place = re.compile(re.escape(start) + rb"[^,}\]]+")
    data = batch(claim(1)).dumps()
    changed = place.sub(lambda found: start + spelled, data, count=1)
    assert changed != data
    # A build may take no time, and samples may have no spread; that has one spelling as well.
    fits = field in ("spread", "build_s") and spelled in (b"0.0", b"5e-324", b"1e-320", b"1e-10")
    assert attack(signed(changed)) == (set() if fits else {Reason.MALFORMED})


def test_faster_than_the_chip() -> None:
    fast = claim(1, samples=(1e-6, 1.01e-6, 1.02e-6))
    assert attack(signed(batch(fast).dumps())) == {Reason.BELOW_FLOOR}


def test_one_sample_that_is_too_good_does_not_make_the_median() -> None:
    mixed = claim(1, samples=(1e-9, 1.5e-3, 1.6e-3))
    assert mixed.median == 1.5e-3
    lie = json.loads(batch(mixed).dumps())
    lie["trials"][0]["median"] = 1e-9
    data = json.dumps(lie, sort_keys=True, separators=(",", ":")).encode()
    assert attack(signed(data)) == {Reason.INCONSISTENT}


def test_a_time_that_was_made_up() -> None:
    assert attack(signed(batch(claim(1, samples=(1.5e-3,) * SAME)).dumps())) == {Reason.NO_NOISE}
    assert attack(signed(batch(claim(1, samples=(1.5e-3,))).dumps())) == {Reason.TOO_FEW_SAMPLES}


def test_more_samples_than_anybody_takes() -> None:
    data = batch(claim(1)).dumps().replace(SAMPLE, SAMPLE + b"0.001," * 100_000)
    assert attack(signed(data)) == {Reason.MALFORMED}
