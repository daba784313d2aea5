"""Who leads, how far a claim is trusted, and who may see what of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import InputError
from tests.tuning_db.example import TARGET, trial
from tests.tuning_db.race import DAY, EARLY, LATE, LAUNCH, START, Race, hold, viewers
from tuning_db.check import check
from tuning_db.claim import Claim, Outcome, Tier, Verdict, beats, disputed, judged
from tuning_db.records import Status
from tuning_db.releases import Rules
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer

REPLAYED, REPRODUCED, REFUSED = Outcome.REPLAYED, Outcome.REPRODUCED, Outcome.REFUSED


def test_a_claim_comes_out_as_it_went_in(race: Race) -> None:
    made = race.submit(race.early, at=EARLY)
    claim = race.store.claim(Viewer(EARLY, race.early.id), made)
    assert claim == Claim(race.store.trial(made), race.release.id, race.early.id, "b0", EARLY)


def test_noise_decides_nothing(race: Race) -> None:
    one, two = (replace(trial(race.key, 0, seconds), spread=0.1) for seconds in (1.0, 0.9))
    assert not beats(two, one)
    assert beats(replace(two, spread=0.0), replace(one, spread=0.1))
    assert not beats(one, one)
    first = race.submit(race.early, 1.0, noise=0.1)
    race.submit(race.late, 0.9, noise=0.1)
    assert race.leads()[""] == first
    better = race.submit(race.late, 0.89, noise=0.1)
    assert race.leads() == {"": better, race.early.id: first, race.late.id: race.leads()[race.late.id]}


def test_a_lower_tier_never_leads_and_a_higher_one_does(race: Race) -> None:
    slow = race.submit(race.early, 2.0)
    fast = race.submit(race.late, 1.0)
    assert race.leads()[""] == fast
    race.say(race.referee, slow, REPLAYED)
    assert race.leads()[""] == slow
    race.say(race.referee, fast, REPLAYED)
    assert race.leads()[""] == fast
    race.say(race.referee, slow, REPRODUCED)
    assert race.leads()[""] == slow
    faster = race.submit(race.late, 0.1)
    assert race.leads() == {"": slow, race.early.id: slow, race.late.id: fast}
    race.say(race.referee, faster, REPRODUCED)
    assert race.leads() == {"": faster, race.early.id: slow, race.late.id: faster}
    assert race.store.claim(Viewer(LATE, race.late.id), faster) == replace(
        Claim(race.store.trial(faster), race.release.id, race.late.id, "b0", LATE), tier=Tier.REPRODUCED
    )


def test_the_order_is_that_of_arrival_whatever_clocks_and_ids_say(race: Race) -> None:
    first = race.submit(race.early, 1.0, at=LATE + 5)
    race.submit(race.late, 1.0, at=LATE)
    assert race.leads()[""] == first
    # Leading anew after a verdict changes nothing of that.
    race.say(race.referee, first, Outcome.UNJUDGED, at=LATE + 6)
    assert race.leads()[""] == first
    assert check(race.store) == []


def test_failed_trials_are_kept_and_never_lead(race: Race) -> None:
    store = race.store
    failed = race.submit(race.early, None)
    assert race.leads() == {}
    below = replace(trial(race.key, 0, 1e-9), status=Status.BELOW_FLOOR, error="faster than the chip")
    store.add_claim(Claim(below, race.release.id, race.early.id, "b0", LATE))
    assert race.leads() == {}
    for made in (failed, below.id):
        race.say(race.referee, made, REPRODUCED)
    assert race.leads() == {}
    assert store.best(Viewer(LATE, race.early.id), race.key) is None


def test_refusal_after_reproduction_and_second_thoughts(race: Race) -> None:
    second = race.submit(race.early, 2.0)
    first = race.submit(race.late, 1.0)
    race.say(race.referee, second, REPRODUCED)
    race.say(race.referee, first, REPRODUCED)
    refused = race.say(race.referee, first, REFUSED, reason="stale output")
    assert (refused.tier, refused.state, refused.reason) == (Tier.CLAIMED, "refused", "stale output")
    assert race.leads() == {"": second, race.early.id: second}
    assert race.store.verdicts(Viewer(LATE, race.late.id), first)[-1].reason == "stale output"
    # The same moment, and the last word is still the one that was added last.
    race.say(race.referee, first, REPRODUCED)
    assert race.leads()[""] == first
    assert len(race.store.verdicts(Viewer(LATE, race.late.id), first)) == 3


def test_referees_that_disagree_are_shown(race: Race) -> None:
    made = race.submit(race.early)
    race.say(race.referee, made, REPRODUCED)
    assert race.say(race.second, made, REFUSED, reason="wrong for zeros").state == "refused"
    assert race.leads() == {}
    said = race.store.verdicts(Viewer(LATE, race.early.id), made)
    assert [(verdict.judge, verdict.outcome) for verdict in said] == [
        (race.referee.id, REPRODUCED),
        (race.second.id, REFUSED),
    ]
    assert disputed(said)
    race.say(race.second, made, REPLAYED)
    said = race.store.verdicts(Viewer(LATE, race.early.id), made)
    assert not disputed(said)
    assert judged(said) == (Tier.REPRODUCED, "standing", "")
    assert race.leads()[""] == made


def test_the_reason_is_the_latest_of_those_that_stand() -> None:
    said = [
        Verdict("t", judge, outcome, n, reason)
        for n, (judge, outcome, reason) in enumerate(
            [("a", REFUSED, "old"), ("b", REFUSED, "middle"), ("a", REFUSED, "new"), ("c", REPLAYED, "")]
        )
    ]
    assert judged(said) == (Tier.CLAIMED, "refused", "new")
    assert judged([]) == (Tier.CLAIMED, "standing", "")
    assert judged([Verdict("t", "a", Outcome.UNJUDGED, 0)]) == judged([])


def test_withdrawal(race: Race) -> None:
    second = race.submit(race.late, 2.0)
    made = race.submit(race.early, 1.0)
    race.say(race.referee, made, REPRODUCED)
    gone = race.say(race.early, made, Outcome.WITHDRAWN, at=LATE + 7 * DAY, reason="a mistake")
    assert (gone.state, gone.reason) == ("withdrawn", "a mistake")
    assert race.leads() == {"": second, race.late.id: second}
    # For good.
    assert race.say(race.second, made, REPRODUCED).state == "withdrawn"
    assert race.store.trial(made).median == 1.0
    with pytest.raises(InputError, match="can no longer be withdrawn"):
        race.say(race.late, second, Outcome.WITHDRAWN, at=LATE + 7 * DAY + 1)
    with pytest.raises(InputError, match="another vendor's"):
        race.say(race.referee, second, Outcome.WITHDRAWN)


def test_objections_end(race: Race) -> None:
    made = race.submit(race.early)
    late = race.submit(race.late, at=LAUNCH + 10 * DAY)
    public = race.submit(race.early, at=LAUNCH, key=race.shared, release=PUBLIC)
    over = LAUNCH + 14 * DAY
    with pytest.raises(InputError, match="time to object"):
        race.say(race.referee, made, REFUSED, at=over + 1)
    assert race.say(race.referee, made, REPRODUCED, at=over + 1).tier is Tier.REPRODUCED
    assert race.say(race.referee, made, REFUSED, at=over).state == "refused"
    assert race.say(race.referee, late, REFUSED, at=over + 9 * DAY).state == "refused"
    # What is public is open to objections for ever.
    assert race.say(race.referee, public, REFUSED, at=over + 1000 * DAY).state == "refused"


def test_rules_without_deadlines(store: Store) -> None:
    race = hold(store, Rules(withdraw_s=None, object_s=None))
    assert race.release.rules == store.releases(Viewer(LAUNCH))[0].rules == Rules(True, None, None)
    one, two = race.submit(race.early), race.submit(race.early)
    assert race.say(race.early, one, Outcome.WITHDRAWN, at=LAUNCH + 999 * DAY).state == "withdrawn"
    assert race.say(race.referee, two, REFUSED, at=LAUNCH + 999 * DAY).state == "refused"


def test_who_may_judge(race: Race) -> None:
    made = race.submit(race.early)
    before = list(race.store.connection.iterdump())

    def refused(judge: Any, why: str, outcome: Outcome = REPRODUCED, **fields: Any) -> None:
        with pytest.raises(InputError, match=why):
            race.say(judge, made, outcome, **fields)
        assert list(race.store.connection.iterdump()) == before

    # Those who cannot know of it hear what they would hear if there were none.
    for account in (race.lab, race.late, race.uninvited):
        for outcome in (REPRODUCED, REFUSED, Outcome.WITHDRAWN):
            refused(account, f"^no claim {made}$", outcome)
    with pytest.raises(InputError, match=r"^no claim t0$"):
        race.say(race.referee, "t0", REPRODUCED)
    refused(race.referee, "^no claim", at=EARLY - 1)
    refused(race.early, "only referees")
    refused(race.uninvited, "only referees", at=LAUNCH)
    refused(race.uninvited, "another vendor's", Outcome.WITHDRAWN, at=LAUNCH)
    refused(race.referee, "says why", REFUSED, reason=" ")


def test_what_is_not_taken(race: Race) -> None:
    store = race.store
    before = list(store.connection.iterdump())
    fresh = Claim(trial(race.key), race.release.id, race.early.id, "b0", EARLY)

    def refused(why: str, kind: type[Exception] = InputError, **fields: Any) -> str:
        with pytest.raises(kind, match=why) as failure:
            store.add_claim(replace(fresh, **fields))
        assert list(store.connection.iterdump()) == before
        return str(failure.value)

    # Not open, or not there: the same words.
    closed = refused("^no release", received=EARLY - 1)
    missing = refused("^no release", release="r" + "0" * 24)
    assert closed.replace(race.release.id, "") == missing.replace("r" + "0" * 24, "")
    refused("^no release", vendor=race.uninvited.id)
    refused("^no release public", release=PUBLIC)
    for account in (race.lab, race.referee):
        refused("not a vendor", vendor=account.id)
    refused("not a vendor", vendor="a0")
    refused("begins unjudged", ValueError, tier=Tier.REPRODUCED)
    refused("begins unjudged", ValueError, state="withdrawn")
    refused("median", ValueError, trial=replace(fresh.trial, median=5.0))
    refused("FOREIGN KEY", ValueError, trial=replace(fresh.trial, schedule="s0"))


def test_what_is_sealed_is_its_vendors_and_the_referees(race: Race) -> None:
    store = race.store
    mine, theirs = race.submit(race.early, 2.0), race.submit(race.late, 1.0)
    wanted = {"early": {mine}, "late": {theirs}, "referee": {mine, theirs}, "second": {mine, theirs}}
    for now in (LATE, LAUNCH - 1):
        for name, viewer in viewers(race, now).items():
            own = wanted.get(name, set())
            assert {made for made in (mine, theirs) if store.claim(viewer, made)} == own, name
            best = store.best(viewer, race.key)
            assert (best.trial.id if best else None) == {"early": mine}.get(name, theirs if own else None)
    for viewer in viewers(race, LAUNCH).values():
        best = store.best(viewer, race.key)
        assert best and best.trial.id == theirs
        assert store.claim(viewer, mine)
    assert store.claim(Viewer(LAUNCH), "t0") is None
    # The referee's window is by the clock too.
    assert store.best(Viewer(EARLY - 1, race.referee.id), race.key) is None
    assert store.verdicts(Viewer(LATE, race.late.id), mine) == []


def test_who_leads_tells_a_vendor_nothing_of_rivals(race: Race) -> None:
    """A vendor's claim leads of all and is not its own best: only what follows from its own claims is shown."""
    race.submit(race.late, 1.0, noise=0.04)
    own = race.submit(race.early, 0.99, noise=0.04)
    leads = race.submit(race.early, 0.955, noise=0.04)
    assert race.leads() == {"": leads, race.early.id: own, race.late.id: race.leads()[race.late.id]}
    best = race.store.best(Viewer(LATE, race.early.id), race.key)
    assert best and best.trial.id == own
    best = race.store.best(Viewer(LAUNCH, race.early.id), race.key)
    assert best and best.trial.id == leads


