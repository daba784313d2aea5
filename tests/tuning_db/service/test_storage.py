"""A disk that is full and a folder that cannot be written: clear refusals, nothing half done, and reading goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.tuning_db.claims import batch, claim
from tests.tuning_db.service.publishing import Hands
from tests.tuning_db.service.running import EARLY, LAUNCH, START, Service, running
from tuning_db.check import check
from tuning_db.releases import DAY
from tuning_db.service.readiness import FRESH_S
from tuning_db.store import Store

READ_ONLY = "the storage of this service is read-only: nothing was changed; try again later"
FULL = READ_ONLY.replace("read-only", "full")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def full_disk(service: Service, spare: int = 0) -> Iterator[None]:
    """So many bytes are left, and no more."""
    filler = service.db.with_name("filler")
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, filler.stat().st_size - spare)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def no_more_pages(service: Service) -> Iterator[None]:
    """SQLite may not make the file any larger, which it reports in the same words as a full disk."""

    def limit(store: Store) -> None:
        store.connection.execute("PRAGMA max_page_count = 1")

    service.write(limit)
    try:
        yield
    finally:
        service.write(lambda store: store.connection.execute("PRAGMA max_page_count = 1000000").fetchone())


def begin(service: Service) -> tuple[int, ...]:
    """A race that has begun, with a claim; what is stored then."""
    release = service.release()
    service.invite(release, "acme", opens=START)
    service.register("acme")
    service.now = EARLY
    assert service.submit("acme", 1).status == 200
    return held(service)


def held(service: Service) -> tuple[int, ...]:
    with Store.open(service.db, read_only=True) as store:
        assert check(store) == []
        tables = ("claim", "submission", "ledger_entry", "trial", "schedule")
        return tuple(store.value(f"SELECT count(*) FROM {table}") for table in tables)


def large(n: int) -> dict[str, object]:
    """A batch that takes more than a page or two."""
    return {"of": batch(*(claim(1000 * n + i) for i in range(50)), vendor="acme", nonce=f"{n:032x}")}


def refused(service: Service, said: str, there: tuple[int, ...], small_notes_fit: bool = False) -> None:
    """What is told while nothing can be written."""
    answer = service.submit("acme", **large(2))
    assert (answer.status, answer.code, answer.json["error"]["message"]) == (503, "unavailable", said)
    assert answer.headers["retry-after"] == "30"
    assert held(service) == there
    ready = service.get("/readyz")
    assert (ready.status, ready.json["error"]["message"]) == (503, said)
    # What is public is read; what must be noted to be shown is not.
    assert service.get("/healthz").status == service.get("/v1/releases").status == 200
    assert service.get("/v1/releases/r1", "rival").code == "not_found"
    if small_notes_fit:
        return
    assert service.get("/v1/releases/r1", "acme").json["error"]["message"] == said


def recovered(service: Service) -> None:
    """The same server writes again."""
    assert service.submit("acme", **large(2)).status == 200
    assert service.get("/v1/releases/r1", "acme").status == 200
    service.now += FRESH_S
    assert service.get("/readyz").json == {"status": "ready"}
    assert held(service)[0] == 51


@pytest.mark.parametrize("short", [full_disk, no_more_pages])
def test_a_full_disk(short: Callable[[Service], object], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = request.getfixturevalue("small") if short is full_disk else tmp_path
    with running(folder) as service:
        there = begin(service)
        assert service.get("/readyz").status == 200
        with short(service):  # type: ignore[attr-defined]
            refused(service, FULL, there, small_notes_fit=short is no_more_pages)
        recovered(service)


def test_room_for_less_than_a_batch_is_not_ready(small: Path) -> None:
    with running(small) as service:
        begin(service)
        with full_disk(service, spare=1 << 20):
            assert service.submit("acme", 3).status == 200
            assert service.get("/readyz").json["error"]["message"] == FULL
            service.now += FRESH_S - 1
        assert service.get("/readyz").status == 503
        service.now += 1
        assert service.get("/readyz").status == 200


@pytest.mark.parametrize("clean", [True, False])
def test_a_folder_that_cannot_be_written_when_the_server_starts(
    clean: bool, request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = request.getfixturevalue("small") if os.geteuid() == 0 else tmp_path
    with running(folder) as service:
        begin(service)
    there = held(service)
    if clean:  # else what reading left beside the file is there still
        for suffix in ("-wal", "-shm"):
            Path(f"{service.db}{suffix}").unlink()
    shut(folder, True)
    try:
        elsewhere = tmp_path_factory.mktemp("copies") if clean else None
        with running(folder, people=service, copies=elsewhere) as again:
            assert again.server
            assert not again.server.writable
            refused(again, READ_ONLY, there)
            # A copy must be noted while there is something to hide, and then takes a place to make it in.
            assert again.get("/v1/backup", "root").status == 503
            again.now = LAUNCH
            assert again.get("/v1/backup", "root").status == (200 if clean else 503)
            shut(folder, False)
            again.now = EARLY + FRESH_S
            recovered(again)
            # Readers see what was written since.
            assert again.get("/v1/releases/r1/standings", "lab").json["standings"]
    finally:
        shut(folder, False)


def shut(folder: Path, read_only: bool) -> None:
    """Let nobody write in a folder, or again."""
    if os.geteuid() == 0:
        how = "ro" if read_only else "rw"
        subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)
    else:
        folder.chmod(0o500 if read_only else 0o700)
        for path in folder.iterdir():
            path.chmod(0o400 if read_only else 0o600)


def test_a_repository_is_read_where_nothing_can_be_signed_anew(service: Service) -> None:
    Hands(service).begin()
    where = "/v1/repositories/public/metadata/timestamp.json"
    assert service.get(where).json["signed"]["version"] == 1
    service.now += 0.6 * DAY
    # What SQLite says is what it says on a file system that is read-only.
    service.write(lambda store: store.connection.execute("PRAGMA query_only = 1"))
    answer = service.get(where)
    assert (answer.status, answer.json["signed"]["version"]) == (200, 1)
    service.write(lambda store: store.connection.execute("PRAGMA query_only = 0"))
    assert service.get(where).json["signed"]["version"] == 2
