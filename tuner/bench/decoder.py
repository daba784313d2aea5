"""A decoder of transformers before and after ``swap``: what it calls, tuned, built into bundles, and timed in turn."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from targets import Target, detect
from targets.errors import HeadstartError, InputError
from tuner.bench import rounds
from tuner.bench.decoder_result import FORMATS, PHASES, DecoderResult, PhaseResult, Way, agreement
from tuner.bench.lineup import Entry, absent
from tuner.bench.process import Peer, PeerLost
from tuner.compile import build_bundle
from tuner.frontend import catalogue
from tuner.frontend.config import config_path, model_from_config, read_config
from tuner.frontend.model import Model, ModelOp
from tuner.frontend.step import complete_step
from tuner.job import Budget, Event, Job
from tuner.local_executor import LocalExecutor
from tuner.policy import policy_for
from tuner.selecting import select
from tuner.tasks import model_tasks
from tuning_db.store import Store

# Seconds that making a model ready may take: random weights, quantising, torch.compile of two graphs.
LOAD_S = 900.0
# Memory of a process, in weights of the model: eager, and compiled with weights frozen.
COPIES = {False: 2.3, True: 3.7}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
COMPILED = "-compile"
TITLES = {"torch": "torch", "bf16": "kernels, bf16 weights", "fp8": "kernels, fp8 weights"}
# What ``headstart_runtime.torch.swap`` puts kernels in the place of.
SWAPPED = ("linear", "linear_fp8", "act_quant", "rmsnorm", "swiglu")


@dataclass(frozen=True)
class Settings:
    """What to compare, and how.

    Attributes:
        prompt: tokens of the prompt; decoding comes after it.
        layers: of the model, fewer than it has so that all fit into memory; None for all.
        formats: of weights: ``bf16``, ``fp8``.
        compiled: whether torch.compile takes part, before and after.
        db: database with champions, trials are kept there; None keeps nothing.
        seconds, trials: to tune each phase for; None twice takes the champions that there are.
        rounds, block_s: how often each is timed, and for how long.
        tokens: that are compared with what torch takes next.
        pool: whose threads kernels run on, as ``headstart_runtime.bundle.load`` has it.
    """

    prompt: int = 128
    layers: int | None = 2
    formats: tuple[str, ...] = FORMATS
    compiled: bool = True
    db: Path | None = None
    seconds: float | None = None
    trials: int | None = None
    rounds: int = 5
    block_s: float = 1.0
    tokens: int = 8
    pool: str = "auto"


def decoder_config(spec: str, layers: int | None) -> dict[str, Any]:
    """The ``config.json`` of a decoder, by a catalogue name or a path, with so many layers and in bfloat16.

    Raises:
        InputError: no such model, one that is quantised already, or fewer layers than that.
    """
    path = catalogue.path_of(spec) if spec in catalogue.names() else config_path(spec)
    values = {key: value for key, value in read_config(path).items() if not key.startswith("_")}
    if values.get("quantization_config"):
        raise InputError(f"{path} is a quantised model; name the one in bfloat16, its fp8 weights are made here")
    have = values.get("num_hidden_layers")
    if layers is not None:
        if not isinstance(have, int) or layers > have:
            raise InputError(f"{path} has {have} layers, not {layers}")
        values["num_hidden_layers"] = layers
        if isinstance(values.get("layer_types"), list):
            values["layer_types"] = values["layer_types"][:layers]
    return {**values, "dtype": "bfloat16"}


def swapped_model(config: Mapping[str, Any], name: str, phase: str, prompt: int, fmt: str) -> Model:
    """What a decoder of transformers calls with kernels in it: norms add no residual, all of them of one kind.

    Raises:
        InputError: a config that no family reads, or of a model that is no plain decoder.
    """
    values = {**config, **({"quantization_config": FP8} if fmt == "fp8" else {})}
    step = complete_step(phase=phase, tokens=1 if phase == "decode" else prompt, batch=1, kv_len=prompt + 1)
    model = model_from_config(values, step, name)
    norms = 2 * int(config["num_hidden_layers"]) + 1
    ops: list[ModelOp] = []
    for op in model.ops:
        if op.operator in SWAPPED and not op.params.get("residual"):
            ops.append(replace(op, name="norm", calls=norms) if op.name == "first_norm" else op)
    if not any(op.name == "norm" for op in ops):
        raise InputError(f"{name} is no decoder of the kind that kernels are put into: Llama, Mistral, Qwen2, Qwen3")
    return replace(model, ops=tuple(ops))


class DecoderBenchmark:
    """Processes with a model each; a context manager.

    Args:
        spec: name of the catalogue, or path to a ``config.json``.
        target: the chip of this machine.
        settings: how to compare.
        listener: called with what is going on, one line.
    """

    def __init__(
        self, spec: str, target: Target, settings: Settings, listener: Callable[[str], None] = lambda line: None
    ) -> None:
        self.config = decoder_config(spec, settings.layers)
        self.name = spec if spec in catalogue.names() else str(self.config.get("model_type"))
        self.target, self.settings, self.say = target, settings, listener
        self.models = {
            (fmt, phase): swapped_model(self.config, self.name, phase, settings.prompt, fmt)
            for fmt in settings.formats
            for phase in PHASES
        }
        for fmt in settings.formats:
            # What one row calls in both, the LM head, is of the bundle for decoding.
            decode, prefill = self.models[fmt, "decode"], self.models[fmt, "prefill"]
            known = {op.workload for op in decode.ops}
            self.models[fmt, "prefill"] = replace(
                prefill, ops=tuple(op for op in prefill.ops if op.workload not in known)
            )
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="headstart-bench-")))
        self._peers: dict[str, Peer] = {}

    def __enter__(self) -> DecoderBenchmark:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self._peers.values():
            peer.close()
        self._stack.close()

    def run(self) -> DecoderResult:
        """Tune, build, load and compare.

        Raises:
            HeadstartError: torch or transformers is missing, or every process failed; the message has a reason.
        """
        entries = self._entries()
        self._check_memory(entries)
        bundles = self._bundles()
        for entry in entries:
            if absent(entry) is None:
                # By this thread: a process ends with the thread that started it.
                self._peer(entry).start()
        # torch takes the tokens that all are given; the others get ready side by side, which is mostly compiling.
        ways = {entries[0].name: self._load(entries[0], bundles)}
        with ThreadPoolExecutor(len(detect.cpus())) as pool:
            others = pool.map(lambda entry: self._load(entry, bundles), entries[1:])
            ways |= {entry.name: way for entry, way in zip(entries[1:], others, strict=True)}
        loaded = [name for name, way in ways.items() if not way.error]
        if "torch" not in loaded:
            raise HeadstartError(f"the model does not run in torch: {ways['torch'].error}")
        ways = {name: self._compared(way) for name, way in ways.items()}
        self.say("measuring the machine")
        roof = self._peer(Entry("roof", "the machine", "roof"))
        roof.ask("roof", LOAD_S, nbytes=256 << 20)
        phases = {phase: self._time(phase, loaded, ways, roof) for phase in PHASES}
        return DecoderResult(self.name, self._sizes(), self.target.name, tuple(ways.values()), phases, self._how())

    def _check_memory(self, entries: Sequence[Entry]) -> None:
        """Refuse what would have to be swapped out: a process has the weights as they were and laid out anew.

        Raises:
            HeadstartError: it is too large.
        """
        weights, room = self._read("decode", "bf16"), psutil.virtual_memory().available
        need = weights * sum(COPIES[entry.options["compiled"]] for entry in entries)
        if need > 0.9 * room:
            raise HeadstartError(
                f"{len(entries)} processes need about {need / 2**30:.0f} GiB for it, and {room / 2**30:.0f} GiB are "
                "free; compare with fewer --layers, or with --no-compile"
            )

    def _entries(self) -> list[Entry]:
        """Who takes part: torch eager and compiled, and Headstart in each format of weights, eager and compiled.

        Raises:
            HeadstartError: what all of them need is not installed.
        """
        found = []
        for compiled in (False, True)[: 1 + self.settings.compiled]:
            for name in ("torch", *self.settings.formats):
                how = {"format": name, "compiled": compiled}
                title = f"{TITLES[name]}{', compiled' * compiled}"
                found.append(Entry(name + COMPILED * compiled, title, "torch_decoder", how))
        if (reason := absent(found[0])) is not None:
            raise HeadstartError(reason)
        return found

    def _bundles(self) -> dict[str, list[str]]:
        """Paths of the bundles of each format, decode first."""
        built: dict[str, list[str]] = {}
        path = self.settings.db or self.folder / "tuned.db"
        with Store.open(path) as store:
            for phase in PHASES:
                self._tune(store, phase)
            for (fmt, phase), model in self.models.items():
                self.say(f"building the bundle of {fmt} {phase}")
                where = self.folder / f"{fmt}-{phase}.bundle"
                build_bundle(select(store, model, self.target).chosen("measured"), self.target, where)
                built.setdefault(fmt, []).append(str(where))
        return built

    def _tune(self, store: Store, phase: str) -> None:
        """Tune what any format calls in a phase, in one search."""
        if self.settings.seconds is None and self.settings.trials is None:
            return
        models = [model for (_, of), model in self.models.items() if of == phase]
        model = replace(models[0], ops=tuple(op for one in models for op in one.ops))
        policy = policy_for(model.step.phase, self.target)
        tasks = model_tasks(store, model, self.target, policy)
        made = 0

        def listen(event: Event) -> None:
            nonlocal made
            made += 1
            self.say(f"tuning {phase}: {made} trials")

        with LocalExecutor(self.target, policy) as executor:
            job = Job(store, executor, tasks, Budget(self.settings.seconds, self.settings.trials), listener=listen)
            job.run()
        if job.interrupted:
            raise KeyboardInterrupt

    def _peer(self, entry: Entry) -> Peer:
        if entry.name not in self._peers:
            self._peers[entry.name] = Peer(entry, detect.host(), detect.cpus(), str(self.folder))
        return self._peers[entry.name]

    def _load(self, entry: Entry, bundles: Mapping[str, list[str]]) -> Way:
        if (reason := absent(entry)) is not None:
            return Way(entry.name, entry.title, error=reason)
        self.say(f"making {entry.title} ready")
        fmt = str(entry.options["format"])
        request = {
            "config": self.config,
            "bundles": bundles.get(fmt, []),
            "fmt": fmt,
            "compiled": entry.options["compiled"],
            "prompt": self.settings.prompt,
            "tokens": self.settings.tokens,
            "pool": self.settings.pool,
            "folder": str(self.folder),
        }
        try:
            answer = self._peer(entry).ask("decoder", LOAD_S, **request)
        except PeerLost as lost:
            answer = {"error": str(lost)}
        if answer.get("error"):
            return Way(entry.name, entry.title, error=answer["error"])
        return Way(entry.name, entry.title, note=answer["note"], ready_s=answer["seconds"], logits=answer["logits"])

    def _compared(self, way: Way) -> Way:
        """How near its logits are to those of torch, which did the same arithmetic."""
        if way.error or not way.logits:
            return way
        found = np.load(way.logits)
        right = "fp8-reference" if way.format == "fp8" else "torch"
        expected = np.load(self.folder / f"{right}.npy")
        return replace(way, agreement=agreement(found, expected), logits="")

    def _time(self, phase: str, loaded: list[str], ways: Mapping[str, Way], roof: Peer) -> PhaseResult:
        peers, gone = [], {}
        for name in loaded:
            try:
                self._peers[name].ask("phase", LOAD_S, phase=phase)
                peers.append(self._peers[name])
            except (PeerLost, KeyError) as lost:
                gone[name] = str(lost)
        timed = rounds.run(
            peers,
            list(self._peers.values()),
            roof,
            self.settings.rounds,
            self.settings.block_s,
            lambda number, name: self.say(f"{phase}: round {number + 1} of {self.settings.rounds}: {name}"),
        )
        dram = tuple(answer["peaks"]["dram"] for answer in timed.roof)
        return PhaseResult(
            {name: tuple(seconds) for name, seconds in timed.seconds.items() if name not in timed.lost},
            {**gone, **timed.lost},
            dram,
            {fmt: self._read(phase, fmt) for fmt in self.settings.formats},
            timed.disturbance,
            timed.awake,
        )

    def _read(self, phase: str, fmt: str) -> int:
        """Bytes that the swapped layers move in a step."""
        model = swapped_model(self.config, self.name, phase, self.settings.prompt, fmt)
        return sum(op.workload.bytes * op.calls for op in model.ops)

    def _sizes(self) -> dict[str, Any]:
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
        return {name: self.config.get(name) for name in (*names, "vocab_size")}

    def _how(self) -> dict[str, Any]:
        settings = {**vars(self.settings), "db": str(self.settings.db) if self.settings.db else None}
        return dict(json.loads(json.dumps(settings)))
