"""Write the golden OpenAPI document, when a change was meant: python -m tests.tuning_db.service.update_document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tuning_db.note import SigningKey
from tuning_db.service.app import make_app
from tuning_db.service.config import Config

GOLDEN = Path(__file__).resolve().parents[1] / "assets" / "openapi.json"


def document() -> dict[str, Any]:
    """As a service answers with it."""
    return make_app(Config(Path("race.db"), SigningKey.new("race.example"))).openapi()


def spelled(of: dict[str, Any]) -> str:
    """As the golden file has it."""
    return json.dumps(of, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(spelled(document()))
