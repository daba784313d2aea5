"""A repository in a database: what is taken and what is not, what is kept and for how long, and what is found wrong."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets.errors import HeadstartError, InputError
from tests.tuning_db.example import add, fill
from tests.tuning_db.publishing import (
    BUNDLE,
    LIFETIMES,
    NOW,
    ONLINE,
    ROOT,
    TARGETS,
    bundled,
    first,
    populate,
    present,
    take,
)
from tests.tuning_db.selecting import STEP
from tests.tuning_db.test_check import do_harm
from tuning_db.blobs import UNFINISHED_S, Blob
from tuning_db.check import check
from tuning_db.keys import PrivateKey
from tuning_db.releases import DAY
from tuning_db.repository.draft import Draft
from tuning_db.repository.drafting import begin, rotate
from tuning_db.repository.metadata import LIFETIMES as ONLINE_LIFETIMES
from tuning_db.repository.metadata import dumps, loads, online_key, sign
from tuning_db.repository.online import Due, due, renew
from tuning_db.repository.publishing import checked, publish
from tuning_db.store import Store
from tuning_db.windows import PUBLIC

HARM = {
    "UPDATE repository_metadata SET content = content || ' ' WHERE role = 'root'": "does not have its digest",
    "UPDATE repository_metadata SET content = '{' WHERE role = 'snapshot' AND version = 2": "does not have its digest",
    "DELETE FROM repository_metadata WHERE role = 'champions'": "it has no champions",
    "DELETE FROM repository_metadata WHERE role = 'snapshot' AND version = 2": "timestamp does not name the last",
    "UPDATE repository_metadata SET version = 9 WHERE role = 'targets' AND version = 2": "says that it is another",
    "UPDATE repository_part SET content = x'00'": "is not what it was",
    "DELETE FROM repository_part": "is not what it was",
    "UPDATE repository_target SET gone = 1": "files of targets are not those that it names",
    "UPDATE repository_target SET path = 'blobs/x'": "files of targets are not those that it names",
}


@pytest.fixture
def published(store: Store) -> Store:
    populate(store)
    return store


def test_nothing_is_wrong_with_what_was_published(published: Store) -> None:
    assert check(published) == []


@pytest.mark.parametrize("sql", HARM)
def test_harm_is_found(published: Store, sql: str) -> None:
    do_harm(published, sql, "repository public", HARM[sql])


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE repository_metadata SET content = ''",
        "DELETE FROM repository_metadata WHERE role = 'root'",
        "DELETE FROM repository_metadata WHERE role = 'targets' AND version = 2",
        "INSERT INTO repository_metadata VALUES ('public', 'root', 3, '', '', 0, 0)",
        "UPDATE repository_blob SET whole = 0; INSERT INTO repository_target SELECT release, 'champions', path, digest,"
        " NULL FROM repository_target",
    ],
)
def test_what_was_signed_is_never_changed(published: Store, sql: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        published.connection.executescript(sql)


def test_what_was_replaced_is_forgotten_after_a_while(published: Store) -> None:
    old = published.targets_of(PUBLIC, "targets")
    take(published, bundled(published, b"another", NOW + DAY), NOW + DAY)
    now = published.targets_of(PUBLIC, "targets")
    assert set(now) > {BUNDLE} and old[BUNDLE] != now[BUNDLE]
    for path, (digest, length) in {**old, **now}.items():
        assert published.repository_file(PUBLIC, path, digest) == Blob(digest, length, True)
    versions = "SELECT version FROM repository_metadata WHERE role = ? ORDER BY version"
    assert [row["version"] for row in published.rows(versions, ["snapshot"])] == [2, 3]
    assert [row["version"] for row in published.rows(versions, ["targets"])] == [1, 2, 3]
    take(published, bundled(published, b"another", NOW + 9 * DAY), NOW + 9 * DAY)
    for path, (digest, _) in old.items():
        assert (published.repository_file(PUBLIC, path, digest) is None) == (now.get(path) != old[path])
    for role in ("targets", "snapshot"):
        assert [row["version"] for row in published.rows(versions, [role])] == [3, 4]
    assert published.value("SELECT count(*) FROM repository_blob") == 2
    assert check(published) == []


def test_a_file_that_never_came_whole_is_forgotten(published: Store) -> None:
    half = Blob("a" * 64, 1 << 21, False)
    account = published.add_account("root", "operator", NOW)
    published.add_part(PUBLIC, half, 0, bytes(1 << 20), account.id, None, NOW)
    take(published, bundled(published, b"x", NOW + 1), NOW + 1)
    assert published.blob(PUBLIC, half.digest)
    take(published, bundled(published, b"y", NOW + UNFINISHED_S + 1), NOW + UNFINISHED_S + 1)
    assert published.blob(PUBLIC, half.digest) is None


def test_a_part_that_fails_leaves_nothing(published: Store) -> None:
    draft = bundled(published, b"another")
    before = published.rows("SELECT role, version FROM repository_metadata")
    given_ = checked(published, PUBLIC, None, draft.texts["targets"], online_key(ONLINE, PUBLIC).public, NOW)
    published.execute("CREATE TRIGGER stop BEFORE INSERT ON repository_metadata WHEN NEW.role = 'timestamp'"
                      " BEGIN SELECT RAISE(ABORT, 'stop'); END")  # fmt: skip
    with pytest.raises(sqlite3.IntegrityError):
        publish(published, PUBLIC, given_, online_key(ONLINE, PUBLIC), NOW)
    assert published.rows("SELECT role, version FROM repository_metadata") == before


def test_a_service_without_its_key_signs_nothing(published: Store) -> None:
    later = NOW + max(ONLINE_LIFETIMES.values())
    assert due(published, PUBLIC, online_key(PrivateKey.new("other"), PUBLIC), later, look=True) == Due()
    found = due(published, PUBLIC, online_key(ONLINE, PUBLIC), later, look=True)
    assert found and found.champions and found.snapshot
    renew(published, PUBLIC, online_key(ONLINE, PUBLIC), later, found.champions, found.snapshot)
    with pytest.raises(InputError, match="meanwhile"):
        renew(published, PUBLIC, online_key(ONLINE, PUBLIC), later, found.champions, found.snapshot)


def test_more_selections_than_clients_read_of_are_not_published(
    published: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, later = online_key(ONLINE, PUBLIC), NOW + max(ONLINE_LIFETIMES.values())
    of = fill(published)[0]
    op = {"name": "q", "operator": "linear", "params": {}, "calls": 1, "workload": of.workload}
    published.add_model("small", "lab", STEP, [op])
    add(published, of, crown=True)
    with monkeypatch.context() as patch:
        patch.setattr("tuning_db.repository.online.MAX_METADATA", 100)
        found = due(published, PUBLIC, key, NOW + 1, look=True)
        assert found.too_many and found.basis and not found
        assert not due(published, PUBLIC, key, NOW + 1, look=True, before=found.basis).too_many
        # What was said before is signed anew all the same, so that nothing expires.
        found = due(published, PUBLIC, key, later, look=True)
        renew(published, PUBLIC, key, later, found.champions, found.snapshot)
        assert found.too_many and published.targets_of(PUBLIC, "champions") == {}
    found = due(published, PUBLIC, key, later + 1, look=True)
    renew(published, PUBLIC, key, later + 1, found.champions, found.snapshot)
    assert len(published.targets_of(PUBLIC, "champions")) == 1 and not found.too_many


def test_drafts_are_believed_as_far_as_they_are_signed(published: Store) -> None:
    draft = present(published)
    trusted = draft.roots[0]
    draft.require_trusted(trusted)
    rotate(draft, "root", [TARGETS.public], [], 2, LIFETIMES, NOW)
    assert Draft.loads(draft.dumps()).dumps() == draft.dumps()
    draft.sign([ROOT])
    assert draft.lacking() == ["root has 1 of 2 signatures; targets-1 (" + draft.lacking()[0].rpartition("(")[2]]
    draft.sign([TARGETS])
    assert draft.lacking() == []
    with pytest.raises(InputError, match="none of the roles"):
        draft.sign([PrivateKey.new("stranger")])
    # A server that shows targets which nobody signed, or another root, is not believed.
    other = begin(PUBLIC, ONLINE.public, {"root": [TARGETS.public], "targets": [ROOT.public]},
                  {"root": 1, "targets": 1}, LIFETIMES, NOW)  # fmt: skip
    other.sign([ROOT, TARGETS])
    wrong = [
        Draft(PUBLIC, [str(other.texts["root"])], str(other.texts["targets"])),
        Draft(PUBLIC, [trusted], str(other.texts["targets"])),
        Draft(PUBLIC, [trusted, str(other.texts["root"])], draft.targets),
        Draft(PUBLIC, [trusted], None),
        Draft(PUBLIC, [], draft.targets),
    ]
    # Nor is a root that follows by its number alone, and brings its own keys.
    stranger = loads("root", str(other.texts["root"]))
    stranger.signed.version = 2
    sign(stranger, TARGETS)
    wrong.append(Draft(PUBLIC, [trusted, dumps(stranger)], str(other.texts["targets"])))
    for one in wrong:
        with pytest.raises(InputError):
            one.require_trusted(trusted)
    with pytest.raises(InputError, match="already"):
        present(published).require_trusted(None)


paths = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_changed_in_metadata_is_refused(store: Store, data: st.DataObject) -> None:
    draft = first()
    role = data.draw(st.sampled_from(["root", "targets"]))
    whole = json.loads(str(draft.texts[role]))
    where: Any = whole
    while True:
        steps = list(where) if isinstance(where, dict) else list(range(len(where)))
        step = data.draw(st.sampled_from(steps))
        if isinstance(where[step], (dict, list)) and where[step] and data.draw(st.booleans()):
            where = where[step]
            continue
        before, where[step] = where[step], data.draw(paths)
        break
    texts = {**draft.texts, role: json.dumps(whole)}
    online = online_key(ONLINE, PUBLIC).public
    try:
        made = checked(store, PUBLIC, texts["root"], texts["targets"], online, NOW)
    except HeadstartError as error:
        assert "\n" not in str(error)
    else:
        # What is no part of what is signed may be anything.
        assert loads(role, str(texts[role])).signed == draft.next[role].signed, (before, where[step])
        assert replace(made, root=None, targets=None)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_no_draft_and_no_metadata(data: bytes) -> None:
    for read in (lambda: Draft.loads(data), lambda: loads("root", data.decode(errors="replace"))):
        with pytest.raises(InputError):
            read()
