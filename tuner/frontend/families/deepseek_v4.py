"""DeepSeek V4: one shared key-value head, a window plus compressed keys, four residual streams, fp4 experts.

Semantics are those of ``inference/model.py`` and ``kernel.py`` in the released checkpoints; which linears are one
(``wqa_wkv``, ``w13``, key and gate of a compressor) follows vLLM's ``deepseek_v4.py`` and ``deepseek_v4_attention.py``.
The layer for multi-token prediction is not part of a plain step and is left out.

A layer is one of three kinds, by its compress ratio: 0 sees the window only; 4 (CSA) adds the best ``index_topk``
compressed entries, which an indexer picks; any other (HCA, 128) adds all of its compressed entries.
"""

from __future__ import annotations

from collections import Counter

from tuner.frontend.builder import Builder
from tuner.frontend.families import Family
from tuner.frontend.fields import Fields
from tuner.frontend.model import ModelOp, Step
from tuner.frontend.precision import SCALE_BLOCK, read_precision

CSA_RATIO = 4
LAYER_TYPES = ("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention")


def operators(config: Fields, step: Step) -> list[ModelOp]:
    """The operators of one step."""
    builder = Builder(config, step, read_precision(config))
    tokens, hidden, layers = step.tokens, config.integer("hidden_size"), config.layers()
    vocab, streams = config.integer("vocab_size"), config.integer("hc_mult", high=64)
    base = builder.precision.base
    config.choice("hidden_act", choices=["silu"], default="silu")
    builder.embedding(vocab, hidden)

    # Before and after each attention and each feed-forward block the streams are mixed; the mix of one block is
    # 2 * hc + hc^2 numbers a token, from a float32 linear over all streams (DeepGEMM, tf32_hc_prenorm_gemm).
    blocks, mix = 2 * layers, 2 * streams + streams**2
    iters, eps = config.integer("hc_sinkhorn_iters", high=10_000), config.number("hc_eps", default=1e-6, high=1.0)
    single = {"dtype": "float32", "out": "float32"}
    builder.add("hc_fn", "linear", blocks, m=tokens, n=mix, k=streams * hidden, **single)
    builder.add("hc_sinkhorn", "sinkhorn", blocks, tokens=tokens, hc=streams, iters=iters, eps=eps)
    builder.add("hc_pre", "hc_pre", blocks, tokens=tokens, dim=hidden, hc=streams, dtype=base, eps=eps)
    builder.rmsnorm("block_norm", tokens, hidden, blocks)
    builder.add("hc_post", "hc_post", blocks, tokens=tokens, dim=hidden, hc=streams, dtype=base)

    _attention(builder)
    _experts(builder)

    builder.add("hc_head_fn", "linear", 1, m=tokens, n=streams, k=streams * hidden, **single)
    builder.add("hc_head", "hc_head", 1, tokens=tokens, dim=hidden, hc=streams, dtype=base, eps=eps)
    builder.rmsnorm("final_norm", tokens, hidden, 1)
    # The reference computes logits in float32; serving code reads bf16 weights and accumulates into float32.
    builder.lm_head(vocab, hidden, out="float32")
    return builder.ops


