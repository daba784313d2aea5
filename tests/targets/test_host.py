"""The host: found, measured once, kept on disk, and found again."""

import json
import pickle
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import targets
from targets import host, peaks, toolchain
from targets.errors import InputError
from targets.target import Peaks, Target

FIRST = Peaks({"float32": 100e9, "int8": 400e9}, dram=30e9, cache=90e9)
SECOND = Peaks({"float32": 120e9, "int8": 300e9}, dram=20e9, cache=95e9)
BEST = Peaks({"float32": 120e9, "int8": 400e9}, dram=30e9, cache=95e9)


@pytest.fixture
def here(tmp_path, monkeypatch) -> host.Host:
    """A host as a new process sees it, whose peaks would be FIRST, with an empty cache folder."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(peaks, "measure", lambda target: FIRST)
    host.host.cache_clear()
    yield host.host()
    host.host.cache_clear()


def forbid(monkeypatch) -> None:
    def measure(target: Target) -> Peaks:
        raise AssertionError("measured although it need not be")

    monkeypatch.setattr(peaks, "measure", measure)


def test_peaks_are_measured_when_first_read_and_kept(here, monkeypatch):
    assert host.stored_peaks(here) is None
    assert here.peaks == FIRST
    assert host.stored_peaks(here) == FIRST
    forbid(monkeypatch)
    assert here.peaks == FIRST
    host.host.cache_clear()
    assert host.host().peaks == FIRST


def test_fingerprint_and_name_need_no_measurement(here, monkeypatch):
    forbid(monkeypatch)
    assert here.fingerprint.startswith("c") and here.name.endswith(f"-{here.cores}c")
    assert targets.resolve("host") is here
    assert targets.resolve(here.name) is here


def test_measuring_again_keeps_the_best(here, monkeypatch):
    assert here.peaks == FIRST
    monkeypatch.setattr(peaks, "measure", lambda target: SECOND)
    here.measure_again()
    assert here.peaks == BEST
    assert host.stored_peaks(here) == BEST


def test_a_folder_that_cannot_be_written_costs_only_time(here, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    assert here.peaks == FIRST


def test_no_temporary_file_is_left(here, tmp_path):
    assert here.peaks == FIRST
    assert [path.suffix for path in (tmp_path / "cache" / "peaks").iterdir()] == [".json"]


def test_another_toolchain_or_chip_is_another_entry(here, monkeypatch):
    assert here.peaks == FIRST
    assert host.stored_peaks(replace(here, cores=here.cores + 1)) is None
    monkeypatch.setattr(toolchain, "versions", lambda: {"tvm": "0", "llvm": "0"})
    assert host.stored_peaks(here) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries({}, optional=dict.fromkeys(("flops", "dram", "cache", "source"), json_values))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=60), entries.map(lambda value: json.dumps(value).encode())))
def test_a_corrupt_entry_is_no_entry(here, content):
    path = host._file(here)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert host.stored_peaks(here) is None


def test_implausible_figures_are_no_entry(here):
    path = host._file(here)
    path.parent.mkdir(parents=True)
    for bad in (replace(FIRST, dram=0.0), replace(FIRST, cache=-1.0), replace(FIRST, flops={"int8": 1e9})):
        path.write_text(json.dumps(asdict(bad)))
        assert host.stored_peaks(here) is None
    path.write_text(json.dumps(asdict(FIRST)))
    assert host.stored_peaks(here) == FIRST


def test_a_host_travels(here):
    assert pickle.loads(pickle.dumps(here)).fingerprint == here.fingerprint
    assert Target.from_spec(here.spec()).fingerprint == here.fingerprint
    assert Target.from_spec(here.spec()).peaks == FIRST
    assert replace(here, peaks=SECOND).peaks == SECOND


def test_catalogue_names_resolve():
    assert targets.resolve("graviton3").vendor == "AWS"


@pytest.mark.parametrize(("name", "close"), [("gravitn3", "graviton3"), ("hots", "host"), ("H100", "h100")])
def test_unknown_names_are_told_the_closest(here, name, close):
    with pytest.raises(InputError, match=f"unknown target '{name}'; did you mean '{close}'\\? known: host, a100"):
        targets.resolve(name)


def test_unknown_names_without_a_close_one(here):
    with pytest.raises(InputError, match="unknown target 'zzzzzz'; known: host"):
        targets.resolve("zzzzzz")


def test_versions_name_what_builds():
    found = toolchain.versions()
    assert set(found) == {"tvm", "llvm"} and found["tvm"].startswith("0.") and found["llvm"].isdecimal()
    assert {"tvm", "llvm"} <= set(toolchain.versions("rocm"))
