"""A made-up race to look at: the decode step of a model of the catalogue, four vendors, three chips that do not exist.

    python -m tests.tuning_db.demo [FILE]

makes it in a file, or in a folder that goes at the end, serves it at a moment eleven days after its launch, and prints
where, and tokens to log in with. Every time in it is drawn from a generator and says nothing of any chip or vendor.
"""

from __future__ import annotations

import json
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from schedules.operator import make_operator
from schedules.schedule import Schedule
from targets import Target
from targets.digest import digest
from targets.target import Peaks
from tests.tuning_db.claims import TRACE
from tuning_db.accounts import Account
from tuning_db.batch import Batch, ClaimedTrial
from tuning_db.claim import Outcome, Verdict
from tuning_db.intake import take
from tuning_db.keys import PrivateKey
from tuning_db.logs import log_of
from tuning_db.note import SigningKey
from tuning_db.records import Policy, Toolchain
from tuning_db.releases import DAY, Release, Rules
from tuning_db.screening import Computation, floor
from tuning_db.service.config import Config
from tuning_db.service.server import listen, make_server
from tuning_db.store import Store

START = 1.76e9 - 1.76e9 % DAY + 9 * 3600
LAUNCH = START + 30 * DAY
NOW = LAUNCH + 11 * DAY + 5 * 3600
NEXT = NOW + 12 * DAY + 7 * 3600
SPACES = {"panels": 2, "generic": 1, "default": 1}
TOOLS = Toolchain({"tvm": "0.27.0", "llvm": "22.1"})


def chip(name: str, kind: str, cores: int, flops: float, dram: float) -> Target:
    """A chip that does not exist."""
    peaks = Peaks(
        {"float32": flops / 16, "float16": flops / 2, "bfloat16": flops / 2, "int8": flops, "float8_e4m3fn": flops},
        dram,
        source="made up",
    )
    return Target(name, "nobody", name.title(), {"kind": kind, "mcpu": name}, cores, 512, (), 65536, peaks=peaks)


CHIPS = {
    "tern-140": chip("tern-140", "cuda", 140, 1.6e15, 3.2e12),
    "heron-304": chip("heron-304", "rocm", 304, 2.1e15, 5.1e12),
    "ridge-96": chip("ridge-96", "llvm", 96, 1.5e14, 6.1e11),
}
# Who claims on which chip from which day on, how near to the roofline at best, and how fast it gets there (days).
ENTRANTS: dict[str, dict[str, tuple[float, float, float]]] = {
    "aurora": {"tern-140": (8, 0.78, 9), "ridge-96": (12, 0.55, 8)},
    "basalt": {"tern-140": (15, 0.84, 10), "heron-304": (9, 0.66, 11)},
    "cinder": {"heron-304": (17, 0.74, 7), "ridge-96": (19, 0.62, 9)},
    "dune": {"tern-140": (31, 0.79, 3), "heron-304": (32, 0.72, 3), "ridge-96": (31, 0.6, 4)},
}
REFUSALS = (
    "output 0 is wrong: 3 of 65536 elements are further off than the tolerance allows",
    "timed again it took 1.9 times as long as claimed, over 5 rounds in turn with the incumbent",
)


