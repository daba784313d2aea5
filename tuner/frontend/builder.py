"""What model families share: a list of operators under construction, at one step, on one device."""

from __future__ import annotations

from typing import Any

from tuner.frontend.fields import Fields
from tuner.frontend.model import ModelOp, Step
from tuner.frontend.precision import FP8, SCALE_BLOCK, Precision

# Rows of one expert that a grouped kernel takes at once, at most: the alignment of DeepGEMM's contiguous layout.
LARGEST_ROW_BLOCK = 128


class Builder:
    """Collects the operators of a model; sizes are those of one device.

    Linear layers that read the same input are one operator (``qkv``, ``gate_up``), as serving engines store them.
    Biases, batch norms and activations that an engine folds into a linear or a convolution are not operators.
    """

    def __init__(self, config: Fields, step: Step, precision: Precision) -> None:
        self.config = config
        self.step = step
        self.precision = precision
        self.ops: list[ModelOp] = []
        self.tokens = step.tokens
        self.queries = step.tokens // step.batch  # new tokens of one sequence

    @property
    def fp8(self) -> bool:
        """Whether linear layers take block-scaled fp8."""
        return self.precision.dense == FP8

    def add(self, name: str, operator: str, calls: int, **params: Any) -> None:
        """Append an operator; one that is never called is left out."""
        if calls > 0:
            self.ops.append(ModelOp(name, operator, params, calls))

    def split(self, what: str, size: int, degree: int | None = None) -> int:
        """The part of ``size`` that one device holds under tensor parallelism (or another ``degree``).

        Raises:
            InputError: it does not divide evenly.
        """
        degree = self.step.tp if degree is None else degree
        if size % degree:
            raise self.config.error(f"{what} {size} does not divide over {degree} devices")
        return size // degree

    def linear(self, name: str, m: int, n: int, k: int, calls: int) -> None:
        """A linear layer in the precision of the model's weights.

        Raises:
            InputError: fp8, and the input features do not fill whole scale blocks.
        """
        if not self.fp8:
            self.add(name, "linear", calls, m=m, n=n, k=k, dtype=self.precision.base, out=self.precision.base)
            return
        if k % SCALE_BLOCK:
            raise self.config.error(
                f"{name} has {k} input features on a device, not a multiple of the fp8 scale block of {SCALE_BLOCK}"
            )
        self.add(name, "linear_fp8", calls, m=m, n=n, k=k)

    def plain_linear(self, name: str, m: int, n: int, k: int, calls: int, *, out: str | None = None) -> None:
        """A linear layer that stays unquantised (routers, LM heads)."""
        base = self.precision.base
        self.add(name, "linear", calls, m=m, n=n, k=k, dtype=base, out=out or base)

    def quantize(self, name: str, tokens: int, dim: int, calls: int, group: int = SCALE_BLOCK) -> None:
        """To fp8 with a scale for each ``group`` of channels, in models with fp8 linears: their inputs, cached keys."""
        if self.fp8:
            base = self.precision.base
            self.add(name, "act_quant", calls, tokens=tokens, dim=dim, group=group, dtype=base, scale="float32")

    def rmsnorm(
        self, name: str, tokens: int, dim: int, calls: int, *, residual: bool = False, weight: bool = True
    ) -> None:
        """RMSNorm, with the addition of the residual where the engine fuses it."""
        eps = self.config.number("rms_norm_eps", default=1e-6, high=1.0)
        shape = {"tokens": tokens, "dim": dim, "dtype": self.precision.base}
        self.add(name, "rmsnorm", calls, **shape, residual=residual, weight=weight, eps=eps)

    def rope(
        self,
        name: str,
        tokens: int,
        heads: int,
        dim: int,
        calls: int,
        *,
        rotary: int | None = None,
        layout: str = "half",
        place: str = "first",
        inverse: bool = False,
    ) -> None:
        """Rotary embedding of the ``rotary`` first or last of ``dim`` channels."""
        self.add(
            name,
            "rope",
            calls,
            tokens=tokens,
            heads=heads,
            dim=dim,
            rotary=rotary or dim,
            layout=layout,
            place=place,
            inverse=inverse,
            dtype=self.precision.base,
        )

    def swiglu(
        self,
        name: str,
        tokens: int,
        dim: int,
        calls: int,
        *,
        quantize: bool,
        limit: float = 0.0,
        weighted: bool = False,
    ) -> None:
        """SwiGLU of ``[tokens, 2 * dim]``; ``quantize`` where the next linear takes fp8 activations."""
        form = {"limit": limit, "quantize": quantize, "dtype": self.precision.base, "weighted": weighted}
        self.add(name, "swiglu", calls, tokens=tokens, dim=dim, **form, group=SCALE_BLOCK, scale="float32")

    def gated_mlp(self, name: str, hidden: int, inter: int, calls: int, limit: float = 0.0) -> None:
        """Gate and up projection in one, SwiGLU, down projection; ``inter`` is the model's, not the device's.

        The caller quantises the input, which other layers may read too.
        """
        part = self.split(f"{name} intermediate size", inter)
        self.linear(f"{name}_w13", self.tokens, 2 * part, hidden, calls)
        self.swiglu(f"{name}_swiglu", self.tokens, part, calls, quantize=self.fp8, limit=limit)
        self.linear(f"{name}_w2", self.tokens, hidden, part, calls)

    def experts(
        self,
        calls: int,
        *,
        hidden: int,
        inter: int,
        experts: int,
        topk: int,
        limit: float = 0.0,
        weighted: bool = False,
    ) -> None:
        """Routed experts: grouped gate and up projection, SwiGLU, grouped down projection.

        ``weighted`` says that the router's weights come in before the down projection and not after it.

        With expert parallelism a device holds ``experts / ep`` whole experts and, routing being balanced, gets
        ``tokens * topk / ep`` rows. Without it every device holds a slice of every expert, as tensor parallelism
        cuts a dense layer.

        Rows come sorted by expert. In a step with fewer rows than experts each row has an expert of its own
        (block 1). With more, a block is the largest power of two that is no more than an expert's mean share: no
        row is padding, and every expert's weights are read.
        """
        ep = self.step.ep
        groups = self.split("number of routed experts", experts, ep)
        part = inter if ep > 1 else self.split("moe intermediate size", inter)
        rows = -(-self.tokens * topk // ep)
        block = min(1 << max(rows // groups, 1).bit_length() - 1, LARGEST_ROW_BLOCK)
        dtype = self.precision.experts
        quantize = dtype != self.precision.base
        for name, n, k in (("experts_w13", 2 * part, hidden), ("experts_w2", hidden, part)):
            if quantize and k % SCALE_BLOCK:
                raise self.config.error(
                    f"{name} has {k} input features on a device, not a multiple of the scale block of {SCALE_BLOCK}"
                )
            shape = {"rows": rows, "groups": groups, "n": n, "k": k, "block": block}
            self.add(name, "grouped_linear", calls, **shape, dtype=dtype, group=SCALE_BLOCK)
            if name == "experts_w13":
                form = {"quantize": quantize, "weighted": weighted}
                self.swiglu("experts_swiglu", rows, part, calls, limit=limit, **form)

    @property
    def coded_cache(self) -> bool:
        """Whether attention reads a cache in fp8: in prefill an engine decodes what it needs of it first (vLLM)."""
        return self.fp8 and self.step.phase == "decode"

    def sparse_attention(self, name: str, calls: int, *, rotary: int, group: int, scale: str, **shape: Any) -> None:
        """Attention to picked rows; a cache in fp8 has ``rotary`` plain channels and a scale for each ``group``."""
        base = self.precision.base
        shape |= {"batch": self.step.batch, "queries": self.queries, "dtype": base}
        if self.coded_cache and (shape["dim"] - rotary) % group == 0:
            self.add(name, "sparse_mqa_fp8", calls, **shape, rotary=rotary, group=group, scale=scale)
        else:
            self.add(name, "sparse_mqa", calls, **shape)

    def index_logits(self, calls: int, *, keys: int, heads: int, dim: int) -> None:
        """An indexer's logits: over pages of all sequences in decode; in prefill a call each, as they share no keys.

        fp8 is what runs everywhere; fp4 keys need SM100 (DeepGEMM).
        """
        shape = {"keys": keys, "heads": heads, "dim": dim, "dtype": FP8 if self.fp8 else self.precision.base}
        if self.step.phase == "decode":
            step = {"batch": self.step.batch, "queries": self.queries, "page": 64}
            self.add("index_logits", "mqa_logits_paged", calls, **step, **shape)
        else:
            window = self.queries > 1
            self.add("index_logits", "mqa_logits", calls * self.step.batch, tokens=self.queries, window=window, **shape)

    def embedding(self, vocab: int, dim: int, name: str = "embedding", tokens: int | None = None) -> None:
        """Token embedding, the vocabulary cut over the devices and padded so that it divides."""
        part = -(-vocab // self.step.tp)
        self.add(name, "embedding", 1, tokens=tokens or self.tokens, vocab=part, dim=dim, dtype=self.precision.base)

    def lm_head(self, vocab: int, hidden: int, out: str | None = None) -> None:
        """Logits, of the last token of each sequence in prefill and of every token in decode."""
        m = self.step.batch if self.step.phase == "prefill" else self.tokens
        self.plain_linear("lm_head", m, -(-vocab // self.step.tp), hidden, 1, out=out)
