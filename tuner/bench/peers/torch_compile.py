"""torch.compile, by default or with all that its authors recommend for inference: max-autotune, and weights frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tuner.bench.loaded import Loaded, Request
from tuner.bench.peers.torch_eager import load_with


def load(request: Request) -> Loaded:
    """Compile the way that is fastest in eager mode; ``options["mode"]`` is a mode of ``torch.compile``."""
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    mode = request.options["mode"]
    inductor.freezing = mode != "default"

    def prepare(module: torch.nn.Module) -> Callable[..., Any]:
        return torch.compile(module, mode=mode, dynamic=False)

    return load_with(request, prepare)
