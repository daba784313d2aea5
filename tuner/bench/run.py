"""Run a benchmark: tune, load every peer, time them in turn, one workload after another."""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from schedules.schedule import Schedule
from targets import Target, detect
from targets.errors import HeadstartError
from targets.roofline import floor_seconds
from targets.target import Peaks
from tuner.bench import rounds
from tuner.bench.cases import Case
from tuner.bench.evict import TIMES, caches, evicts_itself
from tuner.bench.lineup import PEERS, Entry, absent
from tuner.bench.process import Peer, PeerLost
from tuner.bench.result import TUNED, CaseResult, PeerResult, Result, RoofResult
from tuner.bench.tuned import Search, Tuned, tuned
from tuner.job import Event
from tuner.task import DEFAULT, traffic
from tuner.toolchain import toolchain
from tuning_db.records import Policy

SEED = 1
# Seconds that making ready may take; max-autotune compiles for a while.
LOAD_S = 600.0
STOCK = "metaschedule"
# Seconds of a MetaSchedule trial, at most; it needs one to four.
STOCK_TRIAL_S = 20.0
# Headstart is compared with MetaSchedule at this part of its time, too.
HEAD_START = 20


@dataclass(frozen=True)
class Settings:
    """How to compare.

    Attributes:
        entries: who takes part besides the tuned schedule.
        search: how the tuned schedule is found.
        seeds: with two or more, champions of searches with so many seeds are compared instead.
        rounds, block_s: how often each peer is timed, and for how long.
    """

    entries: Sequence[Entry]
    search: Search = field(default_factory=Search)
    seeds: int = 1
    rounds: int = 5
    block_s: float = 0.3


@dataclass(frozen=True)
class Progress:
    """What is going on: which case, what is done with it, how far that is."""

    case: str
    at: int
    of: int
    doing: str


