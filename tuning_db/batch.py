"""A submission batch: trials that a vendor claims, as one canonical JSON document that is taken whole or not at all."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from schedules.essence import essence
from schedules.schedule import Schedule
from targets import Target
from targets.digest import canonical_json, digest
from targets.errors import InputError
from tuning_db.batch_format import BATCH, DEPTH, MAX_BYTES, SCHEMA, TABLES, VERSION
from tuning_db.readers import parse
from tuning_db.reasons import Reason, Refused, printable
from tuning_db.records import Key, Policy, Status, Toolchain, Trial
from tuning_db.rules import id_problem, trial_problem

# Table of a batch: the kind of record that its ids are of (``rules.IDS``), and the field of a trial that names them.
KIND = {"targets": "target", "toolchains": "toolchain", "policies": "policy", "schedules": "schedule"}
# Fields of a claim that a batch has as they are.
FIGURES = ("samples", "median", "spread", "build_s", "machine", "evidence", "created")


@dataclass(frozen=True)
class ClaimedTrial:
    """One trial that a vendor says went like this, with what it was made of in place of ids.

    Attributes:
        workload: id; the computation itself is never the vendor's to send.
        target: the chip it declares, with the peaks it declares.
        samples, median, spread, build_s: seconds, as in ``Trial``.
        evidence: as in ``Trial``, of the fields in ``batch_format.EVIDENCE``.
        created: seconds since 1970.
    """

    workload: str
    target: Target
    toolchain: Toolchain
    policy: Policy
    schedule: Schedule
    samples: tuple[float, ...]
    median: float
    spread: float
    build_s: float
    machine: str
    evidence: Mapping[str, Any]
    created: float

    @cached_property
    def key(self) -> Key:
        """What it is a claim about."""
        return Key(self.workload, self.target.fingerprint, self.toolchain.id, self.policy.id)

    @cached_property
    def id(self) -> str:
        """Hash of key, schedule and samples: equal where somebody sends the same measurement again."""
        return claim_id(self.key, self.schedule.id, self.samples)

    @cached_property
    def essence(self) -> str:
        """Hash of what of its schedule makes a difference; of one that ``check_schedule`` has passed."""
        return essence(self.schedule)

    def trial(self, author: str, job: str = "") -> Trial:
        """The trial as it is stored, with an id of its own."""
        return Trial(
            self.key, self.schedule.id, Status.OK, self.samples, self.median, self.spread, build_s=self.build_s,
            evidence=self.evidence, machine=self.machine, author=author, job=job, created=self.created,
        )  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Claims of one vendor, for one release or for the public.

    Attributes:
        vendor: name of who claims it.
        claims: at least one.
        release: name of the release, None for the public.
        nonce: 128 random bits in hex: the same bytes with the same nonce are a retry.
        created: seconds since 1970.
    """

    vendor: str
    claims: tuple[ClaimedTrial, ...]
    release: str | None = None
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    created: float = field(default_factory=time.time)

    @cached_property
    def id(self) -> str:
        """Hash of the bytes."""
        return digest("b", self.dumps().decode())

    @cached_property
    def content(self) -> str:
        """Hash of what is claimed, whatever the order, nonce and time: equal for a batch that is sent once more."""
        return digest("b", canonical_json(sorted(claim.id for claim in self.claims)))

    def dumps(self) -> bytes:
        """The one spelling of the batch: canonical JSON in ASCII.

        Raises:
            InputError: something in it has no place in a batch; the message names the field and the entry.
        """
        whole: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "release": self.release,
            "vendor": self.vendor,
            "nonce": self.nonce,
            "created": self.created,
            **{table: _rows(table, self.claims) for table in TABLES},
            "trials": [_row(claim) for claim in self.claims],
        }
        try:
            # Through the readers, for a number has one spelling, and a mistake is better found before it is sent.
            return canonical_json(BATCH(json.loads(json.dumps(whole)))).encode()
        except ValueError as error:
            raise InputError(printable(f"this cannot be sent in a batch: {error}")) from None


def claim_id(key: Key, schedule: str, samples: Sequence[float]) -> str:
    """Hash of a claim: ``ClaimedTrial.id``, also for one that is a trial in a database by now."""
    parts = [key.workload, key.target, key.toolchain, key.policy, schedule, [float(sample) for sample in samples]]
    return digest("d", canonical_json(parts))


