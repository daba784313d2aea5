"""``headstart speedup``: what kernels do for a whole decoder, before and after, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from cli._interrupt import interruptible
from cli._limits import Duration
from cli._output import console, echo_json, json_option, progress_console, table
from targets.errors import HeadstartError, InputError
from targets.units import percent, rate, seconds, times

if TYPE_CHECKING:
    from tuner.bench.decoder_result import DecoderResult, PhaseResult, Way


@click.command("speedup")
@click.argument("model")
@click.option("--layers", type=click.IntRange(min=1), help="Of the model, as many as fit into memory. [default: all]")
@click.option("--prompt", type=click.IntRange(min=2), default=128, show_default=True, help="Tokens of the prompt.")
@click.option("--weights", default="bf16,fp8", show_default=True, help="Formats of weights with kernels.")
@click.option("--compile/--no-compile", "compiled", default=True, help="With torch.compile too, before and after.")
@click.option("--db", type=click.Path(path_type=Path), help="Database with champions; trials are kept there.")
@click.option("--for", "length", type=Duration(), help="Tune first: for so long for each phase.")
@click.option("--trials", type=click.IntRange(min=1), help="Tune first: so many trials of each workload.")
@click.option("--rounds", type=click.IntRange(min=2), default=5, show_default=True, help="Turns that everybody has.")
@click.option("--block", "block_s", type=Duration(), default="1s", show_default=True, help="How long a turn is.")
@click.option(
    "--pool", type=click.Choice(["auto", "own", "openmp"]), default="auto", help="Whose threads kernels take."
)
@json_option
def command(
    *,
    model: str,
    layers: int | None,
    prompt: int,
    weights: str,
    compiled: bool,
    db: Path | None,
    length: float | None,
    trials: int | None,
    rounds: int,
    block_s: float,
    pool: str,
    as_json: bool,
) -> None:
    """Time MODEL, a decoder of transformers with random weights, in torch and with kernels in it, in turns.

    MODEL is a name of the catalogue or a Hugging Face config.json. Its linear layers, norms and activations are tuned
    (or have champions in --db), built into bundles and put into the model. Each way to run it has a process of its
    own, one is awake at a time; logits are compared with those of the same arithmetic in torch.

    \b
    Example:
        headstart speedup qwen3-1.7b --layers 2 --for 2m --db headstart.db
    """
    from targets import resolve
    from tuner.bench.decoder import DecoderBenchmark, Settings
    from tuner.bench.decoder_result import FORMATS

    formats = tuple(dict.fromkeys(filter(None, weights.split(","))))
    if not formats or not set(formats) <= set(FORMATS):
        raise InputError(f"--weights {weights} must be of {', '.join(FORMATS)}")
    settings = Settings(prompt, layers, formats, compiled, db, length, trials, rounds, block_s, pool=pool)
    with interruptible(), progress_console.status("Starting …") as status:

        def say(line: str) -> None:
            status.update(f"{line} …")

        with DecoderBenchmark(model, resolve("host"), settings, say) as benchmark:
            result = benchmark.run()
    if as_json:
        echo_json(result.to_json())
    else:
        _print(result)
    if not result.right:
        raise HeadstartError("the outputs are not those of the same arithmetic in torch")


def _print(result: DecoderResult) -> None:
    sizes = result.sizes
    console.print(
        Text(
            f"{result.model}, {sizes['num_hidden_layers']} layers of {sizes['hidden_size']}, "
            f"{sizes['vocab_size']} tokens to choose from; {result.target}"
        )
    )
    for name, phase in result.phases.items():
        prompt = result.settings["prompt"]
        what = f"a token after {prompt}" if name == "decode" else f"a prompt of {prompt} tokens"
        _print_phase(f"{name}: {what}", result.ways, phase)
    for way in result.ways:
        for line in _remarks(way):
            console.print(Text(line))


def _print_phase(title: str, ways: tuple[Way, ...], phase: PhaseResult) -> None:
    others = [name for name in ("torch", "torch-compile") if name in phase.rounds]
    titles = {way.name: way.title for way in ways}
    rows = [
        (titles[name], seconds(phase.seconds(name)), *(_speedup(phase, name, other) for other in others))
        for name in titles
        if name in phase.rounds
    ]
    table(title, ("", "time", *(f"over {titles[name]}" for name in others)), rows, left=1)
    if phase.dram:
        reads = ", ".join(f"{nbytes / 2**20:.0f} MiB in {fmt}" for fmt, nbytes in phase.read.items())
        click.echo(f"The swapped layers move {reads}; memory gave {rate(max(phase.dram), 'B/s')} in these rounds.")
    if phase.disturbance > 0.1:
        click.echo(f"Other programs took up to {percent(phase.disturbance)} of the machine; run it again.")


def _speedup(phase: PhaseResult, name: str, over: str) -> str:
    found = phase.speedup(name, over)
    if found is None or name == over:
        return "-"
    return f"{times(found.median)} ({found.low:.2f}-{found.high:.2f})"


def _remarks(way: Way) -> list[str]:
    lines: list[Any] = []
    if way.error:
        lines.append(f"{way.title}: {way.error}")
    if way.agreement is not None and way.name != "torch":
        a = way.agreement
        tied = f", {a.tied} of equal size" if a.tied else ""
        lines.append(
            f"{way.title}: {a.same} of {a.tokens} next tokens are torch's{tied}; logits differ by {a.typical:.3f} "
            f"(at most {a.largest:.3f}) of their standard deviation"
        )
    return lines
