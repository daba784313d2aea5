"""A decoder of transformers with random weights, as it comes or with kernels in it, eager or compiled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart_runtime.torch import quantised
from targets import Target
from targets.errors import one_line

SEED = 1
# Steps that the first block of a phase drops, and the least of a block.
DROPPED, LEAST = 2, 3
# Positions that a cache of fixed size has beyond the prompt.
ROOM = 32


class Server:
    """Answers requests about one model, see ``tuner.bench.decoder``."""

    def __init__(self, target: Target) -> None:
        torch.set_num_threads(target.cores)
        self.steps: Steps | None = None
        self.step: Callable[[], Any] = lambda: None

    def do_hello(self) -> dict[str, Any]:
        """Nothing; an answer shows that the process is ready."""
        return {}

    @torch.no_grad()
    def do_decoder(self, **request: Any) -> dict[str, Any]:
        """Make the model ready and write what it gives for a prompt and some tokens after it.

        Returns:
            ``seconds``, ``note``, ``logits`` (a file), or ``error``.
        """
        try:
            return self._decoder(**request)
        except Exception as error:
            return {"error": one_line(error)}

    def _decoder(
        self,
        config: Mapping[str, Any],
        bundles: Sequence[str],
        fmt: str,
        compiled: bool,
        prompt: int,
        tokens: int,
        pool: str,
        folder: str,
    ) -> dict[str, Any]:
        start = time.perf_counter()
        model, note = random_model(config), ""
        if bundles:
            note = _put_in(model, bundles, fmt, pool)
        self.steps = Steps(model, _prompt(config, prompt), compiled)
        where = Path(folder)
        given = where / "tokens.npy"
        if not bundles and not compiled:
            np.save(given, _greedy(self.steps, tokens))
        logits = self.steps.logits(np.load(given))
        name = f"{fmt}{'-compile' * compiled}.npy"
        np.save(where / name, logits)
        seconds = time.perf_counter() - start
        if not bundles and not compiled:
            with emulated_fp8(model):
                np.save(where / "fp8-reference.npy", self.steps.logits(np.load(given)))
        return {"seconds": seconds, "note": note, "logits": str(where / name)}

    @torch.no_grad()
    def do_phase(self, phase: str) -> dict[str, Any]:
        """Get ready to time one: ``decode`` or ``prefill``."""
        assert self.steps is not None
        self.step = self.steps.prepared(phase)
        for _ in range(DROPPED):
            self.step()
        return {}

    @torch.no_grad()
    def do_block(self, seconds: float) -> dict[str, Any]:
        """Seconds of steps, one by one."""
        samples: list[float] = []
        self.step()
        begin = time.perf_counter()
        while len(samples) < LEAST or time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            self.step()
            samples.append(time.perf_counter() - start)
        return {"samples": samples}


def random_model(config: Mapping[str, Any]) -> Any:
    """The model of a ``config.json``, the same weights each time."""
    import transformers

    torch.manual_seed(SEED)
    made = transformers.AutoConfig.for_model(**config)
    return transformers.AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16).eval()


class Steps:
    """Steps of inference of one sequence: a prompt at once, then a token each.

    Args:
        model: eager.
        prompt: ids ``[1, tokens]``.
        compiled: run it by ``torch.compile``, with weights frozen and a cache of fixed size.
    """

    def __init__(self, model: Any, prompt: torch.Tensor, compiled: bool) -> None:
        self.model, self.prompt, self.compiled = model, prompt, compiled
        self.run = model
        self._fixed: Any = None
        if compiled:
            import torch._inductor.config as inductor

            inductor.freezing = True
            self.run = torch.compile(model, fullgraph=True, dynamic=False)

    def cache(self) -> Any:
        """An empty one."""
        from transformers import DynamicCache, StaticCache

        config = self.model.config
        if not self.compiled:
            return DynamicCache(config=config)
        if self._fixed is None:
            # The only one: with freezing, a graph goes on using the memory of the cache that it was traced with.
            self._fixed = StaticCache(config=config, max_cache_len=self.prompt.shape[1] + ROOM)
            heads = config.num_key_value_heads
            dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
            self._fixed.early_initialization(1, heads, dim, torch.bfloat16, torch.device("cpu"))
        self._fixed.reset()
        return self._fixed

    def forward(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits of the last token, ``[vocabulary]``."""
        out = self.run(ids, cache=cache, use_cache=True, logits_to_keep=1)
        return out.logits[0, -1]

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """After the prompt, and after each of these tokens but the last: ``[tokens, vocabulary]`` in float32."""
        cache = self.cache()
        found = [self.forward(self.prompt, cache).float().numpy().copy()]
        for token in tokens[:-1]:
            found.append(self.forward(torch.tensor([[int(token)]]), cache).float().numpy().copy())
        return np.stack(found)

    def prepared(self, phase: str) -> Callable[[], Any]:
        """A function that takes one step of a phase, the same each time."""
        if phase == "prefill":
            return lambda: self.forward(self.prompt, self.cache())
        cache, token = self.cache(), self.prompt[:, :1].contiguous()
        self.forward(self.prompt, cache)

        def decode() -> Any:
            logits = self.forward(token, cache)
            cache.crop(-1)
            return logits

        return decode


def _greedy(steps: Steps, count: int) -> np.ndarray:
    """The tokens that the model takes after the prompt."""
    cache = steps.cache()
    found = [int(steps.forward(steps.prompt, cache).argmax())]
    while len(found) < count:
        found.append(int(steps.forward(torch.tensor([found[-1:]]), cache).argmax()))
    return np.array(found)


def _prompt(config: Mapping[str, Any], tokens: int) -> torch.Tensor:
    return torch.randint(0, int(config["vocab_size"]), (1, tokens), generator=torch.Generator().manual_seed(SEED))


def _put_in(model: Any, bundles: Sequence[str], fmt: str, pool: str) -> str:
    from headstart_runtime.dispatch import use
    from headstart_runtime.torch import swap

    done = swap(model, use(*bundles, miss="raise", pool=pool), fp8=fmt == "fp8", keep=False)
    return str(done)


class emulated_fp8:
    """While it lasts, linear layers but the LM head compute what fp8 weights and activations come to, in torch."""

    def __init__(self, model: nn.Module) -> None:
        self.layers = [
            module for name, module in model.named_modules() if type(module) is nn.Linear and name != "lm_head"
        ]

    def __enter__(self) -> None:
        for layer in self.layers:
            layer.forward = _Emulated(layer)

    def __exit__(self, *_: object) -> None:
        for layer in self.layers:
            del layer.forward


class _Emulated:
    def __init__(self, layer: nn.Linear) -> None:
        self.weights, self.bias = quantised.quantise_weights(layer.weight), layer.bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows = quantised.quantise(x.reshape(-1, x.shape[-1]))
        y = quantised.linear(*rows, *self.weights).view(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias
