"""A whole benchmark of a small workload, with real processes and what is installed of the peers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psutil
import pytest

from targets import resolve
from tuner.bench.cases import select
from tuner.bench.lineup import PEERS, Entry, chosen
from tuner.bench.page import render
from tuner.bench.result import CaseResult, Result
from tuner.bench.run import Benchmark, Progress, Settings
from tuner.bench.tuned import Tuned
from tuner.task import DEFAULT

pytest.importorskip("torch")
SMALL = ["linear:m=4,n=96,k=128"]
BROKEN = Entry("broken", "a schedule of no space", "headstart", {"schedule": {**DEFAULT.to_json(), "space": "x"}})


@pytest.fixture(scope="module", autouse=True)
def no_search() -> Iterator[None]:
    """The default schedule is the champion of every search; ``tests/cli/test_bench_command.py`` has a real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuner.bench.run.tuned", lambda *_: Tuned(DEFAULT, 2, 0.5, ((0.5, DEFAULT),)))
        patch.setattr("tuner.bench.rounds.AGAIN", 0)
        yield


@pytest.fixture(scope="module")
def run(no_search: None) -> tuple[Result, list[Progress]]:
    """The benchmark; one peer of it cannot be built."""
    seen: list[Progress] = []
    settings = Settings([*chosen("default,numpy,compile"), BROKEN], rounds=2, block_s=0.01)
    with Benchmark(resolve("host"), settings, seen.append) as benchmark:
        cases = list(benchmark.run(select(SMALL, None, "cold")))
        return benchmark.result(cases), seen


def test_everybody_is_timed_in_every_round(run: tuple[Result, list[Progress]]) -> None:
    case = run[0].cases[0]
    assert [peer.name for peer in case.peers] == ["tuned", "default", "numpy", "compile", "broken"]
    for peer in case.peers[:-1]:
        assert peer.status == "ok" and len(peer.rounds) == 2 and peer.samples >= 6, peer
    assert len(case.roof.floors) == 2 and min(case.roof.floors) > 0 and min(case.roof.dram) > 0
    assert case.tuning["tuned"]["trials"] == 2


def test_who_cannot_take_part_is_told_with_the_reason(run: tuple[Result, list[Progress]]) -> None:
    broken = run[0].cases[0].peers[-1]
    assert broken.status == "failed" and "'x'" in broken.error and not broken.rounds


def test_json_and_page(run: tuple[Result, list[Progress]]) -> None:
    document = json.loads(json.dumps(run[0].to_json(), allow_nan=False))
    assert document["workloads"][0]["operator"] == "linear" and document["toolchain"]["torch"]
    assert document["geomean"]["over_tuned"]["tuned"]["median"] == 1.0
    assert "torch.compile" in render(run[0], 0.0)


def test_progress_is_told(run: tuple[Result, list[Progress]]) -> None:
    told = [progress.doing for progress in run[1]]
    assert "tuning" in told and "loading compile" in told and "round 2 of 2: numpy" in told
    assert run[1][-1].at == run[1][-1].of == 1


def test_no_process_outlives_it(run: tuple[Result, list[Progress]]) -> None:
    running = (" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True))
    assert not [command for command in running if "tuner.bench" in command]


def test_seeds_are_compared_with_each_other_and_with_noise() -> None:
    settings = Settings([PEERS["numpy"]], seeds=2, rounds=2, block_s=0.01)
    with Benchmark(resolve("host"), settings) as benchmark:
        (case,) = benchmark.run(select(SMALL, None, "warm"))
    assert isinstance(case, CaseResult)
    assert [peer.name for peer in case.peers] == ["tuned", "again", "seed 1"]
    assert case.tuning.keys() == {"seed 0", "seed 1"} and len(case.ratio("again")) == 2


def test_too_large_is_refused_before_anything_is_made() -> None:
    with Benchmark(resolve("host"), Settings(chosen("numpy"))) as benchmark:
        (case,) = select(["linear:m=1,n=4000000,k=100000"], None, None)
        with pytest.raises(Exception, match="GiB"):
            benchmark._check_memory(case, 2)


def test_the_champion_of_a_moment() -> None:
    other = DEFAULT.__class__("linear_dot", 1, {})
    found = Tuned(other, 5, 9.0, ((1.0, DEFAULT), (4.0, other)))
    assert found.at(0.5) is None and found.at(2.0) == DEFAULT and found.at(9.0) == other
