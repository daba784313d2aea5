"""Asking a service whatever its OpenAPI document allows, and what it does not allow, as everybody.

``python -m tests.tuning_db.service.fuzz [EXAMPLES]`` asks more of each operation than the suite has time for.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation

from tests.tuning_db.service.running import LAUNCH, START, call
from tests.tuning_db.service.worlds import Worlds, worlds


def fuzz(
    both: Worlds, examples: int, modes: Sequence[GenerationMode] = tuple(GenerationMode)
) -> Counter[tuple[str, int]]:
    """Ask; what was answered, by operation and status.

    Raises:
        AssertionError: something failed in the service, or was answered otherwise than the document says.
    """
    service = both.there
    document = call(service.port, "GET", "/v1/openapi.json").json
    schema = schemathesis.openapi.from_dict(document)
    found: Counter[tuple[str, int]] = Counter()
    known = [one for some in both.pool().values() for one in some]
    # An operator takes copies of the file, and anybody may end the token that they show.
    viewers = [None, *(name for name in service.tokens if name != "root")]
    for result in schema.get_all_operations():
        operation = result.ok()
        responses = document["paths"][operation.path][operation.method.lower()]["responses"]
        for mode in modes:
            # Where there is nothing to give, nothing can be given wrongly.
            with suppress(Unsatisfiable):
                _ask(both, operation, mode, examples, known, viewers, set(responses), found)
    return found


def _ask(
    both: Worlds,
    operation: APIOperation,
    mode: GenerationMode,
    examples: int,
    known: list[str],
    viewers: list[str | None],
    documented: set[str],
    found: Counter[tuple[str, int]],
) -> None:
    service = both.there

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.sampled_from(viewers), st.data())
    def ask(case: Case, who: str | None, data: st.DataObject) -> None:
        case.path_parameters = {
            name: data.draw(st.sampled_from([str(value), *known]))
            for name, value in (case.path_parameters or {}).items()
        }
        case.headers = {"Authorization": f"Bearer {service.tokens[who]}"} if who else {}
        response = case.call(base_url=f"http://127.0.0.1:{service.port}")
        status = str(response.status_code)
        found[f"{operation.method.upper()} {operation.path}", response.status_code] += 1
        assert status < "500", (case, response.text)
        # Another method, or a path that is not one any more, is of no operation.
        assert status in documented | {"404", "405"}, (case, status)
        if status >= "400":
            assert {"code", "message"} <= set(response.json()["error"])

    ask()


def main(examples: int) -> None:
    """Say what was answered."""
    with tempfile.TemporaryDirectory() as folder, worlds(Path(folder), 1) as both:
        both.at((START + LAUNCH) / 2)
        both.work()
        found = fuzz(both, examples)
        print(f"{sum(found.values())} requests, none of which failed in the service")
        for (operation, status), count in sorted(found.items()):
            print(f"{count:8} {status} {operation}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
