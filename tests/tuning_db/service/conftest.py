"""A service that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning_db.service.running import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as started:
        yield started


@pytest.fixture
def race(service: Service) -> Service:
    """The release r1, to which acme and late are invited, with keys of all vendors."""
    release = service.release()
    service.ids["r1"] = release
    service.invite(release, "acme")
    service.invite(release, "late", opens=service.now + 20 * 86400)
    for vendor in ("acme", "late", "rival"):
        service.register(vendor)
    return service
