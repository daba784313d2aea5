"""The board against a slow, obvious one; who sees what of it; and what it says of the past."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.errors import InputError
from targets.target import Peaks
from tests.tuning_db.board_race import KNOWN, LAUNCH, OPENS, OWN, VENDORS, Course, expected, hold
from tuning_db.board import board, headstart, readiness, timeline
from tuning_db.board.answers import reader
from tuning_db.board.records import Board, HeadStart, Readiness, Timeline
from tuning_db.check import check
from tuning_db.claim import Outcome
from tuning_db.releases import DAY
from tuning_db.store import Store
from tuning_db.windows import PUBLIC, Viewer

REPLAYED, REPRODUCED, REFUSED = Outcome.REPLAYED, Outcome.REPRODUCED, Outcome.REFUSED


@pytest.fixture
def course(store: Store) -> Course:
    return hold(store)


def whole(course: Course, vendor: str, seconds: float, tier: Outcome | None = None, **where: int) -> list[str]:
    """Claims for every operator."""
    made = [course.claim(vendor, op, seconds, **where) for op in range(4)]
    for one in made if tier else ():
        course.say("judge", one, tier)
    return made


def plain(found: Board | None) -> dict[tuple[str, str], list[Any]]:
    """What ``expected`` says, of a board."""
    assert found
    tables = {}
    for one in found.tables:
        rows = []
        for entry in one.entries:
            ranks = {"claimed": 0, "replayed": -1, "reproduced": -2}
            if entry.step_s is not None:
                assert entry.step_s == entry.covered_s
                rows.append((0, ranks[str(entry.tier)], entry.step_s, entry.vendor, entry.toolchain))
            else:
                share = entry.work if one.chip.peaks == "catalogue" else entry.calls
                assert share is not None
                rows.append((1, -share, ranks[str(entry.tier)], entry.covered_s, entry.vendor, entry.toolchain))
        tables[one.chip.fingerprint, one.setup.policy] = rows
    return tables


CLAIM = st.tuples(
    st.just("claim"),
    st.sampled_from(VENDORS),
    st.integers(0, 3),
    st.sampled_from([1e-3, 1.05e-3, 2e-3]),
    st.sampled_from([0.0, 1e-4]),
    st.tuples(*[st.integers(0, 1)] * 3),
)
VERDICT = st.tuples(
    st.just("verdict"),
    st.sampled_from(["judge", "second", "owner"]),
    st.integers(0, 30),
    st.sampled_from([REPLAYED, REPRODUCED, Outcome.UNJUDGED, REFUSED]),
)
STEPS = st.lists(st.tuples(st.sampled_from([0.0, 3600.0]), st.one_of(CLAIM, CLAIM, VERDICT)), max_size=30)


def apply(course: Course, step: tuple[Any, ...]) -> str:
    """Let something happen; whose claim it was about."""
    if step[0] == "claim":
        _, vendor, op, seconds, noise, (chip, toolchain, policy) = step
        course.claim(vendor, op, seconds, noise, chip=chip, toolchain=toolchain, policy=policy)
        return str(vendor)
    _, judge, number, outcome = step
    if not course.claims:
        return ""
    row = course.claims[number % len(course.claims)]
    own = judge == "owner"
    course.say(row["vendor"] if own else judge, row["id"], Outcome.WITHDRAWN if own else outcome)
    return str(row["vendor"])


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, sealed=st.booleans())
def test_any_race(steps: list[Any], sealed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "x.db") as store:
        store.execute("PRAGMA synchronous = OFF")
        course = hold(store, sealed)
        for later, step in steps:
            course.now += later
            before = course.everything(course.viewer("acme"))
            whose = apply(course, step)
            if sealed and whose != "acme":
                # The clock is in it, and nothing else moves.
                assert course.everything(course.viewer("acme")) == before
        assert check(store) == []
        for name, sees in (("lab", VENDORS), ("judge", VENDORS), ("acme", ("acme",) if sealed else VENDORS)):
            assert plain(board(store, course.viewer(name), "v5")) == expected(course, course.now, sees)
        everybody = Viewer(LAUNCH)
        moments = sorted({course.now, *(row["at"] for row in course.claims), *(said[0] for said in course.said)})
        course_of = timeline(store, everybody, "v5", at=course.now)
        assert course_of
        for at in (OPENS - 1, *moments):
            then = board(store, everybody, "v5", at)
            assert plain(then) == expected(course, at)
            # The timeline says of each moment what the board says.
            assert then
            for table in then.tables:
                (one,) = (c for c in course_of.courses if (c.chip, c.setup) == (table.chip, table.setup))
                last = {vendor: [p for p in own if p.at <= at][-1:] for vendor, own in one.series.items()}
                told = [points[0].entry for points in last.values() if points and points[0].entry.covered]
                plainly = [replace(entry, disputed=0) for entry in table.entries]
                assert sorted(told, key=str) == sorted(plainly, key=str)
                (leader,) = [head for head in one.leaders if head.at <= at][-1:]
                assert (leader.vendor, leader.step_s) == (plainly[0].vendor, plainly[0].step_s)
        now, then = board(store, everybody, "v5"), board(store, everybody, "v5", course.now)
        assert now
        assert then == replace(now, release=replace(now.release, at=course.now))


def test_missing_operators_never_flatter(course: Course) -> None:
    whole(course, "acme", 9e-3)
    for op in range(3):
        course.claim("brick", op, 1e-6)
    course.claim("crane", 3, 1e-6)
    (table,) = board(course.store, course.viewer("lab"), "v5").tables  # type: ignore[union-attr]
    assert [entry.vendor for entry in table.entries] == ["acme", "brick", "crane"]
    assert [entry.step_s is None for entry in table.entries] == [False, True, True]
    # The last operator comes, however slow.
    course.claim("brick", 3, 1e-2)
    (table,) = board(course.store, course.viewer("lab"), "v5").tables  # type: ignore[union-attr]
    assert table.entries[0].vendor == "brick"
    # What is not trusted as far ranks below.
    for row in course.claims[:4]:
        course.say("judge", row["id"], REPLAYED)
    (table,) = board(course.store, course.viewer("lab"), "v5").tables  # type: ignore[union-attr]
    assert [(entry.vendor, entry.tier) for entry in table.entries][:2] == [("acme", "replayed"), ("brick", "claimed")]


def test_figures_of_a_step(course: Course) -> None:
    course.claim("acme", 0, 1e-3, 2e-4)
    judged = course.claim("acme", 1, 2e-3)
    course.say("judge", judged, REPRODUCED)
    found = board(course.store, course.viewer("acme"), "v5")
    assert found
    (model,), (table,) = found.models, found.tables
    assert [(op.names, op.calls) for op in model.operators][3] == (("layer.3", "layer.again"), 3)
    assert (model.outside, model.operators[0].label, found.release.launch) == (7, "op 0", LAUNCH)
    (entry,) = table.entries
    assert entry.covered_s == pytest.approx(61 * 3e-3)
    assert entry.noise_s == pytest.approx(61 * 1e-4)
    assert (entry.covered, entry.calls, entry.tier, entry.step_s) == (2, 122 / 128, "claimed", None)
    assert entry.tiers == pytest.approx({"claimed": 1 / 3, "reproduced": 2 / 3})
    assert table.floor_s
    assert entry.roofline == pytest.approx(entry.work * table.floor_s / entry.covered_s)  # type: ignore[operator]
    assert table.chip.peaks == "catalogue"


def test_the_best_toolchain_and_a_table_for_each_policy(course: Course) -> None:
    whole(course, "acme", 2e-3)
    whole(course, "acme", 1e-3, toolchain=1)
    course.claim("acme", 0, 1e-6, policy=1)
    found = board(course.store, course.viewer("acme"), "v5")
    assert found
    steps = {table.setup.cache: table.entries[0].step_s for table in found.tables}
    assert steps == {"warm": pytest.approx(0.128), "cold": None}


def test_disputes(course: Course) -> None:
    made = course.claim("acme", 0, 1e-3)
    course.claim("acme", 1, 1e-3)
    course.say("judge", made, REPRODUCED)
    course.now += 10
    course.say("second", made, REFUSED)
    ready = readiness(course.store, course.viewer("lab"), "v5")
    assert ready
    states = [(cell.state, cell.disputed) for cell in ready.chips[0].cells]
    assert states == [("disputed", True), ("claimed", False), ("nothing", False), ("nothing", False)]
    found = board(course.store, course.viewer("acme"), "v5")
    assert found
    assert found.tables[0].entries[0].disputed == 1
    assert board(course.store, course.viewer("acme"), "v5", course.now - 5).tables[0].entries[0].disputed == 0  # type: ignore[union-attr]
    assert check(course.store) == []


def test_readiness(course: Course) -> None:
    store, lab = course.store, course.viewer("lab")
    assert readiness(store, lab, "v5").chips == ()  # type: ignore[union-attr]
    for op in range(3):
        course.say("judge", course.claim("acme", op, 1e-3), REPLAYED)
    course.claim("brick", 3, 1e-3)
    course.claim("brick", 0, 1e-6)
    found = readiness(store, lab, "v5")
    assert found
    (one,) = found.chips
    assert [(cell.state, cell.vendor) for cell in one.cells] == [("replayed", "acme")] * 3 + [("claimed", "brick")]
    assert one.best
    assert one.best.step_s == pytest.approx(0.128)
    assert one.ready_calls == 125 / 128
    assert one.ready_work
    assert one.projected_s == pytest.approx(0.125 / one.ready_work)
    assert one.cells[0].roofline
    # A vendor's own, where the others are hidden.
    (own,) = readiness(store, course.viewer("brick"), "v5").chips  # type: ignore[union-attr]
    assert [cell.seconds for cell in own.cells] == [1e-6, None, None, 1e-3]
    assert (own.ready_work, own.projected_s) == (0, None)
    # The day before.
    assert readiness(store, Viewer(LAUNCH), "v5", OPENS - 1).chips == ()  # type: ignore[union-attr]


def test_chips_without_claims(course: Course) -> None:
    store = course.store
    store.invite(course.release, course.people["acme"], OPENS + 99, KNOWN.fingerprint)

    def shown(name: str) -> list[str]:
        found = readiness(store, course.viewer(name), "v5")
        return [one.chip.name for one in found.chips] if found else []

    assert (shown("lab"), shown("acme"), shown("brick"), shown("judge")) == (["zen4"], [], [], [])
    course.now = OPENS + 99
    assert (shown("acme"), shown("brick")) == (["zen4"], [])
    assert readiness(store, Viewer(LAUNCH), "v5").chips == ()  # type: ignore[union-attr]


def test_peaks_that_vendors_declare(course: Course) -> None:
    """The lowest floor of those that the viewer may know of counts, and nobody passes for a chip of the catalogue."""
    course.claim("acme", 0, 1e-3, chip=1)
    (one,) = board(course.store, course.viewer("acme"), "v5").tables  # type: ignore[union-attr]
    before = one.entries[0].roofline
    assert (one.chip.name, one.chip.peaks) == ("own", "declared")
    assert before
    boast = replace(OWN, name="zen4", peaks=Peaks({"float32": 1e12}, 1e11, 0.0))
    course.store.declare(course.release.id, course.people["brick"].id, boast)
    course.claim("brick", 0, 1e-3, chip=1)
    (same,) = board(course.store, course.viewer("acme"), "v5").tables  # type: ignore[union-attr]
    assert same == one
    (two,) = board(course.store, course.viewer("brick"), "v5").tables  # type: ignore[union-attr]
    assert two.chip.name == f"zen4 ({OWN.fingerprint})"
    (both,) = board(course.store, course.viewer("lab"), "v5").tables  # type: ignore[union-attr]
    assert {entry.roofline for entry in both.entries} == {two.entries[0].roofline}
    assert (both.entries[0].roofline or 1) < before


def test_who_sees_a_board_at_all(course: Course) -> None:
    whole(course, "acme", 1e-3)
    stranger = course.store.add_account("stranger", "vendor", OPENS)
    for look in (board, readiness, timeline):
        for viewer in (
            Viewer(LAUNCH - 1),
            Viewer(LAUNCH - 1, stranger.id),
            Viewer(OPENS - 1, course.people["acme"].id),
        ):
            assert look(course.store, viewer, "v5") is None
            assert look(course.store, viewer, course.release.id) is None
        assert look(course.store, Viewer(LAUNCH), "v5")
        with pytest.raises(InputError, match="from 1970 to now"):
            look(course.store, Viewer(LAUNCH), "v5", LAUNCH + 1)


def test_hidden_work_of_every_kind_moves_no_byte(course: Course) -> None:
    store, release = course.store, course.release
    whole(course, "acme", 1e-3, REPLAYED)
    course.claim("acme", 0, 1e-3, chip=1)
    eyes = [course.viewer("acme", LAUNCH - 1), Viewer(LAUNCH - 1)]
    before = [course.everything(viewer) for viewer in eyes]
    other = store.add_account("other-lab", "publisher", OPENS)
    rival = store.add_account("rival", "vendor", OPENS)
    store.invite(release, rival, OPENS, KNOWN.fingerprint)
    hidden = [*whole(course, "brick", 1e-4, REPRODUCED), *whole(course, "brick", 1e-4, chip=1)]
    course.say("second", hidden[0], REFUSED)
    course.say("brick", hidden[1], Outcome.WITHDRAWN)
    model = {"name": "o", "source": "o", "step": {}, "ops": store.models_of(eyes[0], release.id)[0]["ops"]}
    described = [{**store.workload(w), "label": "other", "flops": 1, "bytes": 1} for w in course.workloads]
    second = store.add_release("v6", other, LAUNCH + DAY, release.rules, [model], OPENS, described)
    store.invite(second, course.people["brick"], OPENS)
    assert [course.everything(viewer) for viewer in eyes] == before
    assert before[1] == b"[]"
    # It was worth hiding.
    assert course.everything(Viewer(LAUNCH)) != before[0]


def test_an_open_race(store: Store) -> None:
    course = hold(store, sealed=False)
    whole(course, "acme", 1e-3)
    other = store.add_account("narrow", "vendor", OPENS)
    store.add_target(OWN.fingerprint, OWN.name, OWN.vendor, OWN.spec())
    store.invite(course.release, other, OPENS, OWN.fingerprint)
    assert [t.entries[0].vendor for t in board(store, course.viewer("brick"), "v5").tables] == ["acme"]  # type: ignore[union-attr]
    # Not for another chip than the one that the window is open for.
    assert board(store, Viewer(course.now, other.id), "v5").tables == ()  # type: ignore[union-attr]
    found = board(store, course.viewer("brick"), "v5", target="zen4")
    assert found
    assert found.tables
    assert board(store, course.viewer("brick"), "v5", target="h100").tables == ()  # type: ignore[union-attr]


def test_a_verdict_that_takes_a_lead_away_is_an_event(course: Course) -> None:
    slow = whole(course, "acme", 2e-3)
    course.now += 60
    fast = whole(course, "brick", 1e-3)
    course.now += 60
    course.say("judge", fast[0], REFUSED)
    course.now += 60
    for one in slow:
        course.say("judge", one, REPLAYED)
    course.now += 60
    course.say("acme", slow[2], Outcome.WITHDRAWN)
    found = timeline(course.store, Viewer(LAUNCH), "v5")
    assert found
    (one,) = found.courses
    assert [(head.at - OPENS, head.vendor, head.tier) for head in one.leaders] == [
        (0, "acme", "claimed"),
        (60, "brick", "claimed"),
        (120, "acme", "claimed"),
        (180, "acme", "replayed"),
        (240, "acme", "replayed"),
    ]
    first = [(c.at - OPENS, c.vendor, c.tier, c.judged) for c in one.changes if c.workload == course.workloads[0]]
    assert first == [
        (0, "acme", "claimed", False),
        (60, "brick", "claimed", False),
        (120, "acme", "claimed", True),
        (180, "acme", "replayed", True),
    ]
    gone = [(c.at - OPENS, c.vendor, c.judged) for c in one.changes if c.workload == course.workloads[2]]
    assert gone[-1] == (240, "brick", True)


def test_the_head_start(course: Course) -> None:
    store = course.store
    whole(course, "acme", 1e-3, REPLAYED)
    whole(course, "brick", 1.5e-3, REPLAYED)
    for op in range(3):
        course.claim("crane", op, 1e-3)
    whole(course, "crane", 2e-3, chip=1)
    with pytest.raises(InputError, match="has not launched"):
        headstart(store, course.viewer("acme"), "v5")
    assert headstart(store, Viewer(OPENS), "v5") is None
    course.now = LAUNCH + 3 * DAY
    late = whole(course, "brick", 1.001e-3)
    crane = whole(course, "crane", 0.5e-3)
    course.now = LAUNCH + 4.5 * DAY
    for one in late:
        course.say("judge", one, REPRODUCED)
    found = headstart(store, Viewer(course.now), "v5")
    assert found
    laps = sorted((lap.chip.name, lap.entry.vendor) for lap in found.laps)
    assert laps == [("own", "crane"), ("zen4", "acme"), ("zen4", "brick")]
    gaps = {(gap.early, gap.other): gap for gap in found.gaps}
    assert set(gaps) == {("acme", "brick"), ("acme", "crane"), ("brick", "acme"), ("brick", "crane")}
    assert gaps["acme", "brick"].ratio == pytest.approx(1.5)
    # 1.001 ms are not within the noise of 1 ms, which is none here.
    assert gaps["acme", "brick"].days is None
    # Faster, and not trusted as far.
    assert (gaps["acme", "crane"].ratio, gaps["acme", "crane"].days) == (None, None)
    assert (gaps["brick", "acme"].days, gaps["brick", "acme"].ratio) == (0, pytest.approx(2 / 3))
    for one in crane:
        course.say("judge", one, REPLAYED)
    gaps = {(gap.early, gap.other): gap for gap in headstart(store, Viewer(course.now), "v5").gaps}  # type: ignore[union-attr]
    # The claims came on the third day, and are trusted as far by now.
    assert gaps["acme", "crane"].days == pytest.approx(3)
    chips = {(gap.early, gap.other): gap for gap in found.chips}
    between = chips[KNOWN.fingerprint, OWN.fingerprint]
    assert (between.ratio, between.days) == (pytest.approx(2), None)
    assert chips[OWN.fingerprint, KNOWN.fingerprint].days == 0
    # Who was wrong at launch was not ahead.
    course.say("judge", course.claims[0]["id"], REFUSED)
    again = headstart(store, Viewer(course.now), "v5")
    assert again
    assert {lap.entry.vendor for lap in again.laps} == {"brick", "crane"}


def test_noise_counts_for_drawing_level(course: Course) -> None:
    for op in range(4):
        course.claim("acme", op, 1e-3, 1e-4)
        course.claim("brick", op, 1.2e-3)
    # A claim of the very moment of the launch came with everybody's.
    course.now = LAUNCH
    course.claim("acme", 0, 1e-4)
    course.now = LAUNCH + DAY
    for op in range(4):
        course.claim("brick", op, 1.04e-3)
    found = headstart(course.store, Viewer(course.now), "v5")
    assert found
    assert [gap.days for gap in found.gaps if gap.early == "acme"] == [pytest.approx(1)]


def test_the_public_has_a_board(course: Course) -> None:
    store = course.store
    course.now = LAUNCH + DAY
    assert board(store, Viewer(course.now), PUBLIC).models == ()  # type: ignore[union-attr]
    public = replace(course.release, id=PUBLIC)
    Course(store, public, course.people, course.workloads, course.now).claim("acme", 0, 1e-3)
    found = board(store, Viewer(course.now), PUBLIC)
    assert found
    assert ([model.name for model in found.models], found.tables[0].entries[0].vendor) == (["v5"], "acme")
    # A workload that is public shows in no release that has it too.
    assert board(store, Viewer(course.now), "v5").tables == ()  # type: ignore[union-attr]
    with pytest.raises(InputError, match="has not launched"):
        headstart(store, Viewer(course.now), PUBLIC)


def test_answers_are_read_back(course: Course) -> None:
    whole(course, "acme", 1e-3, REPLAYED)
    course.claim("brick", 0, 1e-3, chip=1)
    viewer = Viewer(LAUNCH)
    looks = {Board: board, Readiness: readiness, Timeline: timeline, HeadStart: headstart}
    for kind, look in looks.items():
        found = look(course.store, viewer, "v5")  # type: ignore[operator]
        assert reader(kind)(json.loads(json.dumps(asdict(found)))) == found
    for wrong in (None, [], {}, {"release": 1}, {"release": {"id": 1}, "models": [], "tables": []}):
        with pytest.raises(ValueError, match=r"must be|has no"):
            reader(Board)(wrong)
