"""``headstart models``, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli import models
from cli.main import headstart
from tuner.frontend.model import ModelOp
from tuning_db.store import Store

TINY = {
    "model_type": "qwen3_moe",
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 128,
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(headstart, ["models", *arguments], catch_exceptions=False)


def document(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-moe" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(TINY))
    return path


def test_list() -> None:
    listed = document("list")
    assert {"name": "deepseek-v4-flash", "model_type": "deepseek_v4"} in listed["catalogue"]
    assert "mixtral" in listed["model_types"]
    assert "deepseek-v4-flash" in run("list").stdout


def test_show(tiny: Path) -> None:
    shown = document("show", str(tiny), "--tokens", "8")
    assert shown["name"] == "tiny-moe"
    assert shown["step"] == {"phase": "decode", "tokens": 8, "batch": 8, "kv_len": 4096, "tp": 1, "ep": 1}
    by_name = {row["name"]: row for row in shown["operators"]}
    qkv = by_name["qkv"]
    assert (qkv["label"], qkv["calls"], qkv["flops"]) == ("8x128x64 bf16", 2, 2 * 2 * 8 * 128 * 64)
    assert qkv["bytes"] == 2 * 2 * (8 * 64 + 128 * 64 + 8 * 128)
    tunable = {row["workload"] for row in shown["operators"] if row["tunable"]}
    assert shown["workloads"] == len(tunable)


def test_an_operator_that_does_not_exist_yet_is_shown_without_figures() -> None:
    row = models._row(ModelOp("memory", "engram", {"tokens": 8}, 2))
    assert not row["tunable"] and "workload" not in row
    assert models._cells(row) == ("memory", "engram", "tokens=8", "2", "-", "-", "no")


def test_show_table(tiny: Path) -> None:
    output = run("show", str(tiny), "--phase", "prefill", "--tokens", "32", "--batch", "2").stdout
    assert "prefill, 32 tokens in 2 sequences, kv length 16" in output
    assert "distinct workloads to tune" in output


def test_import(tiny: Path, tmp_path: Path) -> None:
    db = tmp_path / "x.db"
    kept = document("import", str(tiny), "--name", "mine", "--tokens", "8", "--db", str(db))
    with Store.open(db, create=False) as store:
        model = store.model("mine")
        assert model["id"] == kept["id"]
        assert model["step"]["tokens"] == 8
        assert {op["workload"] for op in model["ops"]} - {None} == set(kept["workloads"])
        for id in kept["workloads"]:
            assert store.workload(id)["id"] == id
    # Again is the same model.
    assert document("import", str(tiny), "--name", "mine", "--tokens", "8", "--db", str(db)) == kept


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported; known:"),
        ({"num_attention_heads": 0}, "num_attention_heads must be from 1"),
    ],
)
def test_bad_config_is_one_line_and_writes_nothing(tiny: Path, change: dict[str, Any], says: str) -> None:
    tiny.write_text(json.dumps(TINY | change))
    db = tiny.with_name("never.db")
    command = [sys.executable, "-m", "cli.main", "models", "import", str(tiny), "--db", str(db)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: ") and says in result.stderr
    assert not db.exists()
