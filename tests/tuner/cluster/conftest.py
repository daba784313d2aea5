"""One cluster for all tests of this folder: starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.tuner.cluster.clusters import carrying, chips, cluster
from tests.tuner.executor_contract import HOSTILE

# A head that builds, and: a node with this machine's chip; another that was set up with the same one, and with a
# second kind of chip; and one that is not what it says.
NODES = ({"host": 1}, {"host": 1, "second": 1}, {"claimed": 1})


@pytest.fixture(scope="session")
def made() -> Iterator[Any]:
    """The cluster; its processes know the chips of these tests and the hostile space."""
    pytest.importorskip("ray")
    with chips(HOSTILE), cluster(*map(carrying, NODES)) as found:
        yield found
