"""Who can be asked for, and what they lack."""

from __future__ import annotations

import pytest

from targets.errors import InputError
from tuner.bench import lineup
from tuner.bench.lineup import PEERS, USUAL, absent, chosen, environment


def test_names() -> None:
    assert [entry.name for entry in chosen("torch,numpy,torch")] == ["torch", "numpy"]
    assert [entry.name for entry in chosen("all")] == list(PEERS)
    assert "metaschedule" not in USUAL
    with pytest.raises(InputError, match="no peer is called 'tensorflow'; there are default, numpy"):
        chosen("torch,tensorflow")


def test_what_is_missing_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineup, "_installed", lambda name: False)
    for name in ("torch", "compile", "max-autotune"):
        assert "headstart[torch]" in (absent(PEERS[name]) or "")
    assert "cloudpickle and tornado" in (absent(PEERS["metaschedule"]) or "")
    assert absent(PEERS["numpy"]) is None and absent(PEERS["default"]) is None


def test_compiling_takes_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineup, "_installed", lambda name: True)
    monkeypatch.setattr(lineup.shutil, "which", lambda name: None)
    assert "C++ compiler" in (absent(PEERS["compile"]) or "") and absent(PEERS["torch"]) is None


def test_everybody_has_the_same_threads_on_the_same_cpus() -> None:
    for entry in PEERS.values():
        found = environment(entry, (2, 5), "folder")
        assert found["TVM_NUM_THREADS"] == "2" and found["OMP_PLACES"] == "{2},{5}"
    assert environment(PEERS["torch"], (2, 5), "folder")["OMP_NUM_THREADS"] == "2"
    assert environment(PEERS["default"], (2, 5), "folder")["OPENBLAS_NUM_THREADS"] == "1"
