"""`headstart bench`, from the command line to the exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import cli._bench
from cli.main import headstart
from targets.errors import InputError, MissingExtra
from tests.tuner.bench.example import TWO, result
from tuner.bench import lineup


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(headstart, ["bench", *arguments])


def test_list() -> None:
    listed = json.loads(bench("--list", "--json").stdout)
    quick = [entry["name"] for entry in listed if entry["suite"] == "quick"]
    assert "linear-fp32-decode" in quick and listed[0].keys() == {"suite", "name", "operator", "params", "cache"}
    assert "sparse_mqa" in bench("--list").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing",), "'nothing' is no suite"),
        (("--peers", "nobody"), "no peer is called 'nobody'"),
        (("--seeds", "2", "--peers", "numpy"), "neither --peers nor --db"),
        (("--html", "no/such/folder/page.html"), "no folder"),
        (("linear", "m=0", "n=4", "k=4"), "m is 0"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], told: str) -> None:
    failed = bench(*arguments)
    assert isinstance(failed.exception, InputError) and told in str(failed.exception)


def test_a_page_without_what_draws_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.bench.importlib.util.find_spec", lambda name: None)
    failed = bench("--html", "page.html")
    assert isinstance(failed.exception, MissingExtra)


@pytest.mark.parametrize("width", [80, 110, 160])
def test_the_table_fits_and_nothing_is_lost(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(cli._bench, "console", Console(file=out, width=width))
    cli._bench.print_result(result(*TWO, absent={"numpy": "pip install it"}))
    text = out.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    for figure in ("one", "1.00 ms", "50%", "1.50x", "0.50x", "failed", "absent: numpy: pip install it", "4.00x"):
        assert figure in text
    assert ("1.50 to 1.50" in text) == (width >= cli._bench.WIDE)
    assert "other programs took up to 30%" in " ".join(text.split())


def test_a_run_without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lineup, "_installed", lambda name: name != "torch")
    monkeypatch.setattr("tuner.bench.rounds.AGAIN", 0)
    page = tmp_path / "page.html"
    words = ("linear", "m=2", "n=64", "k=64", "--trials", "1", "--rounds", "2", "--block", "0.01s", "--json")
    done = bench(*words, "--db", str(tmp_path / "x.db"), "--html", str(page))
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["absent"].keys() == {"torch", "compile", "max-autotune"}
    assert "headstart[torch]" in document["absent"]["torch"]
    assert [peer["name"] for peer in document["workloads"][0]["peers"]] == ["tuned", "default", "numpy"]
    assert "headstart[torch]" in page.read_text()


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "bench", "linear", "m=2", "n=64", "k=64", "--peers", "default,numpy"]
    process = subprocess.Popen(
        [*command, "--trials", "1", "--rounds", "500"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    children: list[psutil.Process] = []
    end = time.monotonic() + 60
    while len(children) < 4 and time.monotonic() < end:
        found = psutil.Process(process.pid).children(recursive=True)
        children = [child for child in found if "tuner.bench.peer" in " ".join(child.cmdline())]
        time.sleep(0.05)
    assert len(children) == 4
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in told and "Stopped early" in told
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive and not list(tmp_path.glob("headstart-bench-*"))