def _attention(builder: Builder) -> None:
    config, step, tokens = builder.config, builder.step, builder.tokens
    hidden, layers = config.integer("hidden_size"), config.layers()
    all_heads, dim = config.integer("num_attention_heads"), config.integer("head_dim")
    heads, rank = builder.split("num_attention_heads", all_heads), config.integer("q_lora_rank")
    rope = config.integer("qk_rope_head_dim", high=dim)
    if rope % 2:
        raise config.error(f"qk_rope_head_dim {rope} is odd, and rotary embedding turns pairs")

    builder.quantize("attn_quant", tokens, hidden, layers)
    builder.linear("wqa_wkv", tokens, rank + dim, hidden, layers)
    builder.rmsnorm("q_norm", tokens, rank, layers)
    builder.quantize("q_quant", tokens, rank, layers)
    builder.linear("wq_b", tokens, heads * dim, rank, layers)
    builder.rmsnorm("q_head_norm", tokens * heads, dim, layers, weight=False)
    builder.rope("q_rope", tokens, heads, dim, layers, rotary=rope, layout="interleaved", place="last")
    builder.rmsnorm("kv_norm", tokens, dim, layers)
    builder.rope("kv_rope", tokens, 1, dim, layers, rotary=rope, layout="interleaved", place="last")
    if rope < dim:
        # Keys go to the cache as fp8 with a scale for each 64 channels, rotary channels as bf16.
        builder.quantize("kv_quant", tokens, dim - rope, layers, group=64)

    for ratio, calls in sorted(_ratios(config).items()):
        kind = "swa" if ratio == 0 else "csa" if ratio == CSA_RATIO else "hca"
        extra = 0
        if ratio:
            _compressor(builder, f"{kind}_compress", ratio, dim, calls)
            extra = step.kv_len // ratio
        if ratio == CSA_RATIO:
            extra = _indexer(builder, rank, calls)
        window = min(config.integer("sliding_window"), step.kv_len)
        shape = {"heads": heads, "dim": dim, "value_dim": dim, "topk": window, "extra": extra, "sink": True}
        builder.sparse_attention(f"{kind}_attention", calls, rotary=rope, group=64, scale="ue8m0", **shape)

    groups, low = config.integer("o_groups"), config.integer("o_lora_rank")
    if all_heads % groups:
        raise config.error(f"num_attention_heads {all_heads} is not a multiple of o_groups {groups}")
    groups, width = builder.split("o_groups", groups), dim * all_heads // groups
    base, turned = builder.precision.base, {"tokens": tokens, "heads": heads, "dim": dim, "rotary": rope}
    # The checkpoint stores wo_a in fp8. The reference multiplies it in bf16 ("could do FP8 einsum"); serving code does
    # that, and turns and quantises attention's output in one kernel before.
    if builder.fp8:
        form = {"dtype": base, "group": SCALE_BLOCK, "scale": "float32"}
        builder.add("o_rope_quant", "inverse_rope_quant", layers, **turned, **form)
        builder.add("wo_a", "batched_linear_fp8", layers, batch=groups, m=tokens, n=low, k=width)
    else:
        form = {"layout": "interleaved", "place": "last", "inverse": True, "dtype": base}
        builder.add("o_rope", "rope", layers, **turned, **form)
        builder.add("wo_a", "batched_linear", layers, batch=groups, m=tokens, n=low, k=width, dtype=base, out=base)
    builder.quantize("o_quant", tokens, groups * low, layers)
    builder.linear("wo_b", tokens, hidden, groups * low, layers)


def _compressor(builder: Builder, name: str, ratio: int, dim: int, calls: int, *, hadamard: bool = False) -> None:
    """Gated pooling of ``ratio`` tokens into one entry; ratio 4 has overlapping windows of 8, so twice the channels."""
    overlap = ratio == CSA_RATIO
    hidden, width = builder.config.integer("hidden_size"), 2 * (1 + overlap) * dim
    builder.plain_linear(f"{name}_linear", builder.tokens, width, hidden, calls, out="float32")
    rope = builder.config.integer("qk_rope_head_dim", high=dim)
    # One kernel in serving code: pooling, norm, rotary embedding and, for the indexer, the Hadamard rotation.
    params = {"ratio": ratio, "dim": dim, "rotary": rope, "overlap": overlap, "hadamard": hadamard}
    builder.add(name, "compress", calls, tokens=builder.tokens, **params, dtype=builder.precision.base)


