"""Every kind of damage is found, and nothing is found where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from targets.errors import InputError
from tests.tuning_db import race
from tests.tuning_db.example import fill
from tuning_db.check import Finding, check
from tuning_db.store import Store


def test_nothing_is_wrong_with_what_the_store_wrote(store: Store, full: Store) -> None:
    assert check(store) == []
    assert check(full) == []


# What somebody with another program may have done, and what is said of it.
HARM = {
    "UPDATE schedule SET config = '{\"knob\": 7}'": ("schedule s", "hashes to"),
    "UPDATE schedule SET config = '{'": ("schedule s", "JSON"),
    "UPDATE workload SET canonical = 'other'": ("workload w", "hashes to"),
    "UPDATE toolchain SET versions = '{}'": ("toolchain x", "hashes to"),
    "UPDATE toolchain SET versions = '7'": ("toolchain x", "cannot be computed"),
    "UPDATE policy SET threads = 3": ("policy p", "hashes to"),
    "UPDATE target SET spec = '{}'": ("target c", "cannot be computed"),
    "UPDATE target SET spec = json_set(spec, '$.cores', 64)": ("target c", "hashes to"),
    "UPDATE model_op SET calls = 1": ("model m", "hashes to"),
    "UPDATE trial SET status = 'splendid'": ("trial t", "unknown status 'splendid'"),
    "UPDATE trial SET median = median / 2 WHERE status = 'ok'": ("trial t", "is not that of the samples"),
    "UPDATE trial SET samples = '[\"fast\"]' WHERE status = 'ok'": ("trial t", "cannot be read"),
    "UPDATE trial SET samples = '{' WHERE status = 'ok'": ("trial t", "cannot be read"),
    "UPDATE trial SET samples = '[]' WHERE status = 'ok'": ("trial t", "without samples"),
    "UPDATE trial SET median = 'fast' WHERE status = 'ok'": ("trial t", "cannot be read"),
    "UPDATE trial SET status = 'timeout', error = 'late' WHERE status = 'ok'": ("trial t", "with samples"),
    "UPDATE trial SET error = '' WHERE status <> 'ok'": ("trial t", "without a reason"),
    "UPDATE trial SET build_s = -1": ("trial t", "not a duration"),
    "DELETE FROM trial": ("champion", "not there"),
    "DELETE FROM schedule": ("trial", "names a schedule that is not there"),
    "UPDATE champion SET trial = (SELECT id FROM trial WHERE status <> 'ok')": ("champion of w", "build_error"),
    "UPDATE job SET spec = '{'": ("job j", "not a JSON object"),
    "INSERT INTO job SELECT 'j0', spec, 'asleep', 1, 0, 0, NULL, NULL, NULL, NULL, '', NULL FROM job LIMIT 1": (
        "job j0",
        "unknown state 'asleep'",
    ),
    "UPDATE miss SET count = 0": ("miss of w", "count: must be"),
    "UPDATE miss SET params = '{'": ("miss of w", "cannot be read"),
    "UPDATE miss SET account = 'a0'": ("miss of w", "an account that is not there"),
    "UPDATE champion SET policy = 'p0'": ("champion of w", "not a trial of its key"),
    "CREATE TABLE theirs (x)": ("schema", "not of Headstart: CREATE TABLE theirs"),
    "DROP INDEX trial_workload": ("schema", "missing or changed: CREATE INDEX trial_workload"),
}


HARM_TO_A_RACE = {
    "UPDATE claim SET policy = 'p0' WHERE tier = 'reproduced'": ("claim t", "does not have the key of its trial"),
    "UPDATE claim SET target = 'c0'": ("claim t", "does not have the key of its trial"),
    "UPDATE claim SET tier = 'reproduced' WHERE tier = 'claimed'": ("claim t", "come to: claimed"),
    "UPDATE claim SET tier = 'splendid'": ("claim t", "come to: reproduced, standing"),
    "UPDATE claim SET state = 'standing' WHERE state = 'refused'": ("claim t", "come to: claimed, refused"),
    "UPDATE claim SET reason = '' WHERE state = 'withdrawn'": ("claim t", "come to: claimed, withdrawn"),
    "UPDATE claim SET vendor = 'a0'": ("claim", "names a account that is not there"),
    "UPDATE claim SET release = 'r0'": ("claim", "names a release that is not there"),
    "DELETE FROM verdict WHERE outcome = 'reproduced'": ("claim t", "come to: claimed, standing"),
    "UPDATE verdict SET outcome = 'splendid'": ("claim t", "a verdict on it cannot be read"),
    "UPDATE verdict SET evidence = '{'": ("claim t", "a verdict on it cannot be read"),
    "UPDATE verdict SET judge = 'a0'": ("verdict", "names a account that is not there"),
    "DELETE FROM lead WHERE vendor = ''": ("lead of ", "nobody is said to lead of all"),
    "UPDATE lead SET vendor = 'a0' WHERE vendor = ''": ("lead of ", "is said to lead of a0, it is nobody"),
    "UPDATE lead SET trial = (SELECT trial FROM claim WHERE state = 'refused')": ("lead of ", "is said to lead"),
    "UPDATE lead SET policy = 'p0'": ("lead of ", "is said to lead"),
    "UPDATE trial SET status = 'splendid' WHERE id IN (SELECT trial FROM lead)": ("lead", "be read"),
    "UPDATE lead SET median = median / 2 WHERE vendor = ''": ("lead of ", "with other figures"),
    "UPDATE lead SET tier = 'replayed'": ("lead of ", "with other figures"),
    "UPDATE lead_history SET since = since - 1": ("lead of ", "its history is not"),
    "UPDATE lead_history SET tier = 'replayed'": ("lead of ", "its history is not"),
    "DELETE FROM lead_history WHERE number = 0 AND vendor = ''": ("lead of ", "its history is not"),
    "INSERT INTO lead_history SELECT release, 'w0', target, toolchain, policy, vendor, number, since, trial, holder,"
    " tier, median, spread, verdict FROM lead_history LIMIT 1": ("lead of ", "its history is not"),
    "UPDATE verdict SET after = 0": ("lead of ", "a claim cannot be read"),
    "INSERT INTO dispute SELECT release, trial, 9, 0, 1 FROM claim": ("claim t", "its history of disputes is not"),
    "UPDATE release_model SET model = 'm0'": ("release_model", "names a model that is not there"),
    "UPDATE release_model SET release = 'r0'": ("release_model", "names a release that is not there"),
    "UPDATE opening SET account = 'a0' WHERE account = (SELECT id FROM account WHERE name = 'early')": (
        "opening",
        "names a account that is not there",
    ),
    "UPDATE opening SET target = 'c0'": ("opening of r", "names a target that is not there"),
    "UPDATE release SET publisher = 'a0' WHERE id <> 'public'": ("release r", "names a publisher that is not there"),
    "UPDATE release SET publisher = '', name = 'x' WHERE id <> 'public'": ("release public", "is not the one"),
    "UPDATE release SET launch = 1e12 WHERE id = 'public'": ("release public", "is not the one"),
    "DELETE FROM account WHERE role = 'publisher'": ("release r", "names a publisher that is not there"),
}


def test_nothing_is_wrong_with_a_race(full: Store) -> None:
    race.populate(full)
    assert check(full) == []


@pytest.mark.parametrize("sql", HARM_TO_A_RACE)
def test_harm_to_a_race_is_found(full: Store, sql: str) -> None:
    race.populate(full)
    do_harm(full, sql, *HARM_TO_A_RACE[sql])


@pytest.mark.parametrize("sql", HARM)
def test_harm_is_found(full: Store, sql: str) -> None:
    do_harm(full, sql, *HARM[sql])


def do_harm(full: Store, sql: str, where: str, problem: str) -> None:
    """Change a database behind the back of its triggers, and look for a finding."""
    guards = full.rows("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    full.execute("PRAGMA foreign_keys = OFF")
    for guard in guards:
        full.execute(f"DROP TRIGGER {guard['name']}")
    full.execute(sql)
    for guard in guards:
        full.execute(guard["sql"])
    findings = check(full)
    assert any(finding.where.startswith(where) and problem in finding.problem for finding in findings), findings


def test_a_missing_guard_is_found(full: Store) -> None:
    full.execute("DROP TRIGGER trial_is_never_deleted")
    assert [finding.where for finding in check(full)] == ["schema"]


@pytest.mark.parametrize("page", range(2, 27, 4))
def test_damaged_pages_are_found_without_a_traceback(full: Store, page: int) -> None:
    path = full.path
    full.close()
    whole = bytearray(path.read_bytes())
    assert len(whole) > page * 4096
    whole[page * 4096 : page * 4096 + 2048] = b"\xa5" * 2048
    damaged = Path(f"{path}.damaged")
    damaged.write_bytes(whole)
    try:
        with Store.open(damaged) as store:
            findings = check(store)
    except InputError as error:
        # The page that tells the schema's version cannot be spared.
        findings = [Finding("file", str(error))]
    assert findings
    assert all("\n" not in finding.problem for finding in findings)


def test_checking_writes_nothing(full: Store, tmp_path: Path) -> None:
    fill(full)
    full.execute("PRAGMA query_only = ON")
    assert check(full) == []