def described(operators: int | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The model, and its workloads, as a publisher sends them; the first operators only, without a compiler, if said.

    A text that only stands for the computation is the price of the latter.
    """
    from tuner.frontend.load import load_model, step_for

    name = "deepseek-v4-flash"
    model = load_model(name, step_for(name, phase="decode", tokens=16, ep=8))
    ops, workloads = [], {}
    for op in [op for op in model.ops if op.tunable][:operators]:
        known = make_operator(op.operator, dict(op.params))
        if operators is None:
            canonical, bytes = op.workload.canonical, op.workload.bytes
        else:
            canonical, bytes = f"stands for {op.operator} {json.dumps(dict(op.params))}\n", known.flops // 30 + 4096
        one = {"operator": op.operator, "label": known.label, "params": dict(op.params), "canonical": canonical}
        workloads[digest("w", canonical)] = {**one, "flops": known.flops, "bytes": bytes}
        ops.append(
            {
                **{"name": op.name, "operator": op.operator, "params": dict(op.params), "calls": op.calls},
                "workload": digest("w", canonical),
            }
        )
    return {"name": name, "source": model.source, "step": asdict(model.step), "ops": ops}, list(workloads.values())


@dataclass
class Demo:
    """A race that was run.

    Attributes:
        db: the file.
        key: of the service.
        now: the moment to look at it.
        tokens: by name.
        launched, racing: ids of the two releases.
        workloads: ids, in the order of the model.
    """

    db: Path
    key: SigningKey
    now: float = NOW
    tokens: dict[str, str] = field(default_factory=dict)
    launched: str = ""
    racing: str = ""
    workloads: list[str] = field(default_factory=list)
    port: int = 0


class Making:
    """A race while it is made."""

    def __init__(self, store: Store, demo: Demo, lucky: random.Random) -> None:
        self.store, self.demo, self.lucky = store, demo, lucky
        self.people: dict[str, Account] = {}
        self.keys: dict[str, PrivateKey] = {}
        self.eff: dict[tuple[str, str, str], float] = {}

    def account(self, name: str, role: str) -> None:
        """Let somebody in."""
        account = self.people[name] = self.store.add_account(name, role, START)
        self.demo.tokens[name] = self.store.issue_token(account, START, 400 * DAY)[1]
        if role == "vendor":
            self.keys[name] = PrivateKey.new(f"{name}-2025")
            public = self.keys[name].public
            self.store.add_key(account, public.id, public.line, START)

    def release(self, name: str, launch: float, at: float, model: Any, workloads: Any, **rules: Any) -> Release:
        """Make a release and note it."""
        lab = self.people["halcyon"]
        made = self.store.add_release(name, lab, launch, Rules(**rules), [model], at, workloads)
        self.store.append(made.id, lab.name, "create", {"name": name, "launch": launch}, at)
        return made

    def invite(self, release: Release, who: str, opens: float, at: float) -> None:
        """Invite somebody and note it."""
        self.store.invite(release, self.people[who], opens)
        self.store.append(release.id, "halcyon", "invite", {"account": who, "opens": opens, "target": ""}, at)

    def send(self, release: Release, who: str, on: str, day: float, ids: list[str], best: float, tau: float) -> None:
        """Send a batch of claims that are a little better than the last."""
        chip, policy = CHIPS[on], Policy("cold", CHIPS[on].cores)
        at = START + day * DAY
        begun = next(day for name, (day, *_) in ENTRANTS[who].items() if name == on)
        claims = []
        for id in ids:
            said = self.store.said(release.id, id, at)
            assert said is not None
            least = floor(Computation.of_row(said), chip, "cold") or 1e-6
            ripe = 1 - math.exp(-(day - begun) / tau)
            share = (
                best * (0.22 + 0.78 * ripe) * self.lucky.uniform(0.82, 1.04) * (0.7 + 0.3 * (int(id[-2:], 16) / 255))
            )
            self.eff[who, on, id] = share = max(share, self.eff.get((who, on, id), 0.0) * self.lucky.uniform(0.9, 1.1))
            share = min(share, 0.93)
            middle = (least + 4e-7) / share
            samples = tuple(sorted(middle * self.lucky.uniform(0.985, 1.02) for _ in range(7)))
            claims.append(
                ClaimedTrial(
                    **{"workload": id, "target": chip, "toolchain": TOOLS, "policy": policy},
                    **{"schedule": self.plan(), "samples": samples, "median": samples[3]},
                    **{"spread": samples[5] - samples[1], "build_s": 0.4, "machine": f"{who}-lab-1"},
                    **{"evidence": {}, "created": at - 600},
                )
            )
        made = Batch(who, tuple(claims), release.name, f"{self.lucky.getrandbits(128):032x}", at - 60)
        account, public = self.people[who], self.keys[who].public
        answer = take(self.store, made, public, 0, account, at, self.demo.key, SPACES)
        self.judge(release, answer["claims"], at, bool(day > begun))

    def plan(self) -> Schedule:
        """A schedule with knobs, or now and then one with a trace."""
        if self.lucky.random() < 0.25:
            trace = json.loads(json.dumps(TRACE))
            trace[1] = [[2, [2 ** self.lucky.randint(0, 5), self.lucky.randint(1, 16)]], [5, self.lucky.randint(0, 2)]]
            return Schedule("generic", 1, {"trace": trace})
        drawn = {name: 2 ** self.lucky.randint(0, 6) for name in ("mr", "vectors", "tiles", "panels", "unroll")}
        return Schedule(
            "panels", 2, {**drawn, "block": 64 * self.lucky.randint(1, 32), "fetch": self.lucky.randint(0, 9)}
        )

    def judge(self, release: Release, trials: list[str], at: float, strict: bool) -> None:
        """Let referees look at most of them, and refuse some where they are strict."""
        for trial in trials:
            drawn = self.lucky.random()
            if drawn < 0.2:
                continue
            outcome = (
                Outcome.REPRODUCED
                if drawn < 0.7
                else Outcome.REPLAYED
                if drawn < 0.93 or not strict
                else Outcome.REFUSED
            )
            reason = self.lucky.choice(REFUSALS) if outcome is Outcome.REFUSED else ""
            evidence = {"rounds": 5, "seeds": 3, "ratio to the claim": round(self.lucky.uniform(0.98, 1.03), 3)}
            said = [Verdict(trial, self.people["arbiter"].id, outcome, at + 5 * 3600, reason, evidence)]
            if strict and drawn < 0.21:
                again = "the second machine disagrees: timed again it took 1.4 times as long as claimed"
                said.append(Verdict(trial, self.people["second-look"].id, Outcome.REFUSED, at + 9 * 3600, again))
            for one in said:
                if one.created < self.demo.now:
                    self.store.add_verdict(one)
                    told = {"claim": trial, "outcome": one.outcome.value, "verdict": one.id}
                    log = log_of(self.store, release.id, one.judge, one.created)
                    name = next(name for name, account in self.people.items() if account.id == one.judge)
                    self.store.append(log, name, "judge", told, one.created)


def make(path: Path, operators: int | None = None) -> Demo:
    """Run the race in a new file.

    Args:
        path: the file.
        operators: how many of the model's, all of them with their true texts where it is None.
    """
    demo = Demo(path, SigningKey.new("race.example"))
    model, workloads = described(operators)
    demo.workloads = list(dict.fromkeys(op["workload"] for op in model["ops"]))
    with Store.open(path) as store, store.transaction():
        making = Making(store, demo, random.Random(4))
        making.account("halcyon", "publisher")
        for name in ENTRANTS:
            making.account(name, "vendor")
        for name in ("arbiter", "second-look"):
            making.account(name, "referee")
        making.account("reader", "deployer")
        first = making.release("v4-flash", LAUNCH, START, model, workloads)
        demo.launched = first.id
        for who in (*ENTRANTS, "arbiter", "second-look"):
            if who != "dune":
                opens = min((day for day, *_ in ENTRANTS.get(who, {}).values()), default=0.0)
                making.invite(first, who, START + opens * DAY, START + 3600)
        sent = []
        for who, entered in ENTRANTS.items():
            for on, (day, best, tau) in entered.items():
                sent.append((day, who, on, demo.workloads, best, tau))
                later = day + making.lucky.uniform(1.5, 3)
                while later < (NOW - START) / DAY - 0.5:
                    some = [id for id in demo.workloads if making.lucky.random() < 0.55] or demo.workloads[:1]
                    sent.append((later, who, on, some, best, tau))
                    later += making.lucky.uniform(2.5, 6)
        for day, who, on, ids, best, tau in sorted(sent, key=lambda one: one[0]):
            making.send(first, who, on, day, ids, best, tau)
        # The next one is on: a model at another step, of which each vendor sees its own alone.
        other = {**model, "name": "v5-preview", "step": {**model["step"], "tokens": 32}}
        demo.racing = (second := making.release("v5-preview", NEXT, NOW - 9 * DAY, other, workloads)).id
        for who in ("aurora", "basalt", "arbiter", "second-look"):
            making.invite(second, who, NOW - 6 * DAY, NOW - 9 * DAY)
        for on, (_, best, tau) in ENTRANTS["aurora"].items():
            making.send(second, "aurora", on, (NOW - START) / DAY - 4, demo.workloads, best, tau)
    return demo


@contextmanager
def served(demo: Demo) -> Iterator[Demo]:
    """Serve it, at the moment to look at it."""
    ready = threading.Event()
    began = time.monotonic()
    with listen("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        config = Config(demo.db, demo.key, lambda: demo.now + time.monotonic() - began, readers=2)
        server = make_server(config, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            assert ready.wait(60)
            yield replace(demo, port=port)
        finally:
            server.should_exit = True
            thread.join(60)


def main() -> None:
    """Make it, serve it, and wait for Ctrl-C."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "demo.db"
        with served(make(path)) as demo:
            print(json.dumps({"url": f"http://127.0.0.1:{demo.port}", "tokens": demo.tokens}), flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


if __name__ == "__main__":
    main()
