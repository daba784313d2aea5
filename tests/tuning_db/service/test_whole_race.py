"""A whole race, from the making of the release to the vendor who came late and drew level: who sees what at each step.

``assets/whole_race.txt`` is read from top to bottom. Under each step stands what everybody sees of the
release, a column for each:

    -   exactly the answer for a release, claim or log that does not exist, to the byte
    n   not before the launch
    x   turned away, whatever it is about
    y   it is there; 0 where it is there and nothing is in it
    al  the vendors that are in it, by their first letters
    1   so many claims that wait to be judged
    c r p R W   the claim: claimed, replayed, reproduced, refused, withdrawn
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tuning_db.claims import CHIP, WORKLOAD, batch, claim
from tests.tuning_db.example import POLICY, TOOLCHAIN
from tests.tuning_db.service.probes import Probe
from tests.tuning_db.service.running import EARLY, LATE, LAUNCH, SERVICE, START, Answer, Service, running
from tests.tuning_db.service.worlds import Wire
from tuning_db.check import check
from tuning_db.note import VerifierKey
from tuning_db.receipt import verify_log, verify_receipt
from tuning_db.releases import DAY
from tuning_db.store import Store

VENDORS = ("acme", "late", "rival")
TIERS = {"claimed": "c", "replayed": "r", "reproduced": "p"}
KEY = f"&target={CHIP.fingerprint}&toolchain={TOOLCHAIN.id}&policy={POLICY.id}"
VIEWS = {
    "releases": "/v1/releases",
    "release": "/v1/releases/{r1}",
    "standings": "/v1/releases/{r1}/standings",
    "board": "/v1/releases/{r1}/board",
    "readiness": "/v1/releases/{r1}/readiness",
    "timeline": "/v1/releases/{r1}/timeline",
    "headstart": "/v1/releases/{r1}/headstart",
    "champion": f"/v1/champion?workload={{workload}}{KEY}",
    "acme's claim": "/v1/claims/{acme's}",
    "late's claim": "/v1/claims/{late's}",
    "pending": f"/v1/pending?target={CHIP.fingerprint}",
    "log of lab": "/v1/ledgers/{r1}/entries",
    "log of acme": "/v1/ledgers/{r1}.{acme}/entries",
    "log of late": "/v1/ledgers/{r1}.{late}/checkpoint",
    "log of judge": "/v1/ledgers/{r1}.{judge}/entries",
}
PEOPLE = ("lab", "acme", "late", "rival", "judge", "umpire", "user", "other-lab", "anybody")
STORY = Path(__file__).resolve().parents[1] / "assets" / "whole_race.txt"


class Race:
    """What happens, and what everybody sees of it."""

    def __init__(self, service: Service) -> None:
        self.service, self.wire = service, Wire(service.port)
        self.ids = {**service.ids, "workload": WORKLOAD}
        nothing = {"r1": "r" + "5" * 24, "workload": "w" + "5" * 24, "acme's": "t" + "5" * 28, "late's": "t" + "5" * 28}
        self.absent = {**service.ids, **nothing}
        # Until they are there, they are nothing.
        self.ids = {**self.absent, **self.ids}
        self.receipts: list[tuple[str, dict[str, Any]]] = []

    def make(self) -> None:
        self.ids["r1"] = self.service.release(rules={"withdraw_s": DAY, "object_s": 14 * DAY})

    def invite(self) -> None:
        for who, opens in (("acme", EARLY), ("judge", EARLY), ("umpire", EARLY), ("late", LATE)):
            self.service.invite(self.ids["r1"], who, opens)

    def submit(self, who: str, name: str, n: int, *samples: float) -> None:
        made = claim(n, samples=samples) if samples else claim(n)
        sent = batch(made, vendor=who, release=self.ids["r1"], nonce=secrets.token_hex(16))
        taken = self.service.submit(who, of=sent)
        assert taken.status == 200, taken.body
        (self.ids[name],) = taken.json["claims"]
        self.receipts.append((who, taken.json["receipt"]))

    def say(self, who: str, name: str, outcome: str, reason: str = "") -> Answer:
        told = {"outcome": outcome} | ({"reason": reason} if reason else {})
        return self.service.post(f"/v1/claims/{self.ids[name]}/verdicts", who, told)

    def said(self, *verdict: str) -> None:
        answer = self.say(*verdict)
        assert answer.status == 201, answer.body

    def refused_for_its_vendor_to_read(self) -> None:
        self.submit("late", "wrong", 5, 1.1e-3, 1.11e-3, 1.12e-3)
        self.said("judge", "wrong", "refused", "the output is wrong in row 3")
        assert (
            self.service.get(f"/v1/claims/{self.ids['wrong']}", "late").json["reason"] == "the output is wrong in row 3"
        )
        for who in ("acme", "lab", "rival", None):
            assert self.service.get(f"/v1/claims/{self.ids['wrong']}", who).status == 404

    def withdrawn(self) -> None:
        self.submit("acme", "mistake", 6, 9e-4, 9.1e-4, 9.2e-4)
        assert self.say("late", "mistake", "withdrawn").code == "not_found"
        self.said("acme", "mistake", "withdrawn", "timed with the wrong clock")
        assert self.say("acme", "acme's", "withdrawn").code == "invalid"  # too late

    def disputed(self) -> None:
        self.submit("late", "doubtful", 7, 9e-4, 9.1e-4, 9.2e-4)
        self.said("judge", "doubtful", "reproduced")
        self.said("umpire", "doubtful", "refused", "it reads beyond its input")
        one = self.service.get(f"/v1/claims/{self.ids['doubtful']}", "late").json
        assert (one["state"], {verdict["outcome"] for verdict in one["verdicts"]}) == (
            "refused",
            {"reproduced", "refused"},
        )

    def objection(self) -> None:
        self.said("umpire", "late's", "refused", "not on inputs of one sign")

    def objection_too_late(self) -> None:
        assert self.say("umpire", "acme's", "refused", "why not").code == "invalid"

    def drawing_level(self) -> None:
        self.submit("rival", "rival's", 9)
        self.said("judge", "rival's", "reproduced")

    def ask(self, view: str, who: str | None, ids: dict[str, str]) -> tuple[bytes, bytes]:
        """Head and body of an answer, without date and request id."""
        (answer,) = self.wire.ask([Probe("/v1", "GET", VIEWS[view].format(**ids), who)], self.service.tokens)
        return answer

    def seen(self, view: str, who: str) -> str:
        """What somebody sees, as the table has it."""
        name = None if who == "anybody" else who
        head, body = self.ask(view, name, self.ids)
        status = int(head.split()[1])
        if status in (401, 403):
            return "x"
        if status == 404:
            assert (head, body) == self.ask(view, name, self.absent), (view, who)
            return "-"
        if view == "headstart" and status == 400:
            return "n"
        assert status == 200, (view, who, body)
        whole = json.loads(body)
        if view == "releases":
            return "y" if any(one["id"] == self.ids["r1"] for one in whole["releases"]) else "-"
        if view == "pending":
            return str(len(whole["pending"]))
        if view.endswith("claim"):
            return {"refused": "R", "withdrawn": "W"}.get(whole["state"]) or TIERS[whole["tier"]]
        if view == "release" or view.startswith("log"):
            return "y"
        text = json.dumps(whole)
        return "".join(vendor[0] for vendor in VENDORS if f'"{vendor}"' in text) or "0"

    def table(self) -> str:
        """What everybody sees of everything."""
        rows = [[view, *(self.seen(view, who) for who in PEOPLE)] for view in VIEWS]
        return "\n".join(f"    {row[0]:14}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def story(race: Race) -> list[tuple[str, float, list[Callable[[], None]]]]:
    """Title, time and deeds of each step."""
    fast = (1e-3, 1.01e-3, 1.02e-3)
    return [
        ("The lab makes a release, of which nobody else learns.", START, [race.make]),
        ("It invites acme early, late later, and two referees.", START + 1, [race.invite]),
        ("A microsecond before the first window.", EARLY - 1e-6, []),
        ("It opens by the clock, and acme submits.", EARLY, [lambda: race.submit("acme", "acme's", 1)]),
        ("A microsecond before the second window.", LATE - 1e-6, []),
        ("It opens, and late submits what is faster.", LATE, [lambda: race.submit("late", "late's", 2, *fast)]),
        (
            "A referee reproduces both.",
            LATE + 1,
            [lambda: race.said("judge", "acme's", "reproduced"), lambda: race.said("judge", "late's", "reproduced")],
        ),
        ("It refuses another claim of late, with a reason.", LATE + 2, [race.refused_for_its_vendor_to_read]),
        ("acme takes a claim back.", LATE + 3, [race.withdrawn]),
        ("Two referees disagree about a third of late.", LATE + 4, [race.disputed]),
        ("A microsecond before the launch.", LAUNCH - 1e-6, []),
        ("The launch: everything is everybody's.", LAUNCH, []),
        ("A referee objects to what leads, and acme leads.", LAUNCH + DAY, [race.objection]),
        ("rival, who was not invited, draws level.", LAUNCH + 6 * DAY, [race.drawing_level]),
        ("The time to object is over.", LAUNCH + 15 * DAY, [race.objection_too_late]),
    ]


def told(race: Race) -> str:
    """The story as it goes."""
    lines = []
    for title, now, deeds in story(race):
        race.service.now = now
        for deed in deeds:
            deed()
        lines += ["", title, f"    {'':14}" + "".join(f"{who:>10}" for who in PEOPLE), race.table()]
    return "\n".join(lines[1:])


def test_the_whole_race(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        with Store.open(service.db) as store:
            account = store.add_account("umpire", "referee", START)
            service.ids["umpire"] = account.id
            service.tokens["umpire"] = store.issue_token(account, START, 365 * DAY)[1]
        for vendor in VENDORS:
            service.register(vendor)
        race = Race(service)
        assert told(race).splitlines() == STORY.read_text().splitlines()

        # What the head start was worth: so many days until the one who came late was level.
        gaps = service.get(f"/v1/releases/{race.ids['r1']}/headstart").json["gaps"]
        days = {(gap["early"], gap["other"]): gap["days"] for gap in gaps}
        assert days["acme", "rival"] == 6.0
        # Everything is proved by what was handed out, and nothing of it was lost.
        for who, receipt in race.receipts:
            log = json.loads(receipt["entry"])["log"]
            assert log == ("public" if who == "rival" else f"{race.ids['r1']}.{service.ids[who]}")
            key = VerifierKey(f"{SERVICE}/{log}", service.verifier("public").public)
            verify_receipt(json.dumps(receipt).encode(), key)
            whole = service.get(f"/v1/ledgers/{log}/entries").json
            verify_log([text.encode() for text in whole["entries"]], whole["checkpoint"], key)
        race.wire.close()
        with Store.open(service.db, read_only=True) as store:
            assert check(store) == []
