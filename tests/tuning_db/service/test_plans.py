"""What people ask a service goes by indices: no answer reads all of a table that grows with every claim.

Every route and page is asked for real; what SQLite was asked for meanwhile is explained by SQLite itself. A plan does
not depend on how much there is, as long as nobody runs ``ANALYZE``: a race of one claim shows what a million do.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import tuning_db.connection
from tests.tuning_db.claims import CHIP
from tests.tuning_db.service.running import EARLY, LAUNCH, Service, running
from tests.tuning_db.service.test_leaks import PATHS, QUERIES, filled, pair
from tuning_db.releases import DAY
from tuning_db.store import Store

# Tables with a row for each trial, claim or something that was said or done.
GROWING = {
    *("trial", "schedule", "claim", "claimed", "verdict", "submission", "ledger_entry", "lead", "lead_history"),
    *("dispute", "champion", "miss", "job", "job_log"),
}
# An operator is shown what all deployments missed; what is kept of each is limited, and forgotten after a while.
EVERY_MISS = "FROM miss WHERE TRUE GROUP BY workload, operator, params, target"
PEOPLE = ("root", "lab", "acme", None)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str]]]:
    """A service of which all was asked before a launch and after; what SQLite heard, by its text without values."""
    heard: dict[str, str] = {}
    connect = tuning_db.connection._connect

    def hear(statement: str) -> None:
        heard[re.sub(r"'[^']*'|\b\d[\d.e]*\b", "?", statement)] = statement

    def listening(path: Path, how: str) -> sqlite3.Connection:
        made = connect(path, how)
        made.set_trace_callback(hear)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning_db.connection, "_connect", listening)
        with running(tmp_path_factory.mktemp("plans")) as service:
            heard.clear()  # the schema was made
            ask(service)
            yield service, dict(heard)


def ask(service: Service) -> None:
    """Ask everything, as everybody."""
    release = service.ids["r1"] = service.release()
    for who in ("acme", "judge"):
        service.invite(release, who)
    service.register("acme")
    service.now = EARLY
    service.ids["trial"] = service.submit("acme").json["claims"][0]
    said = service.post(f"/v1/claims/{service.ids['trial']}/verdicts", "judge", {"outcome": "reproduced"})
    assert said.status == 201
    found = 0
    for service.now in (LAUNCH - 1, LAUNCH + DAY):
        for (path, kinds), who in itertools.product(PATHS.items(), PEOPLE):
            there = [pair(service, kind)[0] for kind in kinds[:1]]
            where = f"{path}?{there[0]}" if QUERIES & set(kinds[:1]) else filled(path, *there) if there else path
            found += service.get(where, who).status == 200
        assert service.get(f"/v1/pending?target={CHIP.fingerprint}", "judge").status == 200
        for query in ("", "?release=r1", "?vendor=acme", f"?after={service.ids['trial']}"):
            assert service.get(f"/v1/claims{query}", "acme").status == 200
    assert found > 100


def plan(store: Store, statement: str) -> list[str]:
    """What SQLite does for a statement, step by step."""
    # An infinite value is written in a way that cannot be read.
    readable = re.sub(r"(?<=[<>=] )Inf\b", "9e999", statement)
    return [step["detail"] for step in store.rows(f"EXPLAIN QUERY PLAN {readable}")]


def scanned(store: Store, statement: str) -> set[str]:
    """Tables of which a statement reads every row, or every entry of an index."""
    aliases = {found[1] for step in plan(store, statement) if (found := re.match(r"SCAN (\w+)", step))}
    return {table for alias in aliases for table in tables_of(statement, alias)}


def tables_of(statement: str, alias: str) -> set[str]:
    """Tables that an alias stands for in a statement, itself where it stands for none."""
    return set(re.findall(rf"\b([a-z_]+) (?:AS )?{alias}\b", statement)) or {alias}


def test_no_question_reads_a_growing_table_from_end_to_end(asked: tuple[Service, dict[str, str]]) -> None:
    service, heard = asked
    with Store.open(service.db, read_only=True) as store:
        found = {text: scanned(store, one) & GROWING for text, one in heard.items() if one.startswith("SELECT")}
        # This is what such a question would look like.
        assert scanned(store, "SELECT 1 FROM claim c JOIN trial t ON t.id = c.trial WHERE c.batch = ''") == {"claim"}
    assert len(found) > 75
    assert {text: tables for text, tables in found.items() if tables and EVERY_MISS not in text} == {}


def test_a_list_of_claims_reads_the_latest_and_no_more(asked: tuple[Service, dict[str, str]]) -> None:
    service, heard = asked
    lists = [one for text, one in heard.items() if text.startswith("SELECT c.trial, c.received, t.seq FROM claim c")]
    indices = set()
    with Store.open(service.db, read_only=True) as store:
        for one in lists:
            steps = plan(store, one)
            indices |= {found[1] for step in steps if (found := re.match(r"SEARCH c USING INDEX (\w+)", step))}
            # Sorted are those of one moment alone ("RIGHT PART OF", "LAST TERM OF"), and not all of them.
            assert "USE TEMP B-TREE FOR ORDER BY" not in steps, steps
    assert indices == {"claim_of_release", "claim_of_vendor"}