class Benchmark:
    """Processes of peers, kept from one workload to the next; close it, or use it as a context manager.

    Args:
        target: the chip of this machine, see ``targets.resolve("host")``.
        settings: how to compare.
        listener: called with what is going on.
    """

    def __init__(
        self, target: Target, settings: Settings, listener: Callable[[Progress], None] = lambda progress: None
    ) -> None:
        self.target, self.settings, self.listener = target, settings, listener
        self._stack = ExitStack()
        self.folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headstart-bench-"))
        # Without peaks, which nobody reads here: they are measured in every round.
        self._chip = detect.host()
        self.absent = {e.name: reason for e in settings.entries if (reason := absent(e)) is not None}
        self.titles: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self._peers: dict[str, Peer] = {}
        self._roof = self._peer(Entry("roof", "the machine", "roof"))
        self._where = Progress("", 0, 0, "")

    def __enter__(self) -> Benchmark:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove what was compiled."""
        for peer in self._peers.values():
            peer.close()
        self._stack.close()

    def run(self, cases: Sequence[Case]) -> Iterator[CaseResult]:
        """Compare on one case after another; what cannot be compared is in ``skipped`` with the reason."""
        self._start(len(cases))
        for at, case in enumerate(cases, 1):
            self._where = Progress(case.name, at, len(cases), "")
            try:
                yield self._case(case)
            except (HeadstartError, PeerLost) as error:
                self.skipped[case.name] = str(error)

    def result(self, cases: Sequence[CaseResult]) -> Result:
        """The run as a whole."""
        machine = {name: getattr(self._chip, name) for name in ("name", "model", "cores", "l1d", "l2", "l3", "memory")}
        search = self.settings.search
        settings = {
            "rounds": self.settings.rounds,
            "block_s": self.settings.block_s,
            "trials": search.trials,
            "seconds": search.seconds,
            "database": str(search.db) if search.db else None,
            "seeds": self.settings.seeds,
            "evicted_bytes": TIMES * caches(self._chip),
        }
        tools = {**toolchain(self._chip).versions, **_versions(), "python": platform.python_version()}
        return Result(tuple(cases), self.titles, self.absent, self.skipped, machine, tools, settings)

    def _start(self, count: int) -> None:
        """Start all processes at once, and wait for them: nothing may be timed while they import what they need."""
        self._where = Progress("", 0, count, "")
        self._say("starting a process for each peer")
        ours = [_ours(name, "", DEFAULT) for name in ((TUNED, "again") if self.settings.seeds > 1 else (TUNED,))]
        others = () if self.settings.seeds > 1 else self.settings.entries
        for entry in (*ours, *others):
            if entry.name not in self.absent:
                self._peer(entry)
        for peer in self._peers.values():
            peer.start()
        for peer in self._peers.values():
            with contextlib.suppress(PeerLost):  # asked for something again, it will say so again
                peer.ask("hello", LOAD_S)

    def _say(self, doing: str) -> None:
        self.listener(replace(self._where, doing=doing))

    def _peer(self, entry: Entry) -> Peer:
        """The process of an entry; the one there is, if there is one."""
        if entry.name not in self._peers:
            self._peers[entry.name] = Peer(entry, self._chip, detect.cpus(), self.folder)
        peer = self._peers[entry.name]
        peer.entry = entry
        return peer

    def _case(self, case: Case) -> CaseResult:
        entries, tuning = self._seeded(case) if self.settings.seeds > 1 else self._entries(case)
        self._check_memory(case, len(entries))
        spec = {"operator": case.operator, "params": dict(case.params)}
        reference = str(Path(self.folder, "reference"))
        self._say("computing the reference")
        self._roof.ask("reference", LOAD_S, workload=spec, seed=SEED, path=reference)
        self._roof.ask("roof", LOAD_S, nbytes=case.workload.bytes)
        loaded: dict[str, PeerResult] = {}
        for entry in entries:
            self._say(f"loading {entry.name}")
            self.titles.setdefault(entry.name, entry.title)
            loaded[entry.name] = self._load(entry, spec, case, reference)
        if error := tuning.get(STOCK, {}).get("error"):
            self.titles.setdefault(STOCK, PEERS[STOCK].title)
            loaded[STOCK] = PeerResult(STOCK, "failed", error)
        ready = [self._peer(entry) for entry in entries if loaded[entry.name].status == "ok"]
        timed = rounds.run(
            ready,
            list(self._peers.values()),
            self._roof,
            self.settings.rounds,
            self.settings.block_s,
            lambda number, name: self._say(f"round {number + 1} of {self.settings.rounds}: {name}"),
        )
        return self._result(case, loaded, timed, tuning)

    def _load(self, entry: Entry, spec: dict[str, Any], case: Case, reference: str) -> PeerResult:
        arguments = {"seed": SEED, "cold": case.cache == "cold", "reference": reference}
        try:
            answer = self._peer(entry).ask("load", LOAD_S, workload=spec, options=dict(entry.options), **arguments)
        except PeerLost as lost:
            return PeerResult(entry.name, "failed", str(lost))
        note, stand_in = answer.get("note", ""), answer.get("stand_in", False)
        return PeerResult(entry.name, answer["status"], answer["error"], note, stand_in, answer.get("seconds"))

    def _tuned(self, case: Case, search: Search) -> Tuned:
        made = 0

        def listen(event: Event) -> None:
            nonlocal made
            made += 1
            self._say(f"tuning: {made} trials")

        self._say("tuning")
        return tuned(case, self.target, search, self.folder, listen)

    def _seeded(self, case: Case) -> tuple[list[Entry], dict[str, Any]]:
        """Champions of searches that differ in nothing but the seed, and the first one twice: that is the noise."""
        searches = [replace(self.settings.search, db=None, seed=seed) for seed in range(self.settings.seeds)]
        found = [self._tuned(case, search) for search in searches]
        entries = [_ours(TUNED, "Headstart, tuned with seed 0", found[0].schedule)]
        entries.append(_ours("again", "the same schedule in another process", found[0].schedule))
        for seed, one in list(enumerate(found))[1:]:
            entries.append(_ours(f"seed {seed}", f"Headstart, tuned with seed {seed}", one.schedule))
        return entries, {f"seed {seed}": _tuning_json(one) for seed, one in enumerate(found)}

    def _entries(self, case: Case) -> tuple[list[Entry], dict[str, Any]]:
        """Those that take part and are there, the tuned schedule first."""
        found = self._tuned(case, self.settings.search)
        entries = [_ours(TUNED, "Headstart, tuned", found.schedule)]
        tuning = {TUNED: _tuning_json(found)}
        for entry in self.settings.entries:
            if entry.name in self.absent:
                continue
            if entry.name == "default":
                entries.append(_ours(entry.name, entry.title, DEFAULT))
            elif entry.name == STOCK:
                stock, tuning[entry.name] = self._stock(case, entry, found)
                entries += stock
            else:
                entries.append(entry)
        return entries, tuning

    def _stock(self, case: Case, entry: Entry, found: Tuned) -> tuple[list[Entry], dict[str, Any]]:
        """MetaSchedule at the same trials and at the same time, and Headstart at a part of MetaSchedule's time."""
        self._say(f"MetaSchedule searches, {found.trials} trials")
        spec = {"operator": case.operator, "params": dict(case.params)}
        searcher = Peer(entry, self._chip, detect.cpus(), self.folder)
        self._peers["search"] = searcher
        arguments = {"trials": found.trials, "seconds": found.seconds, "folder": self.folder}
        try:
            answer = searcher.ask("search", 300 + STOCK_TRIAL_S * found.trials, workload=spec, **arguments)
        except PeerLost as lost:
            answer = {"error": str(lost)}
        searcher.close()
        entries = []
        for key, name, how in (
            ("trials", STOCK, "at as many trials"),
            ("seconds", f"{STOCK}-time", "in as much time"),
        ):
            part = answer.get(key)
            if part is not None and part["found"]:
                options = {"module": str(Path(self.folder, f"{key}.json"))}
                entries.append(Entry(name, f"{entry.title}, {how}", "metaschedule", options))
        early = found.at(answer["trials"]["seconds"] / HEAD_START) if "trials" in answer else None
        if early is not None:
            entries.append(_ours("early", f"Headstart, tuned for 1/{HEAD_START} of MetaSchedule's time", early))
        return entries, answer

    def _check_memory(self, case: Case, count: int) -> None:
        """Refuse what would have to be swapped: every process has the arguments twice, and torch packs them once more.

        Raises:
            HeadstartError: it is too large.
        """
        copies = 1 if case.cache == "warm" or evicts_itself(case.workload.bytes, self._chip) else 2
        need = case.workload.bytes * (copies + 1) * count
        room = psutil.virtual_memory().available + sum(peer.resident() for peer in self._peers.values())
        if need > 0.8 * room:
            raise HeadstartError(
                f"{count} processes need about {need / 2**30:.0f} GiB for it, and {room / 2**30:.0f} GiB are free; "
                "compare with fewer peers"
            )

    def _result(
        self, case: Case, loaded: dict[str, PeerResult], timed: rounds.Timed, tuning: dict[str, Any]
    ) -> CaseResult:
        peers = []
        for name, peer in loaded.items():
            if name in timed.lost:
                peers.append(replace(peer, status="failed", error=timed.lost[name]))
            else:
                peers.append(
                    replace(peer, rounds=tuple(timed.seconds.get(name, ())), samples=timed.samples.get(name, 0))
                )
        of = case.workload
        peaks = [Peaks(**answer["peaks"]) for answer in timed.roof]
        near = traffic(of, Policy(case.cache, self._chip.cores))
        floors = [floor_seconds(replace(self._chip, peaks=p), of.flops, *near, of.arithmetic) for p in peaks]
        roof = RoofResult(
            tuple(floors),
            tuple(p.dram for p in peaks),
            tuple(p.bound(of.arithmetic) for p in peaks),
            tuple(answer["cold"] for answer in timed.roof),
            tuple(answer["warm"] for answer in timed.roof),
        )
        return CaseResult(
            case.name,
            of.operator,
            of.label,
            of.id,
            dict(of.params),
            case.cache,
            of.flops,
            of.bytes,
            tuple(peers),
            roof,
            tuning,
            timed.disturbance,
            timed.awake,
        )


def _ours(name: str, title: str, schedule: Schedule) -> Entry:
    return Entry(name, title, "headstart", {"schedule": schedule.to_json()})


def _tuning_json(found: Tuned) -> dict[str, Any]:
    return {"schedule": found.schedule.to_json(), "trials": found.trials, "seconds": found.seconds}


def _versions() -> dict[str, str]:
    """Versions of what peers are made of, where installed."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("numpy", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
