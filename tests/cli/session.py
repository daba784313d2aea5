"""Commands one after the other in one folder, as somebody at a terminal runs them, in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

from cli.main import main

ROOT = Path(__file__).parents[2]
ID = re.compile(r"\b[a-z][0-9a-f]{24,28}\b")
# What differs from one run to the next.
TIMES = {"at", "created", "received", "launch", "opens", "revoked", "expires"}
# A decoder that is quickly tuned, as a config.json.
TINY = {
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 128,
}


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed."""
        return json.loads(self.out)


def run(*words: str) -> Said:
    """Run ``headstart`` with these words."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["headstart", *words])
        patch.setattr("cli._output.console._width", 200)
        with pytest.raises(SystemExit) as left:
            main()
    return Said(int(left.value.code or 0), out.getvalue(), err.getvalue())


@contextlib.contextmanager
def folder(path: Path, **environment: str) -> Iterator[None]:
    """Work in a folder, with these variables and no others of ours."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HEADSTART_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(path)
        yield


def started(
    path: Path, *words: str, errors: IO[str] | int = subprocess.DEVNULL, **environment: str
) -> subprocess.Popen[str]:
    """``headstart`` with these words, in a process of its own."""
    code = "import sys; from cli.main import main; sys.argv = ['headstart', *sys.argv[1:]]; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=path,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={"PYTHONPATH": ":".join([str(ROOT), *sys.path]), "PATH": os.environ["PATH"], **environment},
    )


@contextlib.contextmanager
def served(path: Path, *words: str) -> Iterator[str]:
    """The URL of a ``headstart serve`` of its own process, with these words."""
    server = started(path, "serve", "--port=0", *words)
    assert server.stdout
    try:
        yield str(json.loads(server.stdout.readline())["url"])
    finally:
        server.terminate()
        server.communicate(timeout=60)


def plain(value: Any, seen: dict[str, str]) -> Any:
    """JSON without what differs from one run to the next: ids by the order in which they were first seen."""
    if isinstance(value, dict):
        return {name: 0 if name in TIMES and each else plain(each, seen) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each, seen) for each in value]
    if isinstance(value, str):
        if value.startswith("headstart-ed25519 "):
            return "a key"
        return ID.sub(lambda id: seen.setdefault(id[0], f"id {len(seen)}"), value)
    return value
