"""The service as a repository, to a client of ``tuf`` over a socket: what is new arrives, what is wrong is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning_db.service.publishing import Hands, prebuilt, updater
from tests.tuning_db.service.running import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """By the clock of the machine, as clients of ``tuf`` go by it."""
    with running(tmp_path, start=time.time()) as started:
        yield started


def test_a_fresh_client_gets_a_bundle_and_then_the_next(service: Service, tmp_path: Path) -> None:
    hands = Hands(service)
    root = hands.begin()
    for library in (b"one" * 700_000, b"another"):
        (upload,) = hands.publish(prebuilt(tmp_path / f"{len(library)}.bundle", library))
        client = updater(service, tmp_path / "client", root)
        said = client.get_targetinfo(upload.address.prebuilt)
        assert said is not None
        assert Path(client.download_target(said)).read_bytes() == upload.prebuilt.dumps()
        for name, file in upload.prebuilt.files.items():
            info = client.get_targetinfo(f"blobs/{file.sha256}")
            assert info is not None
            assert Path(client.download_target(info)).read_bytes() == (upload.folder / name).read_bytes()
        assert client.get_targetinfo("blobs/" + "0" * 64) is None
