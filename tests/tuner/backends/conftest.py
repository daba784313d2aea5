"""The worked example of a plug-in, for the tests of backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin_packages import lay_example, on_path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example, installed for this process while a module's tests run."""
    site: Path = tmp_path_factory.mktemp("plugins") / "site"
    lay_example(site)
    with on_path(site):
        yield
