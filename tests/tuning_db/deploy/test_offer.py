"""When a bundle that was built there is what is wanted, and when it has to be built anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tuning_db.selecting import FEWER, ROWS, SELECTION, candidate, kernel
from tuning_db.deploy.lock import Origin
from tuning_db.deploy.offer import Offer
from tuning_db.published import Prebuilt
from tuning_db.selection import Candidate, joined

SLOW, FAST = candidate("measured", 1, 2e-3), candidate("measured", 2, 1e-3)
REPRODUCED, CLAIMED = candidate("reproduced", 3, 5e-4), candidate("claimed", 4, 1e-4)


@pytest.mark.parametrize(
    ("built", "chosen", "stale"),
    [
        (FAST, FAST, False),
        (None, None, False),
        (None, FAST, True),
        (SLOW, FAST, True),
        # What the publisher measured, perhaps in a database of its own, stands against what is slower or trusted less.
        (FAST, SLOW, False),
        (FAST, None, False),
        (FAST, CLAIMED, False),
        (FAST, REPRODUCED, True),
        # A claim that is no longer offered was refused or taken back.
        (REPRODUCED, None, True),
        (REPRODUCED, FAST, True),
        (CLAIMED, SLOW, True),
    ],
)
def test_what_gives_way(built: Candidate | None, chosen: Candidate | None, stale: bool) -> None:
    there, here = ((one,) if one else () for one in (built, chosen))
    offer = Offer(
        Origin("https://race.example", "public"),
        "claimed",
        "0" * 64,
        replace(SELECTION, kernels=(kernel(1, *here),)),
        Prebuilt("0" * 64, {}),
        replace(SELECTION, kernels=(kernel(7), kernel(1, *there, calls=0))),
    )
    assert offer.stale == (("op1",) if stale else ())
    assert offer.in_bundle == replace(SELECTION, kernels=(kernel(1, *there),))


def test_a_bundle_that_lacks_a_kernel() -> None:
    chosen = SELECTION.chosen("reproduced")
    whole = Offer(Origin(""), "reproduced", "0" * 64, chosen, Prebuilt("0" * 64, {}), chosen)
    assert whole.stale == ()
    assert replace(whole, built=replace(chosen, kernels=chosen.kernels[:1])).stale == ("op2",)
    assert replace(whole, built=None, prebuilt=None).stale == ()


def test_a_bundle_with_families_has_what_it_does_without() -> None:
    """Where no plans are made: rows that a family of the bundle has no kernel of its own for are no reason to build."""
    row = replace(kernel(1, FAST), workload=f"w{9:024x}", params={"m": 9, "n": 1, "k": 64})
    offer = Offer(Origin(""), "reproduced", "0" * 64, joined([ROWS], [FEWER]), Prebuilt("0" * 64, {}), ROWS)
    with_row = replace(SELECTION.chosen("reproduced"), kernels=(row,), smaller=(FEWER,))
    offer = replace(offer, selection=with_row)
    assert offer.stale == ()
    assert (offer.in_bundle.families, offer.in_bundle.smaller) == (ROWS.families, (FEWER,))
    assert [one.workload for one in offer.in_bundle.kernels] == [one.workload for one in ROWS.kernels]
    # A kernel that the family has gives way as any other, and what is planned is another matter.
    built = replace(ROWS, kernels=(*ROWS.kernels[:2], replace(ROWS.kernels[2], candidates=(SLOW,))))
    faster = replace(ROWS.kernels[2], candidates=(FAST,))
    assert replace(offer, built=built, selection=replace(with_row, kernels=(faster,))).stale == ("op1",)
    assert replace(offer, selection=replace(with_row, families=ROWS.families)).stale == ("op1",)
    without = replace(ROWS, families=())
    planned = replace(ROWS, kernels=ROWS.kernels[1:2])
    assert replace(offer, built=without, selection=planned).stale == ("op1",)
