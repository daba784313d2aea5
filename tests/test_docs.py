"""What the documents say that can be checked: files exist, links lead somewhere, every dependency has its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PACKAGES = ("cli", "docs", "schedules", "targets", "tests", "tuner", "tuning_db")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(document: Path) -> None:
    spans = re.findall(r"`([\w./-]+)`", document.read_text())
    # NAME stands for a name of the reader's choice.
    named = {
        span for span in spans if span.startswith(tuple(f"{package}/" for package in PACKAGES)) and "NAME" not in span
    }
    assert not {span for span in named if not (ROOT / span).exists()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        if ":" in file:
            continue
        target = document.parent / file if file else document
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.M)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in headings}, link


def test_every_dependency_has_its_reason() -> None:
    # Python 3.10 has no reader of TOML; every quoted word of these two tables starts with the name of a package.
    project = (ROOT / "pyproject.toml").read_text()
    tables = project[project.index("\ndependencies = [") : project.index("[project.scripts]")]
    wanted = set(re.findall(r'"([A-Za-z][\w-]*)', tables))
    reasons = set(re.findall(r"`([\w-]+)`", (ROOT / "docs" / "dependencies.md").read_text()))
    assert {"numpy", "jinja2", "pytest"} <= wanted
    assert wanted <= reasons
