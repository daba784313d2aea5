"""Content under the id of other content, and figures that contradict one another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import batch, changed, claim, knobs
from tuning_db.reasons import Reason


def edit(document: dict[str, Any], name: str) -> None:
    trial = document["trials"][0]
    {
        "another schedule under an id": lambda: document["schedules"][0].update(config={"mr": 64}),
        "another space under an id": lambda: document["schedules"][0].update(space="generic"),
        "a larger chip under a fingerprint": lambda: document["targets"][0]["spec"].update(cores=64),
        "other caches under a fingerprint": lambda: document["targets"][0]["spec"].update(l3=1 << 30),
        "another compiler under an id": lambda: document["toolchains"][0]["versions"].update(llvm="1"),
        "more threads under an id": lambda: document["policies"][0].update(threads=64),
        "a better median": lambda: trial.update(median=1.5e-4),
        "a spread wider than the samples": lambda: trial.update(spread=1.0),
        "a schedule that is not there": lambda: trial.update(schedule=knobs(mr=5).id),
        "a workload in place of a schedule": lambda: trial.update(schedule="s" + trial["workload"][1:]),
        "schedules that nobody names": lambda: document["schedules"].append(
            {"id": "s" + "f" * 24, "space": "knobs", "version": 1, "config": {}}
        ),
        "one row twice": lambda: document["toolchains"].append(document["toolchains"][0]),
    }[name]()


@pytest.mark.parametrize(
    "name",
    [
        "another schedule under an id",
        "another space under an id",
        "a larger chip under a fingerprint",
        "other caches under a fingerprint",
        "another compiler under an id",
        "more threads under an id",
        "a better median",
        "a spread wider than the samples",
        "a schedule that is not there",
        "a workload in place of a schedule",
        "schedules that nobody names",
        "one row twice",
    ],
)
def test_a_lie_within_a_batch(name: str) -> None:
    data = changed(lambda document: edit(document, name), batch(claim(1)))
    assert attack(signed(data)) == {Reason.INCONSISTENT}


@pytest.mark.parametrize("status", ["timeout", "below_floor", "withdrawn", "champion", None, ["ok"]])
def test_a_status_that_is_not_for_a_vendor_to_give(status: Any) -> None:
    data = changed(lambda document: document["trials"][0].update(status=status))
    assert attack(signed(data)) == {Reason.MALFORMED}


@pytest.mark.parametrize("field", ["author", "tier", "verdict", "job", "id", "champion"])
def test_a_field_that_is_not_for_a_vendor_to_give(field: str) -> None:
    data = changed(lambda document: document["trials"][0].update({field: "reproduced"}))
    assert attack(signed(data)) == {Reason.MALFORMED}
