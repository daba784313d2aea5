"""A repository that is published and signed, on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tuning_db.deploy.depot import Depot


@pytest.fixture
def depot() -> Iterator[Depot]:
    with Depot() as made:
        made.publish()
        made.sign()
        yield made
