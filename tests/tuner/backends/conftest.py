"""The worked example of a plug-in, installed as a user installs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin_packages import EXAMPLE, install, on_path


@pytest.fixture(scope="session")
def example_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the example into."""
    site = tmp_path_factory.mktemp("plugins") / "site"
    install(EXAMPLE, site)
    return site


@pytest.fixture(scope="module")
def example(example_site: Path) -> Iterator[Path]:
    """The example, installed for this process while a module's tests run."""
    with on_path(example_site):
        yield example_site
