"""The form of a submission batch: fields, types and limits. ``docs/submissions.md`` says it in words."""

from __future__ import annotations

from typing import Any

from tuning_db.readers import (
    Reader,
    between,
    entries,
    exactly,
    flag,
    mapping,
    matching,
    name,
    one_of,
    optional,
    plain,
    record,
    table,
    whole,
)

SCHEMA, VERSION = "headstart.batch", 1
PAYLOAD_TYPE = f"application/vnd.headstart.batch+json;version={VERSION}"

MAX_BYTES = 4 << 20
MAX_TRIALS = 500
MAX_SAMPLES = 1000
# Characters of a text.
NAMED = 100
# The deepest is a list of blocks in a trace: batch, schedules, schedule, config, trace, instructions, instruction,
# inputs, blocks.
DEPTH = 10
# A timer tells a nanosecond at best; a call of a day is none.
SHORTEST_S, LONGEST_S = 1e-9, 1e5
MAX_SIZE = 2**50


def _id(letter: str, of: str) -> Reader:
    return matching(f"{letter}[0-9a-f]{{24}}", f"the id of a {of}: {letter} and 24 hexadecimal digits")


def _features(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = entries(word, 400)(value)
    if list(found) != sorted(set(found)):
        raise ValueError("must be sorted, each once")
    return found


def _flops(value: Any) -> dict[str, float]:
    found: dict[str, float] = table(word, rate, 32)(value)
    if "float32" not in found:
        raise ValueError("must have float32, which other types are derived from")
    return found


def _list(reader: Reader) -> Reader:
    """A list where JSON has an array, as in what is kept as JSON; elsewhere it is a tuple."""
    return lambda value: list(reader(value))


workload, target, schedule = _id("w", "workload"), _id("c", "target"), _id("s", "schedule")
toolchain, policy = _id("x", "toolchain"), _id("p", "policy")
seconds = between(SHORTEST_S, LONGEST_S, "seconds")
duration = between(0, LONGEST_S, "seconds")
moment = between(1.5e9, 1e10, "seconds since 1970")
word = matching("[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", "at most 64 letters, digits, '.', '_', '+' or '-'")
rate = between(1, 1e18)
size = whole(0, MAX_SIZE)

PEAKS = record({"flops": _flops, "dram": rate, "cache": between(0, 1e18), "source": plain(200)})
SPEC = record(
    {
        "name": name,
        "vendor": plain(NAMED),
        "model": plain(NAMED),
        "tvm": table(word, one_of(plain(NAMED), size, _list(entries(plain(NAMED), 400))), 32),
        "cores": whole(1, 2**20),
        "vector_bits": whole(1, 2**16),
        "features": _features,
        "l1d": size,
        "l2": size,
        "l3": size,
        "memory": size,
        "peaks": optional(PEAKS),
    }
)
# What crowned a trial, see ``Trial.evidence``; what disturbed it is the vendor's own affair and stays at home.
EVIDENCE: dict[str, Reader] = {
    "incumbent": schedule,
    "ratios": _list(entries(between(1e-9, 1e9), MAX_SAMPLES)),
    "again": flag,
    "prepare_s": duration,
    "settled": flag,
}
TRIAL = record(
    {
        "workload": workload,
        "target": target,
        "toolchain": toolchain,
        "policy": policy,
        "schedule": schedule,
        "status": exactly("ok"),
        "samples": entries(seconds, MAX_SAMPLES, 1),
        "median": seconds,
        "spread": duration,
        "build_s": duration,
        "machine": plain(NAMED),
        "evidence": record({}, EVIDENCE),
        "created": moment,
    }
)
# What trials name by id, once each and in the order of ids: readers of one entry, and how many there may be.
TABLES: dict[str, Reader] = {
    "targets": entries(record({"fingerprint": target, "spec": SPEC}), 16),
    "toolchains": entries(record({"id": toolchain, "versions": table(word, plain(NAMED), 32)}), 16),
    "policies": entries(
        record(
            {"id": policy, "cache": matching("warm|cold", "warm or cold"), "threads": whole(1, 2**16), "clock": name}
        ),
        16,
    ),
    "schedules": entries(
        record({"id": schedule, "space": name, "version": whole(1, 2**31 - 1), "config": mapping}), MAX_TRIALS
    ),
}
BATCH = record(
    {
        "schema": exactly(SCHEMA),
        "version": exactly(VERSION),
        "release": optional(name),
        "vendor": name,
        "nonce": matching("[0-9a-f]{32}", "32 hexadecimal digits"),
        "created": moment,
        **TABLES,
        "trials": entries(TRIAL, MAX_TRIALS, 1),
    }
)
