"""A release is there for those it is open to, from the second on that it opens, and for nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from targets.digest import digest
from targets.errors import InputError
from tests.tuning_db.example import TARGET, add
from tests.tuning_db.race import DAY, EARLY, LATE, LAUNCH, START, Race, hidden_model, viewers
from tuning_db.releases import Rules
from tuning_db.windows import PUBLIC, Viewer, public_model, public_workload


def seen(race: Race, now: float) -> set[str]:
    """Who sees the release at a moment, by all three ways of looking."""
    found = set()
    for name, viewer in viewers(race, now).items():
        listed = race.store.releases(viewer)
        for by in ("v5", race.release.id):
            assert race.store.release(viewer, by) == (race.release if listed else None)
        found |= {name} if listed == [race.release] else set()
    return found


def test_windows_open_by_the_clock_to_the_second(race: Race) -> None:
    at = {
        START: {"lab"},
        EARLY - 1: {"lab"},
        EARLY: {"lab", "early", "referee", "second"},
        LATE - 1: {"lab", "early", "referee", "second"},
        LATE: {"lab", "early", "late", "referee", "second"},
        LAUNCH - 1: {"lab", "early", "late", "referee", "second"},
        LAUNCH: set(viewers(race, 0)),
    }
    before = list(race.store.connection.iterdump())
    # Backwards too: nothing happens at those times.
    for now in (*at, *reversed(at)):
        assert seen(race, now) == at[now], now - START
    assert list(race.store.connection.iterdump()) == before


def test_inviting_again_changes_the_time(race: Race) -> None:
    race.store.invite(race.release, race.early, EARLY + 60)
    assert "early" not in seen(race, EARLY)
    assert "early" in seen(race, EARLY + 60)


def test_targets_open_one_by_one(race: Race) -> None:
    other = replace(TARGET, cores=64)
    race.store.add_target(other.fingerprint, "other", "nobody", other.spec())
    here = race.key
    there = replace(here, target=other.fingerprint)
    race.store.invite(race.release, race.uninvited, EARLY, here.target)
    race.store.invite(race.release, race.uninvited, LATE, there.target)
    for now, wanted in ((EARLY - 1, (False, False)), (EARLY, (True, False)), (LATE, (True, True))):
        viewer = Viewer(now, race.uninvited.id)
        assert tuple(race.store.takes(viewer, race.release.id, key) for key in (here, there)) == wanted
        assert bool(race.store.release(viewer, "v5")) == any(wanted)


def test_a_release_takes_its_own_workloads_and_the_public_takes_public_ones(race: Race) -> None:
    takes, id = race.store.takes, race.release.id
    stray = replace(race.key, workload=digest("w", "stray"))
    race.store.add_workload(stray.workload, "linear", "stray", {}, "stray", 1, 1)
    in_, out = Viewer(LATE, race.late.id), Viewer(LATE, race.uninvited.id)
    assert takes(in_, id, race.key)
    assert takes(in_, id, race.shared)
    assert not takes(in_, id, stray)
    for viewer in (in_, out):
        # Not even who knows of a hidden workload can make it known.
        assert not takes(viewer, PUBLIC, race.key)
        assert takes(viewer, PUBLIC, race.shared)
        assert takes(viewer, PUBLIC, stray)
    for release in (id, "r0", ""):
        assert not takes(out, release, race.key)
        assert not takes(out, release, race.shared)
    assert takes(Viewer(LAUNCH, race.uninvited.id), PUBLIC, race.key)
    assert takes(Viewer(LAUNCH, race.uninvited.id), id, race.key)


def test_names_of_others_cannot_be_probed(race: Race) -> None:
    rival = race.store.add_account("rival", "publisher", START)
    model, _ = hidden_model(race.store, race.shared)
    mine = race.store.add_release("v5", rival, LAUNCH, Rules(), [model], START)
    assert race.store.release(Viewer(START, rival.id), "v5") == mine
    assert race.store.release(Viewer(START, race.lab.id), "v5") == race.release
    assert race.store.release(Viewer(START, rival.id), race.release.id) is None
    with pytest.raises(InputError, match="there is a release 'v5' already"):
        race.store.add_release("v5", rival, LAUNCH, Rules(), [{**model, "name": "another"}], START)
    # To whom both are open, neither can pass for the other.
    with pytest.raises(InputError, match=f"2 releases are called 'v5'.*{mine.id}"):
        race.store.release(Viewer(LAUNCH), "v5")
    assert race.store.release(Viewer(LAUNCH), mine.id) == mine


def test_a_release_named_like_the_id_of_another(race: Race) -> None:
    rival = race.store.add_account("rival", "publisher", START)
    model, _ = hidden_model(race.store, race.shared)
    race.store.add_release(race.release.id, rival, START + 1, Rules(), [model], START)
    assert race.store.release(Viewer(LAUNCH), race.release.id) == race.release


def test_what_cannot_be_a_release(race: Race) -> None:
    store = race.store
    model, _ = hidden_model(store, race.shared)
    model["name"] = "another"
    public = store.model("open")

    def refused(why: str, **fields: object) -> None:
        given = {"name": "v6", "publisher": race.lab, "launch": LAUNCH, "rules": Rules(), "models": [model]}
        before = list(store.connection.iterdump())
        with pytest.raises(InputError, match=why):
            store.add_release(**{**given, **fields}, now=START)  # type: ignore[arg-type]
        assert list(store.connection.iterdump()) == before

    refused("cannot be a name", name="V 6")
    refused("cannot be called 'public'", name="public")
    refused("early is a vendor", publisher=race.early)
    for launch in (START, float("nan"), float("inf")):
        refused("in the future", launch=launch)
    for seconds in (-1.0, float("nan"), float("inf")):
        refused("deadline", rules=Rules(withdraw_s=seconds))
        refused("deadline", rules=Rules(object_s=seconds))
    refused("at least one model", models=[])
    refused("'open' is public", models=[model, public])


def test_invitations(race: Race) -> None:
    assert race.store.openings(Viewer(START, race.lab.id), race.release.id) == [
        {"name": name, "role": role, "target": "", "opens": opens}
        for name, role, opens in (
            ("early", "vendor", EARLY),
            ("referee", "referee", EARLY),
            ("second", "referee", EARLY),
            ("late", "vendor", LATE),
        )
    ]
    for account in (race.early, race.referee, race.uninvited):
        assert race.store.openings(Viewer(LAUNCH, account.id), race.release.id) == []
    assert race.store.openings(Viewer(LAUNCH), race.release.id) == []
    with pytest.raises(InputError, match="lab is a publisher"):
        race.store.invite(race.release, race.lab, EARLY)
    with pytest.raises(InputError, match="no target c0"):
        race.store.invite(race.release, race.early, EARLY, "c0")
    for opens in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="is a time"):
            race.store.invite(race.release, race.early, opens)


def known(race: Race, now: float) -> tuple[set[str], set[str]]:
    """Names of models and labels of workloads that anybody may know of."""
    values = Viewer(now).values
    models = race.store.rows(f"SELECT name FROM model WHERE {public_model('model.id')}", values)
    workloads = race.store.rows(f"SELECT label FROM workload WHERE {public_workload('workload.id')}", values)
    return {row["name"] for row in models}, {row["label"] for row in workloads}


def test_what_is_public_stays_so(race: Race) -> None:
    store = race.store
    plain = {"open"}, {"16x0x64 fp32"}
    assert known(race, LAUNCH - 1) == plain
    assert known(race, LAUNCH) == ({"open", "secret"}, {"16x0x64 fp32", "secret 0", "secret 1"})
    # A workload of no model that people have seen, and that a later release has as well.
    stray = replace(race.key, workload=digest("w", "stray"))
    store.add_workload(stray.workload, "linear", "stray", {}, "stray", 1, 1)
    add(store, stray)
    before = known(race, START)
    model, _ = hidden_model(store, stray)
    store.add_release("v6", race.lab, LAUNCH + DAY, Rules(), [{**model, "name": "more"}], START)
    assert known(race, START) == before == (plain[0], plain[1] | {"stray"})


def test_publishing_a_model_opens_it(race: Race) -> None:
    store = race.store
    store.publish(store.model("secret")["id"])
    assert known(race, START)[0] == {"open", "secret"}
    assert store.release(Viewer(START), "v5") is None
    with pytest.raises(InputError, match="no model m0"):
        store.publish("m0")


def test_the_public_is_no_release(race: Race) -> None:
    assert race.store.release(Viewer(START), PUBLIC) is None
