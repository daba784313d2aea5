"""The OpenAPI document: the golden one, which says what may be answered; nobody who reads it breaks anything."""

from __future__ import annotations

from pathlib import Path

from schemathesis import GenerationMode

from tests.tuning_db.service.fuzz import fuzz
from tests.tuning_db.service.running import LAUNCH, START
from tests.tuning_db.service.update_document import GOLDEN, document, spelled
from tests.tuning_db.service.worlds import worlds


def test_the_document_is_the_golden_one() -> None:
    """After a change that was meant: ``python -m tests.tuning_db.service.update_document``, and look at it."""
    assert spelled(document()) == GOLDEN.read_text()


def test_every_operation_says_what_may_be_answered() -> None:
    made = document()
    tags = {tag["name"] for tag in made["tags"]}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["description"], where
            assert set(operation["tags"]) <= tags, where
            assert {"400", "401", "403", "404", "429", "503"} <= set(operation["responses"]), where
            assert operation["security"] == [{"token": []}, {}], where
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                assert kind == "application/octet-stream" or body["schema"]["required"], where


def test_nothing_that_it_allows_breaks_the_service(tmp_path: Path) -> None:
    with worlds(tmp_path, 1) as both:
        both.at((START + LAUNCH) / 2)
        both.work()
        found = fuzz(both, 1, [GenerationMode.POSITIVE])
    assert len({operation for operation, _ in found}) >= len(document()["paths"])
