"""What a service writes down holds nothing that is secret, whatever happens."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.running import EARLY, LAUNCH, Service, call
from tuning_db.service.logs import JsonLines
from tuning_db.store import Store

NAME = "velvet-otter"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged, as ``headstart serve`` writes it."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("headstart.service", "uvicorn")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield log
    for logger in loggers:
        logger.removeHandler(handler)


def test_logs_of_a_race_hold_no_secrets(
    written: io.StringIO, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = service.release(NAME)
    service.invite(release, "acme")
    for vendor in ("acme", "rival"):
        service.register(vendor)
    service.now = EARLY
    trial = service.submit("acme", 1, release=NAME).json["claims"][0]
    champion = f"/v1/champion?workload={WORKLOAD}&target={CHIP.fingerprint}&toolchain={TOOLCHAIN.id}&policy={POLICY.id}"
    paths = [
        *(f"/v1/releases/{NAME}", f"/v1/releases/{release}/standings", f"/v1/claims/{trial}", champion),
        *(f"/v1/ledgers/{release}.{service.ids['acme']}/entries", "/metrics", "/v1/backup", "/readyz", f"/{NAME}"),
    ]
    for who in (None, "acme", "rival", "lab", "root"):
        for path in paths:
            for method in ("GET", "POST", "DELETE", NAME.upper()):
                call(service.port, method, path, service.tokens[who] if who else None)
    call(service.port, "GET", paths[0], service.tokens["acme"][:-1])
    below = claim(2, samples=(1e-6, 1.1e-6, 1.2e-6))
    assert service.submit("acme", of=batch(below, vendor="acme", release=NAME, nonce="1" * 32)).status == 422
    assert service.submit("rival", 1, release=NAME).status == 422
    assert service.post("/v1/submissions", "acme", NAME.encode()).status == 422
    assert service.delete(f"/v1/keys/{service.keys['acme'].public.id}?since={EARLY}", "acme").status == 200

    def broken(*_: object) -> None:
        raise RuntimeError(NAME)

    def failing(store: Store, *_: object) -> None:
        store.execute(f"SELECT '{NAME}' FROM nothing_{trial}")

    with monkeypatch.context() as patch:
        for fault, status in ((broken, 500), (failing, 500)):
            patch.setattr(Store, "releases", fault)
            assert service.get("/v1/releases", "acme").status == status
    service.now = LAUNCH
    assert service.get(paths[0]).status == 200

    text = written.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len([line for line in lines if line["event"] == "request"]) > 180
    assert any("traceback" in line for line in lines)
    secrets = [NAME, "a secret", trial, WORKLOAD, CHIP.fingerprint, "acme", "rival", *service.ids.values()]
    secrets += [release, *service.tokens.values(), *(token.split("_")[1] for token in service.tokens.values())]
    secrets += [key.public.id for key in service.keys.values()]
    for secret in secrets:
        assert secret not in text
        assert secret.upper() not in text