def test_a_shared_workload_is_seen_through_the_public_only(race: Race) -> None:
    public = race.submit(race.late, 2.0, key=race.shared, release=PUBLIC)
    hidden = race.submit(race.late, 1.0, key=race.shared)
    for name, viewer in viewers(race, LATE).items():
        best = race.store.best(viewer, race.shared)
        assert best and best.trial.id == (hidden if name in ("late", "referee", "second") else public), name
        assert [row["median"] for row in race.store.standings(viewer, PUBLIC)] == [2.0]
    best = race.store.best(Viewer(LAUNCH), race.shared)
    assert best and best.trial.id == hidden


@pytest.mark.parametrize("sealed", [True, False])
def test_ranks_and_times(store: Store, sealed: bool) -> None:
    race = hold(store, Rules(sealed=sealed))
    race.submit(race.early, 2.0)
    race.submit(race.late, 1.0, at=LATE)
    race.say(race.referee, race.submit(race.early, 3.0), REPLAYED)
    both = [(race.early.id, "replayed", 3.0), (race.late.id, "claimed", 1.0)]
    wanted = {"lab": both, "referee": both, "second": both}
    wanted |= {"early": both[:1], "late": both[1:]} if sealed else {"early": both, "late": both}
    for name, viewer in viewers(race, LATE).items():
        rows = store.standings(viewer, race.release.id)
        assert [(row["vendor"], row["tier"], row["median"]) for row in rows] == wanted.get(name, []), name
        columns = {"workload", "target", "toolchain", "policy", "vendor", "tier", "median", "spread"}
        assert all(set(row) == columns for row in rows)
    assert len(store.standings(Viewer(LAUNCH), race.release.id)) == 2


