"""How long pulling a bundle of 200 kernels takes: cold, with nothing new, and locked from the cache.

``python -m tests.tuning_db.deploy.pull_speed [--kernels 200] [--repeats 5] [--json]`` really builds a bundle of small
linear layers, publishes it on a service in a process of its own on this machine, and runs ``headstart pull``.
What is timed is the whole command; beside it stands what it takes beyond starting Python and importing what it needs.
The chip is named by its fingerprint, so that nothing of TVM is loaded.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from targets import detect
from targets.units import seconds, size
from tests.cli.session import folder, run, served
from tuner.compile import build_bundle
from tuner.frontend.model import Model, ModelOp
from tuner.frontend.step import complete_step
from tuner.selecting import select
from tuning_db.store import Store


def model(count: int) -> Model:
    """So many linear layers, each of another width."""
    ops = [
        ModelOp(f"op{at}", "linear", {"m": 16, "n": 64 + 16 * at, "k": 256, "dtype": "bfloat16", "out": "bfloat16"}, 1)
        for at in range(count)
    ]
    return Model("many", "a benchmark", complete_step(), tuple(ops))


def command(*words: str) -> tuple[float, dict[str, Any]]:
    """Seconds that a command took, and what it said."""
    code = "import sys; from cli.main import main; sys.argv = ['headstart', *sys.argv[1:]]; main()"
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words, "--json"], capture_output=True, text=True, check=False)
    took = time.perf_counter() - begun
    assert done.returncode == 0, done.stderr
    return took, json.loads(done.stdout)


def timed(path: Path, kernels: int, repeats: int) -> dict[str, Any]:
    """Times of each kind of pull, seconds; and what came over the wire."""
    target = detect.host()
    with Store.open(path / "many.db") as store:
        built = build_bundle(select(store, model(kernels), target), target, path / "built.bundle")
    total = sum(file.stat().st_size for file in built.path.iterdir())
    for words in (
        "ledger key service.key --new bench.example",
        "accounts add ops operator --db many.db",
        "keys new ops",
        "keys new online",
    ):
        assert run(*words.split()).code == 0, words
    token = path / "ops.token"
    token.write_text(run("accounts", "token", "ops", "--db", "many.db").out)
    token.chmod(0o600)
    keys = ("--db=many.db", "--ledger-key=service.key", "--repository-key=online.key", "--anonymous-rate=0", "--rate=0")
    found: dict[str, list[tuple[float, dict[str, Any]]]] = {"cold": [], "nothing new": [], "locked, offline": []}
    with served(path, *keys) as url:
        to = ("--db", url, "--token-file", str(token))
        init = ("repository", "init", "--root-key", "ops.key", "--targets-key", "ops.key", "-o", "root.json", *to)
        assert run(*init).code == 0
        publish = ("repository", "publish", str(built.path), "--root", "root.json", "--key", "ops.key", *to)
        assert run(*publish).code == 0
        pull = ("pull", "many", "--from", url, "--root", "root.json", "--target", target.fingerprint, "--prebuilt")
        for at in range(repeats):
            os.environ["HEADSTART_CACHE"] = str(path / f"cache{at}")
            there = ("-o", f"b{at}", "--lock", f"{at}.lock")
            found["cold"].append(command(*pull, *there))
            found["nothing new"].append(command(*pull, *there))
            again = ("pull", "--locked", "--offline", "--target", target.fingerprint, "-o", f"again{at}", "--lock")
            found["locked, offline"].append(command(*again, f"{at}.lock"))
    nothing = [_importing() for _ in range(repeats)]
    return {
        "kernels": kernels,
        "bytes": total,
        "import_s": statistics.median(nothing),
        "pulls": {
            name: {
                "seconds": statistics.median(took for took, _ in runs),
                "lowest": min(took for took, _ in runs),
                "highest": max(took for took, _ in runs),
                "requests": runs[-1][1]["requests"],
                "bytes_received": runs[-1][1]["bytes_received"],
            }
            for name, runs in found.items()
        },
    }


def _importing() -> float:
    """Seconds that starting Python and importing what a pull needs take."""
    begun = time.perf_counter()
    code = "import cli.pull, tuner.pulling, tuner.wishing, tuning_db.client, tuf.ngclient"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


@click.command()
@click.option("--kernels", default=200, show_default=True)
@click.option("--repeats", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(kernels: int, repeats: int, as_json: bool) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch, folder(Path(scratch), PYTHONPATH=":".join(filter(None, sys.path))):
        found = timed(Path(scratch), kernels, repeats)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    imports = seconds(found["import_s"])
    print(f"A bundle of {found['kernels']} kernels, {size(found['bytes'])}; Python and imports: {imports}")
    for name, pull in found["pulls"].items():
        span = f"{seconds(pull['lowest'])} to {seconds(pull['highest'])}"
        beyond = seconds(max(0.0, pull["seconds"] - found["import_s"]))
        wire = f"{pull['requests']} requests, {size(pull['bytes_received'])}"
        print(f"{name:<16} {seconds(pull['seconds']):>8} ({span}), beyond imports {beyond}; {wire}")


if __name__ == "__main__":
    main()
