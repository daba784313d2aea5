"""A pull that is ended at any moment; ``tests/tuning_db/deploy/kills.py`` does it more often."""

from __future__ import annotations

from pathlib import Path

from tests.tuning_db.deploy.kills import kill_pulls


def test_old_or_new_and_whole(tmp_path: Path) -> None:
    # So few changes before its end the bundle is in place and the lock file is not.
    seen = kill_pulls(tmp_path, 1, lambda changes: [changes - 6])
    assert sum(seen.values()) == 2
    assert seen["killed: new bundle, old lock file"]