def test_ranks_and_times_of_other_targets_stay_shut(store: Store) -> None:
    race = hold(store, Rules(sealed=False))
    race.submit(race.early)
    other = replace(TARGET, cores=64)
    store.add_target(other.fingerprint, "other", "nobody", other.spec())
    store.invite(race.release, race.uninvited, START, other.fingerprint)
    assert store.standings(Viewer(LATE, race.uninvited.id), race.release.id) == []
    assert store.pending(Viewer(LATE, race.uninvited.id), TARGET.fingerprint, 9) == []


def test_a_list_has_every_claim_that_may_be_seen_the_latest_first(race: Race) -> None:
    store = race.store
    made = [race.submit(race.early, at=EARLY + knob, knob=knob) for knob in range(3)]
    made.append(race.submit(race.uninvited, at=EARLY + 9, key=race.shared, knob=3, release=PUBLIC))
    # Of one moment: as they came in.
    made += [race.submit(who, at=LATE, knob=knob) for knob, who in enumerate((race.late, race.early, race.late), 4)]
    # What is one's own is so whatever becomes of the invitation.
    store.invite(race.release, race.late, LAUNCH + DAY)
    seen = 0
    for now in (START, LATE + 1, LAUNCH):
        for viewer in viewers(race, now).values():
            whole = [claim.trial.id for claim in store.visible(viewer)]
            assert whole == [one for one in made[::-1] if store.claim(viewer, one)]
            for at, one in enumerate(whole, 1):
                page = store.visible(viewer, after=one, most=2)
                assert [claim.trial.id for claim in page] == whole[at : at + 2]
            of_late = [claim.trial.id for claim in store.visible(viewer, race.release.id, "late")]
            assert of_late == [one for one in whole if store.trial(one).author == "late"]
            seen += len(whole)
    assert seen > 60
    assert store.visible(Viewer(LAUNCH), vendor="nobody") == store.visible(Viewer(LAUNCH), after="t0") == []


