"""A selection that is right, and how to draw others."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schedules.schedule import Schedule
from tests.tuning_db.example import POLICY, TARGET, TOOLCHAIN, schedule
from tuning_db.records import Policy, Toolchain
from tuning_db.selection import TIERS, Candidate, SelectedKernel, Selection

STEP = {"phase": "decode", "tokens": 16, "batch": 16, "kv_len": 4096, "tp": 1, "ep": 1}


def candidate(tier: str = "measured", knob: int = 1, seconds: float = 1e-3, **fields: Any) -> Candidate:
    """A candidate with ``schedule(knob)``."""
    given: dict[str, Any] = {"default_seconds": 2e-3, "trial": f"t{knob:028x}", "author": "someone", "machine": "one"}
    return Candidate(tier=tier, schedule=schedule(knob), seconds=seconds, **{"created": 1.7e9, **given, **fields})


def kernel(n: int = 1, *candidates: Candidate, calls: int = 3) -> SelectedKernel:
    """A workload that does not exist."""
    params = {"m": 16, "n": n, "k": 64}
    return SelectedKernel((f"op{n}",), f"w{n:024x}", "linear", f"16x{n}x64 fp32", params, calls, candidates)


SELECTION = Selection(
    model="tiny",
    source="a test",
    step=STEP,
    target=TARGET.fingerprint,
    target_name=TARGET.name,
    toolchain=TOOLCHAIN,
    policy=POLICY,
    kernels=(kernel(1, candidate("replayed", 1, 1e-3), candidate("reproduced", 2, 2e-3)), kernel(2)),
    missing={"topk": 4},
)

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | words
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
objects = st.dictionaries(words, values, max_size=3)
times = st.floats(1e-9, 1e5)
schedules = st.builds(Schedule, words, st.integers(1, 99), objects)
candidates = st.lists(st.sampled_from(TIERS), unique=True).flatmap(
    lambda tiers: st.tuples(
        *(
            st.builds(
                Candidate,
                st.just(tier),
                schedules,
                times,
                st.none() | times,
                st.from_regex("t[0-9a-f]{28}", fullmatch=True),
                words,
                words,
                st.floats(0, 1e10),
            )
            for tier in sorted(tiers, key=TIERS.index)
        )
    )
)
kernels = st.builds(
    SelectedKernel,
    st.lists(words, min_size=1, max_size=3).map(tuple),
    st.from_regex("w[0-9a-f]{24}", fullmatch=True),
    words,
    words,
    objects,
    st.integers(0, 2**31),
    candidates,
)
steps = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["decode", "prefill"]),
        **dict.fromkeys(["tokens", "batch", "kv_len", "tp", "ep"], st.integers(1, 9)),
    }
)
selections = st.builds(
    Selection,
    words,
    words,
    steps,
    st.from_regex("c[0-9a-f]{24}", fullmatch=True),
    words,
    st.builds(Toolchain, st.dictionaries(words, words, max_size=3)),
    st.builds(Policy, st.sampled_from(["warm", "cold"]), st.integers(1, 128)),
    st.lists(kernels, min_size=1, max_size=3, unique_by=lambda kernel: kernel.workload).map(tuple),
    st.dictionaries(words, st.integers(0, 9), max_size=2),
)
