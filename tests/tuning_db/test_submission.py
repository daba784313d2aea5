"""A batch signed, opened, and sent again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.tuning_db.claims import VENDOR, batch, claim, key
from tests.tuning_db.example import populate
from tuning_db.batch_format import PAYLOAD_TYPE
from tuning_db.envelope import sign
from tuning_db.reasons import Reason, Refused
from tuning_db.store import Store
from tuning_db.submission import check_replay, is_retry, open_batch, sign_batch

KEYS = {key().public: VENDOR}


def test_there_and_back() -> None:
    assert open_batch(sign_batch(batch(), key()).dumps(), KEYS) == (batch(), key().public)


def test_other_content_under_a_right_signature() -> None:
    for type in ("application/json", PAYLOAD_TYPE.replace("=1", "=2")):
        with pytest.raises(Refused) as failure:
            open_batch(sign(type, batch().dumps(), [key()]).dumps(), KEYS)
        assert failure.value.reason is Reason.PAYLOAD_TYPE
    with pytest.raises(Refused) as failure:
        open_batch(sign(PAYLOAD_TYPE, b"{}", [key()]).dumps(), KEYS)
    assert failure.value.reason is Reason.MALFORMED


def test_nothing_that_nobody_vouches_for_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    import tuning_db.submission

    monkeypatch.setattr(tuning_db.submission, "read_batch", None)
    with pytest.raises(Refused) as failure:
        open_batch(sign_batch(batch(), key()).dumps(), {})
    assert failure.value.reason is Reason.UNKNOWN_KEY


def test_several_signers() -> None:
    other = key("rival", bytes(range(32)))
    both = sign(PAYLOAD_TYPE, batch().dumps(), [other, key()])
    assert open_batch(both.dumps(), {**KEYS, other.public: "rival"})[1] == key().public


def test_a_retry_is_told_from_a_replay() -> None:
    first = batch()
    assert not is_retry(first, {})
    assert is_retry(batch(), {first.nonce: first.id})
    with pytest.raises(Refused) as failure:
        is_retry(batch(claim(1)), {first.nonce: first.id})
    assert failure.value.reason is Reason.NONCE_REUSED
    check_replay(first, set())
    with pytest.raises(Refused) as failure:
        check_replay(batch(nonce="1" * 32, created=1.8e9), {first.content})
    assert failure.value.reason is Reason.REPLAYED


def test_the_example_of_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "submissions.md").read_text()
    (code,) = re.findall("```python\n(.*?)```", page, flags=re.S)
    monkeypatch.chdir(tmp_path)
    key().write(tmp_path)
    with Store.open("headstart.db") as store:
        populate(store)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["received"] == names["batch"] and names["signer"] == key().public
    assert {finding.reason for finding in names["findings"]} == {Reason.UNKNOWN_SPACE, Reason.NO_PEAKS}


def test_the_form_is_that_of_the_document() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "submissions.md").read_text()
    assert PAYLOAD_TYPE in page
    fields = page[page.index("| field |") : page.index("Ids are hashes")]
    assert set(re.findall(r"`(\w+)`", fields)) >= {
        *json.loads(batch().dumps()),
        *json.loads(batch().dumps())["trials"][0],
    }