def test_a_list_takes_no_step_more_for_what_is_hidden(race: Race) -> None:
    race.submit(race.late, knob=1)
    race.submit(race.early, knob=2)

    lists: tuple[dict[str, str], ...] = ({}, {"release": race.release.id}, {"vendor": "early"})

    def steps() -> list[int]:
        """Of SQLite's machine, for each list and each viewer who may not see what is claimed meanwhile."""
        found = []
        for name, viewer in viewers(race, LATE + 2).items():
            for which in lists if name in ("anybody", "lab", "late", "uninvited") else ():
                taken: list[int] = []
                race.store.connection.set_progress_handler(lambda taken=taken: taken.append(1), 1)
                shown = race.store.visible(viewer, **which)  # type: ignore[arg-type]
                race.store.connection.set_progress_handler(None, 0)
                assert len(shown) == (name == "late" and "vendor" not in which)
                found.append(len(taken))
        return found

    before = steps()
    for knob in range(3, 40):
        race.submit(race.early, at=LATE + 1, knob=knob)
    assert steps() == before


def test_what_a_referee_has_yet_to_judge(race: Race) -> None:
    store = race.store

    def pending(name: str, now: float = LATE, limit: int = 9) -> list[str]:
        found = store.pending(viewers(race, now)[name], TARGET.fingerprint, limit)
        return [claim.trial.id for claim in found]

    first, second, gone = (race.submit(race.early, at=EARLY + n) for n in range(3))
    race.submit(race.early, None)
    race.say(race.early, gone, Outcome.WITHDRAWN, at=EARLY + 9)
    assert pending("referee") == [first, second]
    assert pending("referee", limit=1) == [first]
    race.say(race.referee, first, Outcome.UNJUDGED)
    assert pending("referee") == [second]
    assert pending("second") == [first, second]
    race.say(race.second, second, REFUSED)
    assert pending("referee") == []
    assert store.pending(Viewer(LATE, race.second.id), "c0", 9) == []
    assert pending("referee", EARLY - 1) == []
    for name in ("early", "late", "lab", "uninvited", "anybody"):
        assert pending(name) == pending(name, LAUNCH) == [], name


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("claim"),
            st.sampled_from(["early", "late"]),
            st.sampled_from([None, 1.0, 1.05, 1.1, 2.0]),
            st.sampled_from([0.0, 0.1]),
            st.sampled_from(["release", "public"]),
        ),
        st.tuples(
            st.just("verdict"),
            st.sampled_from(["referee", "second", "owner"]),
            st.integers(0, 7),
            st.sampled_from([REPLAYED, REPRODUCED, Outcome.UNJUDGED, REFUSED]),
        ),
    ),
    max_size=12,
)


