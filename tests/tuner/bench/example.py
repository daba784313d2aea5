"""Results of a benchmark that never ran."""

from __future__ import annotations

from tuner.bench.result import CaseResult, PeerResult, Result, RoofResult

HOSTILE = """</script><img src=x onerror=alert(2)>"'&$\\frac$ ]]>"""


def case(name: str, **rounds: tuple[float, ...]) -> CaseResult:
    """A workload with the medians of each peer's rounds; a peer without any has failed."""
    peers = tuple(
        PeerResult(peer.replace("_", "-"), "ok", rounds=seconds, samples=9)
        if seconds
        else PeerResult(peer, "failed", HOSTILE)
        for peer, seconds in rounds.items()
    )
    count = max(len(seconds) for seconds in rounds.values())
    roof = RoofResult((5e-4,) * count, (4e10,) * count, (2e11,) * count, (3.9e10,) * count, (9e10,) * count)
    tuning = {"tuned": {"schedule": {"space": "default", "version": 1, "config": {}}, "trials": 7, "seconds": 2.5}}
    return CaseResult(
        name, "linear", "1x64x64 fp32", "w1", {"m": 1}, "cold", 8192, 20_000_000, peers, roof, tuning, 0.3, 0.0
    )


def result(*cases: CaseResult, absent: dict[str, str] | None = None) -> Result:
    """A run of these."""
    titles = {peer.name: f"what {peer.name} is" for one in cases for peer in one.peers}
    machine = {"name": "chip", "model": "Model 1", "cores": 2, "l1d": 1, "l2": 2, "l3": 3, "memory": 4}
    settings = {"rounds": 3, "block_s": 0.3, "evicted_bytes": 2**27}
    return Result(cases, titles, absent or {}, {}, machine, {"tvm": "1"}, settings)


TWO = (
    case("one", tuned=(1e-3, 2e-3, 1e-3), torch=(2e-3, 4e-3, 3e-3), compile=(1.5e-3, 3e-3, 1.5e-3), default=()),
    case("two", tuned=(1e-3, 1e-3, 1e-3), torch=(5e-4, 5e-4, 5e-4), compile=(), default=(4e-3, 4e-3, 4e-3)),
)
