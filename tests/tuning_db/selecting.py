"""A selection that is right, and how to draw others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from headstart_runtime.row_plan import AnyKernel, BundleFamily, FamilyKernel, RowRange
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

# What two of its workloads come to, with any number of rows up to 16.
FAMILY = BundleFamily(
    names=("op1",),
    operator="linear",
    params={"n": 1, "k": 64},
    row_parameter="m",
    sliced=("A", "C"),
    largest=16,
    kernels=(FamilyKernel(4, f"w{4:024x}"), FamilyKernel(16, f"w{1:024x}")),
    any=(AnyKernel(5, 9, f"w{4:024x}_any"),),
    plans=(RowRange(1, 4, (4,)), RowRange(5, 9, ()), RowRange(10, 12, (4, 4, 4)), RowRange(13, 16, (16,))),
)
FEWER = {**STEP, "tokens": 4, "batch": 4}
ROWS = replace(
    SELECTION,
    kernels=(*SELECTION.kernels, replace(kernel(1), workload=f"w{4:024x}", params={"m": 4, "n": 1, "k": 64})),
    smaller=(FEWER,),
    families=(FAMILY,),
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
one_step = st.builds(
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


@st.composite
def with_families(draw: st.DrawFn) -> Selection:
    """A selection with kernels that differ in rows alone, plans of each, and perhaps more steps."""
    selection = draw(one_step)
    rows = sorted(draw(st.sets(st.integers(1, 40), min_size=1, max_size=4)))
    operator, params, names = draw(words), {"n": draw(st.integers(1, 9))}, draw(st.lists(words, min_size=1, max_size=2))
    ids = [f"w{0xFA_0000 + count:024x}" for count in rows]
    more = tuple(
        SelectedKernel(tuple(names), id, operator, "", {**params, "m": count}, 1, draw(candidates))
        for id, count in zip(ids, rows, strict=True)
    )
    own = tuple(map(FamilyKernel, rows, ids))
    padded = [RowRange(first, last, (last,)) for first, last in zip([1, *(r + 1 for r in rows)], rows, strict=False)]
    function = AnyKernel(1, rows[0], draw(st.from_regex("[a-z_][a-z0-9_]{0,8}", fullmatch=True)))
    any_ = (function,) if draw(st.booleans()) else ()
    if any_:
        padded[0] = RowRange(1, rows[0], ())
    family = BundleFamily(tuple(names), operator, params, "m", ("A",), rows[-1], own, any_, tuple(padded))
    fewer = sorted(draw(st.sets(st.integers(1, selection.step["tokens"] - 1)))) if selection.step["tokens"] > 1 else []
    smaller = tuple({**selection.step, "tokens": count} for count in fewer)
    return replace(selection, kernels=(*selection.kernels, *more), smaller=smaller, families=(family,))


selections = one_step | with_families()
