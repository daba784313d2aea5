"""All of ``headstart speedup`` with a tiny model, by hand: python -m tests.tuner.bench.whole_decoder, a few minutes.

What it runs in processes is tested in one process by ``test_decoder.py``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from targets import resolve
from tests.tuning_db.runtime.bundles import config
from tuner.bench.decoder import DecoderBenchmark, Settings


def main() -> None:
    """Run it, and check that every way ran in both phases and was right."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(json.dumps(config()))
        settings = Settings(prompt=6, rounds=2, block_s=0.05, trials=4)
        with DecoderBenchmark(str(path), resolve("host"), settings, print) as benchmark:
            result = benchmark.run()
    names = {"torch", "bf16", "fp8", "torch-compile", "bf16-compile", "fp8-compile"}
    assert {way.name for way in result.ways if not way.error} == names, result.ways
    for phase in result.phases.values():
        assert not phase.lost and {name: len(rounds) for name, rounds in phase.rounds.items()} == dict.fromkeys(
            names, 2
        )
    assert result.right, result.ways


if __name__ == "__main__":
    main()
