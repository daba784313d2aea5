"""The lock file: one spelling, refused when anything of it is other than was written, and the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart_runtime.row_plan import RowRange
from targets.errors import HeadstartError, InputError
from tests.tuning_db.deploy.depot import LIBRARY, WISH, Depot, deployment, library, pull, puller
from tests.tuning_db.selecting import FEWER, ROWS, SELECTION, candidate, kernel
from tuning_db.deploy.changes import changes
from tuning_db.deploy.deployment import Deployment
from tuning_db.deploy.lock import Lock, Origin, read_lock
from tuning_db.published import BundleFile, Prebuilt
from tuning_db.selection import Selection

LOCK = Lock(
    Origin("https://race.example", "public", "a" * 64, {"root": 1, "timestamp": 40}),
    "reproduced",
    SELECTION.digest,
    SELECTION.chosen("reproduced"),
    "prebuilt",
    Prebuilt("b" * 64, {"kernels.so": BundleFile("c" * 64, 100)}),
)
TEXT = LOCK.dumps()
ROWS_TEXT = replace(LOCK, selection=ROWS.chosen("reproduced")).dumps()
ASSETS = Path(__file__).parents[1] / "assets"
NEWER = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", 5, 5e-4)), kernel(2)))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    LOCK.write(tmp_path / "headstart.lock")
    assert read_lock(tmp_path / "headstart.lock") == LOCK
    assert read_lock(tmp_path / "other.lock") is None
    (tmp_path / "headstart.lock").write_text("{}")
    with pytest.raises(InputError, match=r"headstart\.lock is no lock file as a pull writes it: must have the fields"):
        read_lock(tmp_path / "headstart.lock")


def test_what_an_older_version_wrote_is_read_and_written_the_same() -> None:
    assert (ASSETS / "headstart_1.lock").read_bytes() == TEXT
    assert Lock.loads(TEXT) == LOCK
    assert Lock.loads(ROWS_TEXT).selection == ROWS.chosen("reproduced")


@given(st.sampled_from([TEXT, ROWS_TEXT]), st.data(), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_any_changed_byte_is_refused(whole: bytes, data: st.DataObject, flip: int) -> None:
    text = bytearray(whole)
    text[data.draw(st.integers(0, len(text) - 1))] ^= flip
    with pytest.raises(ValueError, match=r"."):
        Lock.loads(bytes(text))


@given(st.integers(0, len(TEXT) - 1), st.binary(max_size=3))
@settings(max_examples=100, deadline=None)
def test_cut_or_added_to(at: int, more: bytes) -> None:
    for text in (TEXT[:at], TEXT[:at] + more + TEXT[at:] if more else TEXT[:-1]):
        with pytest.raises(ValueError, match=r"."):
            Lock.loads(text)


def test_locked_is_the_same_to_the_byte(depot: Depot, tmp_path: Path) -> None:
    """On another machine, whatever is the latest there; and without asking anybody where the cache has it."""
    pull(tmp_path, depot.url)
    there = tmp_path / "there"
    there.mkdir()
    text = (tmp_path / "headstart.lock").read_bytes()
    (there / "headstart.lock").write_bytes(text)
    for _ in range(2):
        by, _ = puller(there, depot.url)
        by.reproduce(deployment(there, by))
        assert library(there) == LIBRARY
        assert (there / "headstart.lock").read_bytes() == text
        depot.publish(NEWER, b"newer")
        depot.sign()
        depot.asked.clear()
    by.reproduce(deployment(there, by))
    assert not depot.asked


def test_locked_says_what_is_gone(depot: Depot, tmp_path: Path) -> None:
    pull(tmp_path, depot.url)
    depot.targets["targets"].clear()
    depot.publish(NEWER, b"newer")
    depot.sign()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "headstart.lock").write_bytes((tmp_path / "headstart.lock").read_bytes())
    by, _ = puller(tmp_path / "new", depot.url)
    with pytest.raises(HeadstartError, match=r"no longer has .*kernels\.so.* of bundle .*, which the lock file pins"):
        by.reproduce(deployment(tmp_path / "new", by))
    assert not (tmp_path / "new" / "b").exists()


def test_there_and_back(depot: Depot, tmp_path: Path) -> None:
    """Each step back takes directory and lock file together, without asking anybody; a pull goes forward again."""
    locks = []
    for generation in range(3):
        slower = replace(NEWER, kernels=(kernel(1, candidate("reproduced", generation, 1e-3)), kernel(2)))
        depot.publish(slower, b"generation %d" % generation)
        depot.sign()
        pull(tmp_path, depot.url)
        locks.append((tmp_path / "headstart.lock").read_bytes())
    depot.asked.clear()
    for generation in (1, 0):
        by, _ = puller(tmp_path, "", offline=True)
        where = Deployment(by.cache, tmp_path / "headstart.lock", None)
        assert by.back(where, where.before()).directory == tmp_path / "b"
        assert library(tmp_path) == b"generation %d" % generation
        assert (tmp_path / "headstart.lock").read_bytes() == locks[generation]
    where = Deployment(by.cache, tmp_path / "headstart.lock", None)
    with pytest.raises(HeadstartError, match="nothing is known on this machine"):
        where.before()
    assert not depot.asked
    pull(tmp_path, depot.url)
    assert library(tmp_path) == b"generation 2"
    where = Deployment(by.cache, tmp_path / "headstart.lock", None)
    by.back(where, where.before())
    assert library(tmp_path) == b"generation 0"


def test_a_pull_that_ended_between_directory_and_lock_file(depot: Depot, tmp_path: Path) -> None:
    """The next pull mends it; so does who goes back, or asks for what is locked."""
    pull(tmp_path, depot.url)
    old = (tmp_path / "headstart.lock").read_bytes()
    depot.publish(NEWER, b"newer")
    depot.sign()
    for mend, expected in (("pull", b"newer"), ("locked", LIBRARY)):
        pull(tmp_path, depot.url)
        (tmp_path / "headstart.lock").write_bytes(old)
        assert library(tmp_path) == b"newer"
        by, _ = puller(tmp_path, depot.url)
        where = deployment(tmp_path, by)
        if mend == "pull":
            by.pull(where, WISH)
            assert (tmp_path / "headstart.lock").read_bytes() != old
        else:
            by.reproduce(where)
            assert (tmp_path / "headstart.lock").read_bytes() == old
        assert library(tmp_path) == expected


def test_what_was_only_signed_anew_changes_no_lock_file(depot: Depot, tmp_path: Path) -> None:
    pull(tmp_path, depot.url)
    text = (tmp_path / "headstart.lock").read_bytes()
    depot.sign()
    again = pull(tmp_path, depot.url)
    assert not again.changed
    assert again.lock.origin.versions != LOCK.loads(text).origin.versions
    assert (tmp_path / "headstart.lock").read_bytes() == text


def test_one_lock_file_is_for_one_thing(depot: Depot, tmp_path: Path) -> None:
    pull(tmp_path, depot.url)
    for wish in (replace(WISH, model="huge"), replace(WISH, target="c0"), replace(WISH, step={**WISH.step, "tp": 2})):
        with pytest.raises(
            InputError, match=r"pins tiny at decode-t16-.* for example .*; name another file with --lock"
        ):
            pull(tmp_path, depot.url, wish=wish)


def test_something_else_is_in_the_way(depot: Depot, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "precious").write_text("mine")
    with pytest.raises(InputError, match="is not a bundle"):
        pull(tmp_path, depot.url)
    (tmp_path / "b" / "precious").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is not a bundle"):
        pull(tmp_path, depot.url)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert not (tmp_path / "headstart.lock").exists()


def test_what_would_get_faster() -> None:
    before = replace(
        SELECTION,
        kernels=(
            kernel(1, candidate("reproduced", 1, 4e-3), calls=2),
            kernel(2, calls=5),
            kernel(3, candidate("measured", 3, 1e-3), calls=1),
        ),
    )
    after = replace(
        SELECTION,
        kernels=(
            kernel(1, candidate("reproduced", 7, 1e-3), calls=2),
            kernel(2, candidate("reproduced", 8, 1e-3, default_seconds=3e-3), calls=5),
            kernel(3, candidate("measured", 3, 1e-3), calls=1),
            kernel(4, calls=9),
        ),
    )
    found = changes(before, after)
    assert [(one.kernel.names, one.speedup) for one in found.kernels] == [(("op2",), 3.0), (("op1",), 4.0)]
    assert (found.timed, found.of) == (3, 4)
    assert found.step_before == pytest.approx(2 * 4e-3 + 5 * 3e-3 + 1e-3)
    assert found.step_after == pytest.approx(2 * 1e-3 + 5 * 1e-3 + 1e-3)
    assert found.to_json()["step"]["speedup"] == found.speedup == pytest.approx(24 / 8)
    assert not changes(before, before).kernels


def test_what_changes_of_a_family_is_told_at_its_rows() -> None:
    """A kernel that goes is as fast as the plan that takes its place, and one that comes was what had been there."""
    seconds = {4: 1e-3, 16: 6e-3}
    one = replace(ROWS, kernels=tuple(replace(k, candidates=()) for k in ROWS.kernels))

    def timed(selection: Selection, **at: float) -> Selection:
        kernels = []
        for k in selection.kernels:
            rows = f"r{k.params['m']}"
            found = (candidate("measured", k.params["m"], at[rows], default_seconds=9e-3),) if rows in at else ()
            kernels.append(replace(k, candidates=found if selection.family_of(k) else ()))
        return replace(selection, kernels=tuple(kernels))

    before = timed(one, r4=seconds[4], r16=seconds[16])
    (family,) = ROWS.families
    alone = replace(family, kernels=family.kernels[1:], any=(), plans=(RowRange(1, 16, (16,)),))
    after = timed(replace(one, kernels=one.kernels[:-1], families=(alone,)), r16=5e-4)
    found = {
        change.kernel.params["m"]: change for change in changes(before, replace(after, kernels=after.kernels)).kernels
    }
    # The same trial in another place is none that changed.
    assert set(found) == {4}
    assert (found[4].seconds, found[4].used, found[4].speedup) == ((1e-3, 5e-4), "others", 2.0)
    back = {change.kernel.params["m"]: change for change in changes(after, before).kernels}
    assert (back[4].seconds, back[4].used) == ((5e-4, 1e-3), "measured")
    assert found[4].to_json()["tier"] is None
    # Kernels with the default schedule come and go as well, though no trial tells of them.
    plain = timed(replace(one, kernels=one.kernels[:-1], families=(alone,)))
    for was, then, used in ((one, plain, "others"), (plain, one, "default")):
        (change,) = changes(was, then).kernels
        assert (change.kernel.params["m"], change.used, change.seconds) == (4, used, (None, None))
    assert {step["tokens"] for step in Selection.loads(before.dumps()).steps} == {FEWER["tokens"], 16}
