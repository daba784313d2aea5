"""Names that look like another, turn the text around them, or lead out of where they belong."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from tests.redteam.hostile import attack, signed
from tests.tuning_db.claims import batch, changed, claim, reschedule
from tuning_db.reasons import Reason

TRICKS = {
    "Cyrillic": "\u0430cme",
    "Greek": "acm\u03b5",
    "full width": "\uff41cme",
    "mathematical": "\U0001d44ecme",
    "right to left": "ac\u202eem",
    "isolate": "\u2066acme\u2069",
    "zero width space": "ac\u200bme",
    "zero width joiner": "ac\u200dme",
    "soft hyphen": "ac\u00adme",
    "byte order mark": "\ufeffacme",
    "composed": unicodedata.normalize("NFC", "acm\u0065\u0301"),
    "decomposed": "acm\u0065\u0301",
    "ligature": "\ufb01rm",
    "Turkish": "\u0131ntel",
    "tag": "acme\U000e0041",
    "variation": "acme\ufe0f",
    "no-break space": "acme\u00a0",
    "line separator": "acme\u2028",
    "newline": "acme\n",
    "return": "acme\rroot",
    "NUL": "acme\0",
    "escape": "\x1b[2Jacme",
    "delete": "acme\x7f",
    "half a character": "acme\ud800",
    "private": "acme\ue000",
    "unassigned": "acme\u0378",
}
OUT = {
    "capitals": "ACME",
    "space": "acme corp",
    "empty": "",
    "up": "../acme",
    "path": "a/b",
    "dots": "..",
    "start": ".acme",
    "end": "acme.",
    "two": "a--b",
    "markup": "<b>acme</b>",
    "formula": "=1+1",
    "query": "a' or 1=1 --",
    "long": "a" * 65,
    "very long": "a" * 10**6,
}


@pytest.mark.parametrize("name", {**TRICKS, **OUT})
@pytest.mark.parametrize("field", ["vendor", "release"])
def test_names_of_people(field: str, name: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document[field] = {**TRICKS, **OUT}[name]

    assert attack(signed(changed(change))) == {Reason.MALFORMED}


@pytest.mark.parametrize("name", TRICKS)
@pytest.mark.parametrize(
    "place",
    [
        "target",
        "chip",
        "model",
        "feature",
        "attribute",
        "attribute's value",
        "machine",
        "source",
        "clock",
        "tool",
        "version",
    ],
)
def test_names_of_things(place: str, name: str) -> None:
    trick = TRICKS[name]

    def change(document: dict[str, Any]) -> None:
        spec = document["targets"][0]["spec"]
        whole: dict[str, Any] = {
            "target": lambda: spec.update(name=trick),
            "chip": lambda: spec.update(vendor=trick),
            "model": lambda: spec.update(model=trick),
            "feature": lambda: spec.update(features=[trick]),
            "attribute": lambda: spec["tvm"].update({trick: 1}),
            "attribute's value": lambda: spec["tvm"].update(mcpu=trick),
            "machine": lambda: document["trials"][0].update(machine=trick),
            "source": lambda: spec["peaks"].update(source=trick),
            "clock": lambda: document["policies"][0].update(clock=trick),
            "tool": lambda: document["toolchains"][0]["versions"].update({trick: "1"}),
            "version": lambda: document["toolchains"][0]["versions"].update(tvm=trick),
        }
        whole[place]()

    assert attack(signed(changed(change))) == {Reason.MALFORMED}


@pytest.mark.parametrize("name", TRICKS)
def test_names_in_schedules(name: str) -> None:
    def space(document: dict[str, Any]) -> None:
        reschedule(document, 0, space=TRICKS[name])

    def knob(document: dict[str, Any]) -> None:
        reschedule(document, 0, config={TRICKS[name]: 1})

    one = batch(claim(1))
    assert attack(signed(changed(space, one))) == {Reason.MALFORMED}
    assert attack(signed(changed(knob, one))) == {Reason.SCHEDULE_NOT_ALLOWED}


@pytest.mark.parametrize("name", TRICKS)
def test_names_of_fields(name: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document[TRICKS[name]] = document.pop("vendor")

    assert attack(signed(changed(change))) == {Reason.MALFORMED}
