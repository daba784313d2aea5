"""A short load with a kill: ``python -m tests.tuning_db.service.load`` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.tuning_db.service.load import prepare, problems, report, run


def test_nothing_is_lost_under_load(tmp_path: Path) -> None:
    vendors = prepare(tmp_path, 6, 2)
    made = run(tmp_path, vendors, seconds=1, kills=1, trials=3, count=30)
    assert problems(tmp_path, made.sent) == []
    assert {one.vendor for one in made.sent} == set(range(6))
    figures = report(made)
    assert figures["submissions"] == len(made.sent) > 6
    assert figures["sent_again"] > 0
    # What was acknowledged and what is told of it are compared indeed.
    assert "3 are there that nobody was told of" in problems(tmp_path, made.sent[1:])[0]