def read_batch(data: bytes) -> Batch:
    """The batch of some bytes; ``dumps`` gives those very bytes again.

    Nothing of it is believed, only its form is right: ``screening`` holds it against what is known.

    Raises:
        Refused: ``too_large`` before anything else is looked at; ``malformed`` where a field is not as documented or
            the spelling is not canonical; ``inconsistent`` where an id is not the hash of its content or figures of a
            trial contradict one another. The message names the field and the entry, counted from 1.
    """
    if len(data) > MAX_BYTES:
        raise Refused(Reason.TOO_LARGE, f"the batch has {len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        whole = BATCH(parse(data, DEPTH))
    except ValueError as error:
        raise Refused(Reason.MALFORMED, f"the batch: {error}") from None
    if canonical_json(whole).encode() != data:
        raise Refused(
            Reason.MALFORMED,
            "the batch: is not canonical JSON: keys sorted, no spaces, ASCII only, the shortest spelling of each "
            "number, a point in every number of seconds or rate",
        )
    tables = {table: _table(table, whole[table]) for table in TABLES}
    claims = tuple(_claim(at, row, tables) for at, row in enumerate(whole["trials"], 1))
    for table, kind in KIND.items():
        if spare := sorted(set(tables[table]) - {row[kind] for row in whole["trials"]}):
            raise Refused(Reason.INCONSISTENT, f"the batch: {table}: no trial names {spare[0]}")
    batch = Batch(whole["vendor"], claims, whole["release"], whole["nonce"], whole["created"])
    # These are its bytes, as was seen above: they need not be made once more.
    vars(batch)["id"] = digest("b", data.decode())
    return batch


def _table(table: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the rows of a table stand for, by id; ids are the hashes of their rows and in order."""
    found: dict[str, Any] = {}
    last = ""
    for at, row in enumerate(rows, 1):
        id = row["fingerprint" if table == "targets" else "id"]
        problem = id_problem(KIND[table], row)
        if problem or id <= last:
            raise Refused(
                Reason.INCONSISTENT, f"the batch: {table}: entry {at}: {problem or 'is not in the order of ids'}"
            )
        found[id], last = MAKE[table](row), id
    return found


MAKE: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "targets": lambda row: Target.from_spec(row["spec"]),
    "toolchains": lambda row: Toolchain(row["versions"]),
    "policies": lambda row: Policy(row["cache"], row["threads"], row["clock"]),
    "schedules": lambda row: Schedule(row["space"], row["version"], row["config"]),
}


def _claim(at: int, row: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> ClaimedTrial:
    """The trial of a row, which is consistent."""
    made = {}
    for table, kind in KIND.items():
        if row[kind] not in tables[table]:
            raise Refused(Reason.INCONSISTENT, f"the batch: trials: entry {at}: {kind} {row[kind]} is not in {table}")
        made[kind] = tables[table][row[kind]]
    claim = ClaimedTrial(workload=row["workload"], **made, **{name: row[name] for name in FIGURES})
    if problem := trial_problem(claim.trial("")):
        raise Refused(Reason.INCONSISTENT, f"the batch: trials: entry {at}: {problem}")
    return claim


def _rows(table: str, claims: Iterable[ClaimedTrial]) -> list[dict[str, Any]]:
    """The table of what claims name, in the order of ids."""
    parts = [getattr(claim, KIND[table]) for claim in claims]
    if table == "targets":
        targets = {target.fingerprint: target for target in parts}
        return [{"fingerprint": id, "spec": target.spec()} for id, target in sorted(targets.items())]
    named = {part.id: part for part in parts}
    return [{"id": id, **part.to_json()} for id, part in sorted(named.items())]


def _row(claim: ClaimedTrial) -> dict[str, Any]:
    """A claim with ids in place of what it names."""
    ids = {"target": claim.target.fingerprint, "toolchain": claim.toolchain.id, "policy": claim.policy.id}
    return ids | {
        "workload": claim.workload,
        "schedule": claim.schedule.id,
        "status": Status.OK.value,
        **{name: getattr(claim, name) for name in FIGURES},
    }