def brute(rows: list[tuple[str, float | None, float, int, str]]) -> dict[str, str]:
    """Leaders of claims in order: vendor, median, spread, rank of tier (-1 where it does not stand) and id."""
    wanted: dict[str, str] = {}
    for whose in {"", *(row[0] for row in rows)}:
        able = [row for row in rows if whose in ("", row[0]) and row[3] >= 0 and row[1] is not None]
        top = [row for row in able if row[3] == max(row[3] for row in able)]
        for one in top:
            ahead = next((row for row in top if row[4] == wanted.get(whose)), None)
            if ahead is None or (one[1] or 0) + (one[2] + ahead[2]) / 2 < (ahead[1] or 0):
                wanted[whose] = one[4]
    return wanted


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, moment=st.sampled_from([START, EARLY - 1, EARLY, LATE, LAUNCH - 1, LAUNCH]))
def test_any_sequence(steps: list[tuple[Any, ...]], moment: float) -> None:
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "x.db") as store:
        store.execute("PRAGMA synchronous = OFF")
        race = hold(store)
        made: list[tuple[str, str, str, float | None, float]] = []
        words: dict[str, dict[str, Outcome]] = {}
        for kind, *rest in steps:
            if kind == "claim":
                who, seconds, noise, release = rest
                where = race.release.id if release == "release" else PUBLIC
                spread = None if seconds is None else noise
                id = race.submit(getattr(race, who), seconds, LATE, race.shared, release=where, noise=spread)
                made.append((id, who, where, seconds, noise))
            elif made:
                judge, number, outcome = rest
                id, who, *_ = made[number % len(made)]
                if judge == "owner":
                    judge, outcome = who, Outcome.WITHDRAWN
                race.say(getattr(race, judge), id, outcome)
                words.setdefault(id, {})[judge] = outcome
        ranks = {REPLAYED: 1, REPRODUCED: 2}

        def rank(id: str) -> int:
            said = set(words.get(id, {}).values())
            return -1 if said & {REFUSED, Outcome.WITHDRAWN} else max([0, *(ranks.get(one, 0) for one in said)])

        for release in (race.release.id, PUBLIC):
            rows = [(getattr(race, who).id, s, n, rank(id), id) for id, who, where, s, n in made if where == release]
            table = store.rows("SELECT vendor, trial FROM lead WHERE release = ?", (release,))
            assert {row["vendor"]: row["trial"] for row in table} == (brute(rows) if rows else {})
        assert check(store) == []
        nothing_hidden(race, moment, made)


