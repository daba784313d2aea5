"""The report page: complete, self-contained, and safe whatever the database holds."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from schedules.operator import operators
from schedules.operators.linear import Linear
from schedules.schedule import Schedule
from schedules.workload import Workload
from targets import Target
from targets.errors import InputError, MissingExtra
from targets.target import Peaks
from tuner.failures import failures
from tuner.frontend.model import Model, ModelOp, Step
from tuner.report import Report, champions, gather
from tuner.report.page import BARS, CURVES, REASONS, render, write
from tuner.task import DEFAULT
from tuner.tasks import model_tasks
from tuning_db.records import Key, Status, Trial
from tuning_db.store import Store

PEAKS = Peaks({"float32": 2e11, "bfloat16": 4e11}, 4e10, 2e11)
CHIP = Target("chip", "Maker", "Model 1", {"kind": "llvm", "num-cores": 2}, 2, 512, peaks=PEAKS)
HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&$\\frac$<!-- ]]> \x01"""
NOW = 1_700_000_000.0


def op(name: str, m: int = 16, k: int = 512, dtype: str = "float32", calls: int = 3) -> ModelOp:
    return ModelOp(name, "linear", {"m": m, "n": 256, "k": k, "dtype": dtype, "out": dtype}, calls)


def model(*ops: ModelOp, name: str = "tiny") -> Model:
    return Model(name, "made for a test", Step(), ops or (op("wq"), op("wk", dtype="bfloat16"), op("untried", m=7)))


def trial(key: Key, schedule: Schedule, median: float | None, error: str = "", **more: object) -> Trial:
    """A good trial, or with ``median`` None one that failed with ``error``."""
    if median is None:
        fields = {"status": Status.WRONG_OUTPUT, "error": error or "output 0 is wrong", **more}
    else:
        fields = {"status": Status.OK, "samples": (median,) * 3, "median": median, "spread": 0.0, **more}
    return Trial(key, schedule.id, created=NOW, **fields)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "x.db") as opened:
        yield opened


def fill(
    store: Store, of: Model, medians: Sequence[Sequence[float | None]], target: Target = CHIP, **more: object
) -> Report:
    """A report of trials with these medians, a list for each workload of the model in order, the default first."""
    for task, seconds in zip(model_tasks(store, of, target), medians, strict=False):
        best: float | None = None
        champion = DEFAULT
        for at, median in enumerate(seconds):
            schedule = DEFAULT if at == 0 else Schedule("linear_dot", 1, {"at": at})
            store.add_schedule(schedule.id, schedule.space, schedule.version, dict(schedule.config))
            crown = median is not None and (best is None or median < best)
            evidence = {"incumbent": champion.id, "ratios": [0.5] * 9} if crown and best is not None else {}
            store.add_trial(trial(task.key, schedule, median, evidence=evidence, **more), crown)
            best, champion = (median, schedule) if crown else (best, champion)
    return gather(store, of, target)