def _indexer(builder: Builder, query_rank: int, calls: int) -> int:
    """The indexer of CSA layers, replicated on every device; returns how many entries each query gets."""
    config, step, tokens = builder.config, builder.step, builder.tokens
    hidden, base = config.integer("hidden_size"), builder.precision.base
    heads, dim = config.integer("index_n_heads"), config.integer("index_head_dim")
    rope = config.integer("qk_rope_head_dim", high=dim)
    builder.linear("index_wq_b", tokens, heads * dim, query_rank, calls)
    builder.rope("index_q_rope", tokens, heads, dim, calls, rotary=rope, layout="interleaved", place="last")
    builder.add("index_q_hadamard", "hadamard", calls, tokens=tokens * heads, dim=dim, dtype=base)
    if builder.fp8:
        builder.add("index_q_quant", "act_quant_fp4", calls, tokens=tokens * heads, dim=dim, group=32, dtype=base)
    _compressor(builder, "index_compress", CSA_RATIO, dim, calls, hadamard=True)
    builder.plain_linear("index_weights", tokens, heads, hidden, calls)
    keys = step.kv_len // CSA_RATIO
    if not keys:
        return 0
    builder.index_logits(calls, keys=keys, heads=heads, dim=dim)
    topk = min(config.integer("index_topk"), keys)
    builder.add("index_topk", "topk", calls, rows=tokens, cols=keys, k=topk, dtype="float32")
    return topk


def _experts(builder: Builder) -> None:
    config, tokens, layers = builder.config, builder.tokens, builder.config.layers()
    hidden, inter = config.integer("hidden_size"), config.integer("moe_intermediate_size")
    experts = config.integer("n_routed_experts")
    topk = config.integer("num_experts_per_tok", high=experts)
    limit = config.number("swiglu_limit", default=0.0)
    builder.quantize("ffn_quant", tokens, hidden, layers)
    builder.plain_linear("router", tokens, experts, hidden, layers, out="float32")
    hashed = _hash_layers(config)
    gate = {
        "tokens": tokens,
        "experts": experts,
        "topk": topk,
        "score": config.choice("scoring_func", choices=["sqrtsoftplus", "sigmoid", "softmax"], default="sqrtsoftplus"),
        "scale": config.number("routed_scaling_factor", default=1.0),
    }
    builder.add("gate", "moe_gate", layers - hashed, **gate, groups=1, topk_groups=1)
    # The first layers look the experts up by token (tid2eid) and take only the weights from the scores.
    builder.add("hash_gate", "moe_hash_gate", hashed, **gate, vocab=config.integer("vocab_size"))
    builder.experts(layers, hidden=hidden, inter=inter, experts=experts, topk=topk, limit=limit, weighted=True)
    shared = config.integer("n_shared_experts", default=0, low=0)
    if shared:
        builder.gated_mlp("shared", hidden, shared * inter, layers, limit)


def _ratios(config: Fields) -> Counter[int]:
    """How many layers have each compress ratio.

    Checkpoints list ``compress_ratios``, with entries for prediction layers at the end (some later ones have more);
    transformers writes ``layer_types`` and a ratio for each type. A ratio of 1 compresses nothing: window only.
    """
    layers = config.layers()
    if config.has("compress_ratios"):
        ratios = config.integers("compress_ratios", layers, low=0)
        return Counter(0 if ratio == 1 else ratio for ratio in ratios)
    kinds = Counter(config.words("layer_types", layers, LAYER_TYPES))
    rates = config.section("compress_rates") if config.has("compress_rates") else Fields({}, config.where)
    of_kind = {
        "sliding_attention": 0,
        "compressed_sparse_attention": rates.integer("compressed_sparse_attention", default=CSA_RATIO, low=2),
        "heavily_compressed_attention": rates.integer("heavily_compressed_attention", default=128, low=2),
    }
    counted: Counter[int] = Counter()
    for kind, calls in kinds.items():
        counted[of_kind[kind]] += calls
    return counted


def _hash_layers(config: Fields) -> int:
    """Layers routed by token: listed in ``mlp_layer_types`` (transformers 5), or the first ``num_hash_layers``."""
    layers = config.layers()
    if config.has("mlp_layer_types"):
        return config.words("mlp_layer_types", layers, ("hash_moe", "moe")).count("hash_moe")
    return min(config.integer("num_hash_layers", default=0, low=0), layers)


FAMILY = Family(("deepseek_v4",), operators)