def nothing_hidden(race: Race, moment: float, made: list[tuple[str, str, str, float | None, float]]) -> None:
    """Whatever anybody is given at a moment is theirs to see, told without the predicates."""
    store = race.store
    for name, viewer in viewers(race, moment).items():
        opens = {"early": EARLY, "referee": EARLY, "second": EARLY, "late": LATE}.get(name, LAUNCH)
        judge = name in ("referee", "second")
        mine = {
            id
            for id, who, where, *_ in made
            if where == PUBLIC or moment >= LAUNCH or who == name or (judge and moment >= opens)
        }
        assert {id for id, *_ in made if store.claim(viewer, id)} == mine
        assert all(bool(store.verdicts(viewer, id)) <= (id in mine) for id, *_ in made)
        best = store.best(viewer, race.shared)
        assert best is None or best.trial.id in mine
        waiting = {claim.trial.id for claim in store.pending(viewer, race.shared.target, 99)}
        assert waiting <= (mine if judge else set())
        vendors = {row["vendor"] for row in store.standings(viewer, race.release.id)}
        allowed = {getattr(race, who).id for id, who, *_ in made if id in mine or name == "lab"}
        assert vendors <= allowed


def test_the_schema_holds_it_too(race: Race) -> None:
    store = race.store
    made = race.submit(race.early, 1.0)
    failed = race.submit(race.early, None)
    insert = (
        "INSERT INTO lead SELECT workload, target, toolchain, policy, release, {}, '{}', vendor, tier, 1.0, 0.2"
        " FROM claim LIMIT 1"
    )
    harm: dict[str, str] = {
        "UPDATE claim SET vendor = 'x'": "append-only",
        "UPDATE claim SET received = 0": "append-only",
        "DELETE FROM claim": "append-only",
        f"UPDATE lead SET trial = '{failed}'": "a leader is",
        insert.format("'x'", made): "a leader is",
        "UPDATE lead SET policy = 'p0'": "a leader is",
        "UPDATE lead SET median = 0.5": "a leader is",
        "UPDATE lead_history SET since = 0": "append-only",
        "DELETE FROM lead_history": "append-only",
    }
    race.say(race.referee, made, REPLAYED)
    harm |= {"UPDATE verdict SET reason = 'x'": "append-only", "DELETE FROM verdict": "append-only"}
    harm["INSERT INTO claim SELECT * FROM claim"] = "UNIQUE"
    before = list(store.connection.iterdump())
    attempt: Callable[[str], None] = store.execute
    for sql, why in harm.items():
        with pytest.raises(Exception, match=why):
            attempt(sql)
        assert list(store.connection.iterdump()) == before
