"""Named workloads to compare on, and suites of them. Shapes are those of DeepSeek-V3.2 and V4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from schedules.operator import operators
from schedules.workload import Workload
from targets.errors import InputError
from tuner.best import parse_operator
from tuning_db.store import Store

# Output and input features: V3.2's qkv_a and shared_w2, V4-Flash's shared_w13 and wo_b.
SHAPES = ((2112, 7168), (7168, 2048), (4096, 4096), (4096, 8192))
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Case:
    """A workload under a cache policy.

    Attributes:
        name: what people call it.
        operator, params: of the workload.
        cache: ``cold`` or ``warm``.
    """

    name: str
    operator: str
    params: Mapping[str, Any]
    cache: str

    @cached_property
    def workload(self) -> Workload:
        """The workload."""
        return Workload.load(self.operator, self.params)


@cache
def suites() -> dict[str, tuple[Case, ...]]:
    """Suites by name, ``quick`` first."""
    found = {
        "decode": tuple(_linears((1, 4, 16, 64), SHAPES, "cold")),
        "prefill": tuple(_linears((128, 512, 1024), SHAPES[:3], "warm")),
        "fp8": tuple(_few_bits()),
        "small": tuple(_small()),
    }
    every = {case.name: case for cases in found.values() for case in cases}
    quick = ("linear-fp32-decode", "linear-bf16-decode", "fp8-decode", "rmsnorm-decode")
    return {"quick": tuple(_called(name, every) for name in quick), **found}


# Short names for the ones that are shown most.
SHORT = {
    "linear-fp32-decode": "linear-fp32-m16-4096x4096",
    "linear-bf16-decode": "linear-bf16-m1-4096x4096",
    "fp8-decode": "fp8-m1-4096x4096",
    "rmsnorm-decode": "rmsnorm-t16",
}


def _called(name: str, every: Mapping[str, Case]) -> Case:
    case = every[SHORT[name]]
    return Case(name, case.operator, case.params, case.cache)


def _linears(ms: Sequence[int], shapes: Sequence[tuple[int, int]], policy: str) -> Iterator[Case]:
    for short, dtype in DTYPES.items():
        for m in ms:
            for n, k in shapes:
                params = {"m": m, "n": n, "k": k, "dtype": dtype, "out": dtype}
                yield Case(f"linear-{short}-m{m}-{n}x{k}", "linear", params, policy)


def _few_bits() -> Iterator[Case]:
    """fp8 with 128x128 scales, fp4 with 1x32 scales."""
    for m in (1, 16, 128):
        cache_policy = "warm" if m > 64 else "cold"
        for n, k in ((4096, 4096), (2112, 7168)):
            yield Case(f"fp8-m{m}-{n}x{k}", "linear_fp8", {"m": m, "n": n, "k": k}, cache_policy)
        yield Case(f"fp4-m{m}-4096x4096", "linear_fp4", {"m": m, "n": 4096, "k": 4096}, cache_policy)


def _small() -> Iterator[Case]:
    """What is not a product with weights: at 16 tokens with cold caches, at 512 with warm ones."""
    for tokens, policy in ((16, "cold"), (512, "warm")):
        hyper = {"tokens": tokens, "dim": 4096}
        for name, operator, params in (
            ("rmsnorm", "rmsnorm", {"tokens": tokens, "dim": 7168, "residual": True}),
            ("swiglu-fp8", "swiglu", {"tokens": tokens, "dim": 2048, "limit": 10.0, "quantize": True}),
            ("gate-v3", "moe_gate", {"tokens": tokens, "experts": 256, "topk": 8, "groups": 8, "topk_groups": 4}),
            ("gate-v4", "moe_gate", {"tokens": tokens, "experts": 256, "topk": 6, "score": "sqrtsoftplus"}),
            ("gate-hash", "moe_hash_gate", {"tokens": tokens, "experts": 256, "topk": 6, "vocab": 129280}),
            ("hc-pre", "hc_pre", hyper),
            ("sinkhorn", "sinkhorn", {"tokens": tokens}),
            ("hc-post", "hc_post", hyper),
            ("hc-head", "hc_head", hyper),
        ):
            yield Case(f"{name}-t{tokens}", operator, params, policy)
    logits = {"heads": 64, "dim": 128, "dtype": "float8_e4m3fn"}
    yield Case("mqa-logits-t16", "mqa_logits", {"tokens": 16, "keys": 4096, **logits}, "cold")
    yield Case("mqa-logits-t128", "mqa_logits", {"tokens": 128, "keys": 1024, "window": True, **logits}, "warm")
    attention = {"heads": 64, "dim": 512, "value_dim": 512, "topk": 512, "extra": 128, "sink": True}
    yield Case("sparse-mqa-t16", "sparse_mqa", {"batch": 16, "queries": 1, **attention}, "cold")
    yield Case("sparse-mqa-t128", "sparse_mqa", {"batch": 1, "queries": 128, **attention}, "warm")


def select(words: Sequence[str], store: Store | None, cache_policy: str | None) -> list[Case]:
    """The cases that words name.

    Args:
        words: names of suites and cases, ids of workloads, or one ``OPERATOR`` with ``key=value`` after it.
        store: where ids are looked up, None for nowhere.
        cache_policy: for all of them; None leaves named ones as they are and takes ``cold`` for others.

    Raises:
        InputError: a word that is none of these.
    """
    if words and words[0] in operators() and all("=" in word for word in words[1:]):
        words = [f"{words[0]}:{','.join(words[1:])}"]
    found: dict[str, Case] = {}
    for word in words:
        for case in _cases(word, store):
            policy = cache_policy or case.cache
            found.setdefault(case.name, Case(case.name, case.operator, case.params, policy))
    return list(found.values())


def _cases(word: str, store: Store | None) -> Sequence[Case]:
    every = {case.name: case for cases in suites().values() for case in cases}
    if word in suites():
        return suites()[word]
    if word in every:
        return [every[word]]
    if ":" in word:
        of = parse_operator(word)
        return [Case(f"{of.operator} {of.label}", of.operator, of.params, "cold")]
    if "=" in word:
        raise InputError(
            f"{word} stands for nothing: an operator comes first, as in `headstart bench linear m=1 n=64 k=64`"
        )
    if store is not None and word.startswith("w"):
        row = store.workload(word)
        return [Case(f"{row['operator']} {row['label']}", row["operator"], row["params"], "cold")]
    raise InputError(
        f"{word!r} is no suite ({', '.join(suites())}), no workload of one (headstart bench --list), no operator with "
        "parameters, and no id in a database named with --db"
    )