class Tags(HTMLParser):
    """What a browser would make elements of, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def words(page: str) -> str:
    return " ".join(Tags(page).text.split())


def test_the_page_says_what_was_found(store: Store) -> None:
    report = fill(
        store, model(ModelOp("attn", "not_there_yet", {}, 9), *model().ops), [[8e-4, 2e-4, None], [6e-4, 3e-4]]
    )
    page = render(report, NOW)
    text = words(page)
    # 3 calls each: (8 + 6) * 3 = 4.20 ms by default, (2 + 3) * 3 = 1.50 ms tuned.
    for figure in ("4.20 ms", "1.50 ms", "2.80x", "4.00x", "800 us", "200 us", "2 of 3 workloads"):
        assert figure in text
    for what in (
        "tiny",
        "decode step, 16 tokens",
        "Maker Model 1",
        "memory 40.0 GB/s",
        "not_there_yet 9",
        "linear 7x256x512",
    ):
        assert what in text
    assert "wrong output 1 linear output 0 is wrong (1)" in text
    assert "2023-11-14 22:13 UTC" in text and "tvm " in text and "Cold: " in text
    assert len(re.findall('<svg role="img" aria-label="', page)) == 3  # the roofline and two curves


def test_the_page_needs_nothing_else(store: Store) -> None:
    page = render(fill(store, model(), [[8e-4, 2e-4]]), NOW)
    parsed = Tags(page)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(parsed.tags)
    links = [value for name, value in parsed.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert all(value is not None and value.startswith("#") for value in links)
    assert not re.findall(r"url\((?!#)", page) and "@import" not in page
    assert len(page) < 200_000


def test_every_id_is_its_own_and_every_reference_leads_somewhere(store: Store) -> None:
    page = render(fill(store, model(), [[8e-4, 2e-4], [6e-4, 3e-4]]), NOW)
    ids = Counter(value for name, value in Tags(page).attributes if name == "id")
    assert ids and max(ids.values()) == 1
    for reference in re.findall(r'(?:href="#|url\(#)([^")]+)', page):
        assert reference in ids


def test_plots_are_well_formed_and_have_no_colour_of_their_own(store: Store) -> None:
    page = render(fill(store, model(op("a$b$ <c>")), [[8e-4, 2e-4, None]]), NOW)
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(plots) == 2
    for plot in plots:
        ElementTree.fromstring(plot)
        assert set(re.findall(r"#[0-9a-fA-F]{6}\b", plot)) <= {"#000000"}  # what matplotlib's own defaults write
    assert "a$b$ &lt;c&gt;" in plots[0]


def test_the_same_report_gives_the_same_page(store: Store) -> None:
    report = fill(store, model(), [[8e-4, 2e-4], [6e-4, 3e-4]])
    assert render(report, NOW) == render(report, NOW)


def hostile_report(text: str) -> Report:
    """Untrusted text wherever there can be any."""
    workload = dataclasses.replace(Workload.of(Linear(4, 8, 64)), label=text)  # of which linear_dot knows schedules
    ops = (ModelOp(text, "primfunc", {}, 2, workload), ModelOp(text, text or "none", {}, 1))
    chip = dataclasses.replace(CHIP, name=text, vendor=text, model=text, peaks=dataclasses.replace(PEAKS, source=text))
    more = {"machine": text, "author": text}
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "x.db") as store:
        report = fill(store, Model(text, text, Step(), ops), [[8e-4, 2e-4, None]], chip, **more)
    failed = [dataclasses.replace(t, error=text) if t.error else t for ts in report.trials.values() for t in ts]
    return dataclasses.replace(report, trials={workload.id: failed}, database=text)


def test_markup_from_the_database_stays_text() -> None:
    harmless, page = render(hostile_report("x"), NOW), render(hostile_report(HOSTILE), NOW)
    assert Tags(page).tags == Tags(harmless).tags
    assert not [name for name, _ in Tags(page).attributes if name.startswith("on")]
    assert page.count("<script>") == 1
    assert Tags(page).text.count("<img src=x onerror=alert(2)>") >= 12


@settings(max_examples=12, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_stays_text(text: str) -> None:
    assume(text not in operators())  # the report's missing operator is called so
    page = Tags(render(hostile_report(text), NOW))
    assert page.tags["script"] == 1 and page.tags["h1"] == 1 and page.tags["svg"] == 2


def test_only_the_page_s_own_script_may_run(store: Store) -> None:
    page = render(fill(store, model(), [[8e-4]]), NOW)
    script = page[page.index("<script>") + len("<script>") : page.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(v for n, v in Tags(page).attributes if n == "content" and v and v.startswith("default-src"))
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("peaks", [None, Peaks({"float32": 2e11}, 4e10)])
def test_unknown_peaks(store: Store, peaks: Peaks | None) -> None:
    page = render(fill(store, model(), [[8e-4, 2e-4], [6e-4, 3e-4]], dataclasses.replace(CHIP, peaks=peaks)), NOW)
    assert ("The peaks of this chip are not known" in words(page)) == (peaks is None)


def test_trials_that_all_failed(store: Store) -> None:
    page = render(fill(store, model(), [[None, None]]), NOW)
    assert "<svg" not in page and "0 of 3 workloads" in words(page) and "wrong output 2 linear" in words(page)


def test_the_default_failed(store: Store) -> None:
    text = words(render(fill(store, model(), [[None, 2e-4, 1e-4]]), NOW))
    assert "0 of 3 workloads" in text and "- → 100 us, 3 trials" in text


def test_many_workloads_and_trials_stay_small(store: Store) -> None:
    few = [8e-4, *(8e-4 / (1 + at / 9) for at in range(9))]
    many = model(*(op(f"l{at}", k=64 * at) for at in range(1, CURVES + 7)))
    report = fill(store, many, [few] * len(many.ops))
    key = report.trials[report.summary.rows[0].workload][0].key
    long = [trial(key, DEFAULT, 1e-3 + 1e-7 * at if at % 3 else None) for at in range(6000)]
    report = dataclasses.replace(report, trials={**report.trials, key.workload: long})
    page = render(report, NOW)
    assert page.count("<svg") == 1 + CURVES and "The 6 workloads" in words(page)
    assert f"{len(many.ops) - BARS} others" in words(page)
    assert len(page.encode()) < 1_000_000


def test_champions_are_those_that_won_their_duel() -> None:
    key = Key("w", "c", "x", "p")
    won, lost = {"ratios": [0.8] * 9}, {"ratios": [1.2] * 9}
    trials = [
        trial(key, DEFAULT, None),
        trial(key, DEFAULT, 4.0),
        trial(key, DEFAULT, 2.0, evidence=lost),
        trial(key, DEFAULT, 3.0, evidence=won),
        trial(key, DEFAULT, 5.0),
        trial(key, DEFAULT, 6.0, evidence={"incumbent": DEFAULT.id, "ratios": []}),
        trial(key, DEFAULT, 7.0, evidence={"again": True}),
        trial(key, DEFAULT, 5.5, evidence={"again": True}),
    ]
    assert champions(trials) == [(2, 4.0), (4, 3.0), (6, 6.0), (8, 5.5)]


def test_failures_are_counted_by_status_and_reason(store: Store) -> None:
    report = fill(store, model(), [[8e-4, None], [None]])
    row = report.summary.rows[0]
    more = [trial(report.trials[row.workload][0].key, DEFAULT, None, f"reason {at // 2}") for at in range(20)]
    changed = dataclasses.replace(report, trials={**report.trials, row.workload: more})
    (found,) = failures(changed.tried, REASONS)
    assert found.trials == 21 and found.operators == ("linear",) and len(found.reasons) == 5
    assert found.reasons[0] == ("reason 0", 2)


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named(store: Store, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = fill(store, model(), [[8e-4, 2e-4]])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"headstart\[report\]"):
        render(report, NOW)


def test_gathering_writes_nothing(store: Store) -> None:
    fill(store, model(), [[8e-4]])
    before = store.path.read_bytes(), store.value("SELECT total_changes()")
    gather(store, model(op("another", m=3)), CHIP)
    assert (store.path.read_bytes(), store.value("SELECT total_changes()")) == before


def test_write_replaces_the_file_or_leaves_it(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    assert write(page, "né\udcff") == 4
    assert page.read_text() == "né?" and list(tmp_path.iterdir()) == [page]
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "no folder" / "page.html", "new")
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path, "new")
    assert list(tmp_path.iterdir()) == [page]
