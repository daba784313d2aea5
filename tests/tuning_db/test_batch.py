"""Batches: one spelling, every field held to its form, and nothing but the documented refusal for anything else."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tuning_db.batch
from schedules.schedule import Schedule
from targets import catalogue
from targets.digest import canonical_json
from targets.errors import InputError
from tests.tuning_db.claims import TRACE, batch, changed, claim, knobs, reschedule, traced
from tuning_db.batch import Batch, read_batch
from tuning_db.batch_format import MAX_BYTES, MAX_SAMPLES, MAX_TRIALS
from tuning_db.reasons import LONGEST, Reason, Refused
from tuning_db.records import Status

Change = Callable[[dict[str, Any]], object]


def refused(data: bytes) -> Refused:
    """Read what must be refused; what is said is one line of ASCII."""
    with pytest.raises(Refused) as failure:
        read_batch(data)
    said = str(failure.value)
    assert said.isascii() and said.isprintable() and len(said) <= LONGEST
    return failure.value


def test_there_and_back() -> None:
    data = batch().dumps()
    read = read_batch(data)
    assert read == batch()
    assert read.dumps() == data
    assert data == canonical_json(json.loads(data)).encode()
    assert read.id == batch().id
    assert read.claims[1].schedule.config["trace"] == TRACE
    assert read.claims[0].target.peaks == batch().claims[0].target.peaks


def test_a_claim_becomes_a_trial() -> None:
    one = claim(1)
    trial = one.trial("acme", "j1")
    assert (trial.key, trial.schedule, trial.status) == (one.key, one.schedule.id, Status.OK)
    assert (trial.author, trial.job, trial.machine, trial.samples) == ("acme", "j1", "somewhere", one.samples)
    assert one.trial("acme").id != trial.id


def test_ids_of_batches_and_of_what_is_in_them() -> None:
    one = batch(nonce="1" * 32)
    assert one.id != batch().id
    assert one.content == batch().content == batch(*reversed(batch().claims)).content
    assert batch(claim(1)).content != batch(claim(2)).content
    assert claim(1).id == claim(1, machine="elsewhere", created=1.76e9).id
    assert len({Batch("a", ()).nonce for _ in range(9)}) == 9


def test_whole_numbers_of_a_vendor_are_sent_as_the_format_has_them() -> None:
    one = batch(claim(1, samples=(1, 2, 3), build_s=1, evidence={"prepare_s": 2}), created=1750000000)
    read = read_batch(one.dumps())
    assert read.claims[0].samples == (1.0, 2.0, 3.0)
    assert b'"samples":[1.0,2.0,3.0]' in one.dumps()


@pytest.mark.parametrize("name", sorted(catalogue.specs()))
def test_every_chip_of_the_catalogue_can_be_declared(name: str) -> None:
    chip = catalogue.target(name)
    read = read_batch(batch(claim(1, target=chip)).dumps())
    assert read.claims[0].target == chip
    assert read.claims[0].target.peaks == chip.peaks
    assert read.claims[0].key.target == chip.fingerprint


def test_what_cannot_be_sent_is_said_before_it_is() -> None:
    with pytest.raises(InputError, match=r"trials: entry 2: samples: entry 1: must be seconds"):
        batch(claim(1), claim(2, samples=(float("inf"), 1.0, 1.0))).dumps()
    with pytest.raises(InputError, match="vendor: must be"):
        batch(vendor="Acme").dumps()


def put(*path: Any, value: Any) -> Change:
    """A change of one value."""

    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


def drop(*path: Any) -> Change:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


TEXT = "at most 100 printable"
MALFORMED: dict[str, tuple[Change, str]] = {
    "schema": (put("schema", value="other"), "schema: must be 'headstart.batch'"),
    "later version": (put("version", value=2), "version: must be 1"),
    "version as a boolean": (put("version", value=True), "version: must be 1"),
    "version as a fraction": (put("version", value=1.0), "version: must be 1"),
    "no vendor": (drop("vendor"), "must have the fields schema, version"),
    "more": (put("more", value=1), "missing or too many: more"),
    "field with a control": (put("a\u202e\n", value=1), r"too many: a\u202e"),
    "long field": (put("a" * 10**5, value=1), "..."),
    "vendor of wrong type": (put("vendor", value=5), "vendor: must be at most 64"),
    "vendor in capitals": (put("vendor", value="Acme"), "vendor: must be"),
    "empty vendor": (put("vendor", value=""), "vendor: must be"),
    "long vendor": (put("vendor", value="a" * 65), "vendor: must be"),
    "vendor with a newline": (put("vendor", value="acme\n"), "vendor: must be"),
    "path as a vendor": (put("vendor", value="../acme"), "vendor: must be"),
    "release": (put("release", value="r 1"), "release: must be"),
    "nonce": (put("nonce", value="0" * 31), "nonce: must be 32 hex"),
    "nonce in capitals": (put("nonce", value="A" * 32), "nonce: must be 32 hex"),
    "time of making": (put("created", value=1e308), "created: must be seconds since 1970"),
    "text as a time": (put("created", value="now"), "created: must be seconds since 1970"),
    "no trials": (put("trials", value=[]), "trials: must be an array of 1 to 500"),
    "trials of wrong type": (put("trials", value={}), "trials: must be an array"),
    "trial of wrong type": (put("trials", 1, value=[]), "trials: entry 2: must be an object"),
    "trial without a field": (drop("trials", 2, "build_s"), "trials: entry 3: must have the fields"),
    "trial with an author": (put("trials", 0, "author", value="me"), "trials: entry 1: must have the fields"),
    "workload": (put("trials", 0, "workload", value="w0"), "trials: entry 1: workload: must be the id of a workload"),
    "failed": (put("trials", 0, "status", value="timeout"), "trials: entry 1: status: must be 'ok'"),
    "status of wrong type": (put("trials", 0, "status", value=["ok"]), "trials: entry 1: status: must be 'ok'"),
    "no samples": (put("trials", 0, "samples", value=[]), "samples: must be an array of 1 to 1000"),
    "many samples": (put("trials", 0, "samples", value=[1e-3] * (MAX_SAMPLES + 1)), "samples: must be an array"),
    "sample as text": (put("trials", 0, "samples", 1, value="1"), "trials: entry 1: samples: entry 2: must be seconds"),
    "sample true": (put("trials", 0, "samples", 1, value=True), "samples: entry 2: must be seconds"),
    "sample null": (put("trials", 0, "samples", 1, value=None), "samples: entry 2: must be seconds"),
    "median": (put("trials", 0, "median", value=None), "median: must be seconds"),
    "spread": (put("trials", 0, "spread", value=-1e-9), "spread: must be seconds"),
    "build time": (put("trials", 0, "build_s", value=1e6), "build_s: must be seconds"),
    "machine": (put("trials", 0, "machine", value="a" * 101), f"machine: must be {TEXT}"),
    "machine of wrong type": (put("trials", 0, "machine", value=None), f"machine: must be {TEXT}"),
    "evidence": (put("trials", 0, "evidence", value=[]), "evidence: must be an object"),
    "other evidence": (put("trials", 0, "evidence", "disturbed", value=[]), "evidence: must have the fields"),
    "ratio": (put("trials", 0, "evidence", "ratios", value=[0.5, -1]), "evidence: ratios: entry 2: must be a number"),
    "preparation": (put("trials", 0, "evidence", "prepare_s", value=-1), "evidence: prepare_s: must be seconds"),
    "incumbent": (put("trials", 0, "evidence", "incumbent", value="s1"), "evidence: incumbent: must be the id"),
    "again": (put("trials", 0, "evidence", "again", value=1), "evidence: again: must be true or false"),
    "chip without a core": (put("targets", 0, "spec", "cores", value=0), "targets: entry 1: spec: cores: must be"),
    "chip of huge cache": (put("targets", 0, "spec", "l3", value=2**60), "spec: l3: must be a whole number"),
    "chip of another name": (put("targets", 0, "spec", "name", value="a b"), "spec: name: must be"),
    "chip of a long model": (put("targets", 0, "spec", "model", value="a" * 101), f"spec: model: must be {TEXT}"),
    "attribute of wrong type": (put("targets", 0, "spec", "tvm", "zz", value=None), "spec: tvm: entry 5: must be"),
    "nested attribute": (put("targets", 0, "spec", "tvm", "zz", value={}), "spec: tvm: entry 5: must be"),
    "attribute of an odd name": (put("targets", 0, "spec", "tvm", "z z", value=1), "spec: tvm: entry 5: must be"),
    "features out of order": (put("targets", 0, "spec", "features", value=["fma", "avx2"]), "features: must be sorted"),
    "feature twice": (put("targets", 0, "spec", "features", value=["fma", "fma"]), "features: must be sorted"),
    "peak of nothing": (put("targets", 0, "spec", "peaks", "dram", value=0), "peaks: dram: must be a number"),
    "endless peak": (put("targets", 0, "spec", "peaks", "flops", "float32", value=1e300), "flops: entry "),
    "no peak of float32": (drop("targets", 0, "spec", "peaks", "flops", "float32"), "flops: must have float32"),
    "version of wrong type": (put("toolchains", 0, "versions", "tvm", value=27), "versions: entry "),
    "threads": (put("policies", 0, "threads", value=0), "policies: entry 1: threads: must be a whole number"),
    "other cache": (put("policies", 0, "cache", value="hot"), "cache: must be warm or cold"),
    "schedule of odd space": (put("schedules", 0, "space", value="\0"), "schedules: entry 1: space: must be"),
    "version zero": (put("schedules", 0, "version", value=0), "version: must be a whole number from 1"),
    "config": (put("schedules", 0, "config", value=[]), "config: must be an object"),
    "too many targets": (lambda d: d["targets"].extend(d["targets"] * 16), "targets: must be an array of 0 to 16"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_every_field_is_held_to_its_form(name: str) -> None:
    change, why = MALFORMED[name]
    refusal = refused(changed(change))
    assert refusal.reason is Reason.MALFORMED
    assert why in str(refusal)


INCONSISTENT: dict[str, tuple[Change, str]] = {
    "schedule under another id": (put("schedules", 0, "config", "mr", value=77), "schedules: entry 1: its content"),
    "chip under another fingerprint": (put("targets", 0, "spec", "cores", value=3), "targets: entry 1: its content"),
    "toolchain": (put("toolchains", 0, "versions", "tvm", value="9"), "toolchains: entry 1: its content"),
    "policy": (put("policies", 0, "threads", value=3), "policies: entry 1: its content"),
    "a trial of nothing": (put("trials", 1, "schedule", value="s" + "0" * 24), "entry 2: schedule s0"),
    "a chip that is not there": (put("trials", 1, "target", value="c" + "0" * 24), "is not in targets"),
    "order of a table": (lambda d: d["schedules"].reverse(), "schedules: entry 2: is not in the order of ids"),
    "a row twice": (lambda d: d["policies"].append(d["policies"][0]), "policies: entry 2: is not in the order"),
    "a row that nobody names": (lambda d: d["trials"].pop(), "schedules: no trial names s"),
    "median": (put("trials", 1, "median", value=1e-6), "trials: entry 2: median 1e-06 is not that of the samples"),
    "spread": (put("trials", 1, "spread", value=1.0), "trials: entry 2: spread 1.0 is wider than the samples"),
}


@pytest.mark.parametrize("name", INCONSISTENT)
def test_what_contradicts_itself(name: str) -> None:
    change, why = INCONSISTENT[name]
    refusal = refused(changed(change))
    assert refusal.reason is Reason.INCONSISTENT
    assert why in str(refusal)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version":1}', b'"version":1 }'),
        (b'"build_s":0.5', b'"build_s":5e-1'),
        (b'"build_s":0.5', b'"build_s":0.50'),
        (b'"created":1750000000.0,"', b'"created":1750000000,"'),
        (b'"vendor":"acme"', b'"vendor":"\\u0061cme"'),
        (b'"machine":"somewhere"', b'"machine":"some\\/where"'),
    ],
)
def test_there_is_one_spelling(old: bytes, new: bytes) -> None:
    data = batch().dumps()
    assert old in data
    refusal = refused(data.replace(old, new, 1))
    assert refusal.reason is Reason.MALFORMED
    assert "canonical JSON" in str(refusal)


def test_keys_out_of_order_and_text_around() -> None:
    data = batch().dumps()
    for other in (data + b"\n", b" " + data, json.dumps(json.loads(data)).encode()):
        assert "canonical JSON" in str(refused(other))
    for other in (b"\xef\xbb\xbf" + data, data + b"{}", data[:-1], b"", data.decode().encode("utf-16")):
        assert refused(other).reason is Reason.MALFORMED


def test_limits_can_be_reached() -> None:
    many = [claim(n, samples=tuple(1e-3 + at * 1e-9 for at in range(n % 3 + 3))) for n in range(MAX_TRIALS)]
    assert len(read_batch(batch(*many).dumps()).claims) == MAX_TRIALS
    with pytest.raises(InputError, match="schedules: must be an array of 0 to 500"):
        batch(*many, claim(MAX_TRIALS)).dumps()


def test_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_db.batch, "parse", None)  # it would fail if it were looked at
    assert refused(b" " * (MAX_BYTES + 1)).reason is Reason.TOO_LARGE


def test_any_json_in_a_config_survives_reading() -> None:
    """What may be in a schedule is for screening to say; reading only keeps it as it is."""
    config = {"a": [None, True, 1e-300, "\ud83d", "\0", {"": []}], "\u2028": "\U0001f600"}
    one = batch(claim(1, schedule=Schedule("knobs", 1, config)))
    assert read_batch(one.dumps()).claims[0].schedule.config == config


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(data: st.DataObject) -> None:
    """One value of a batch is replaced, at any depth, perhaps with the id of its schedule made right again."""
    document = json.loads(batch().dumps())
    at: Any = document
    while True:
        place = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not (isinstance(at[place], dict | list) and at[place] and data.draw(st.booleans())):
            break
        at = at[place]
    at[place] = data.draw(JSON)
    with suppress(KeyError, TypeError, ValueError, IndexError, StopIteration):
        reschedule(document, 1)
    taken_or_refused(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def taken_or_refused(changed_: bytes) -> None:
    try:
        read = read_batch(changed_)
    except Refused as error:
        assert str(error).isascii() and str(error).isprintable() and len(str(error)) <= LONGEST
    else:
        assert read.dumps() == changed_


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), junk=st.binary(max_size=6), cut=st.booleans())
def test_any_bytes_in_a_batch_are_read_or_refused(seed: int, junk: bytes, cut: bool) -> None:
    whole, lucky = batch().dumps(), random.Random(seed)
    start = lucky.randrange(len(whole))
    end = lucky.randrange(start, len(whole)) if cut else start + len(junk)
    taken_or_refused(whole[:start] + junk + whole[end:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused(data: bytes) -> None:
    refused(data)


def test_a_batch_can_be_copied_and_compared() -> None:
    assert copy.deepcopy(batch()) == batch()
    assert batch(claim(1, schedule=knobs(mr=1))) != batch(claim(1, schedule=traced(TRACE)))
