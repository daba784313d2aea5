"""DeepSeek V3 and V3.2: multi-head latent attention, V3.2 with the indexer that picks the keys; experts from layer 3.

Semantics are those of ``inference/model.py`` in deepseek-ai/DeepSeek-V3 and DeepSeek-V3.2-Exp; which linears are one
and what is quantised where follows the shapes in DeepGEMM's ``tests/generators.py`` and vLLM's ``deepseek_v2.py``.
The layer for multi-token prediction is not part of a plain step and is left out.
"""

from __future__ import annotations

from tuner.frontend.builder import Builder
from tuner.frontend.families import Family
from tuner.frontend.fields import Fields
from tuner.frontend.model import ModelOp, Step
from tuner.frontend.precision import read_precision


def operators(config: Fields, step: Step) -> list[ModelOp]:
    """The operators of one step."""
    builder = Builder(config, step, read_precision(config))
    tokens, hidden, layers = step.tokens, config.integer("hidden_size"), config.layers()
    vocab = config.integer("vocab_size")
    config.choice("hidden_act", choices=["silu"], default="silu")
    builder.embedding(vocab, hidden)
    builder.rmsnorm("first_norm", tokens, hidden, 1)
    builder.rmsnorm("attn_norm", tokens, hidden, layers - 1, residual=True)
    builder.quantize("attn_quant", tokens, hidden, layers)
    _attention(builder, indexed=config.values["model_type"] == "deepseek_v32")
    builder.rmsnorm("ffn_norm", tokens, hidden, layers, residual=True)
    builder.quantize("ffn_quant", tokens, hidden, layers)
    dense = _dense_layers(config)
    if dense:
        builder.gated_mlp("dense", hidden, config.integer("intermediate_size"), dense)
    if dense < layers:
        _experts(builder, layers - dense)
    builder.rmsnorm("final_norm", tokens, hidden, 1, residual=True)
    # The reference computes logits in float32; serving code reads bf16 weights and accumulates into float32.
    builder.lm_head(vocab, hidden, out="float32")
    return builder.ops


def _attention(builder: Builder, indexed: bool) -> None:
    config, step, tokens = builder.config, builder.step, builder.tokens
    hidden, layers = config.integer("hidden_size"), config.layers()
    heads = builder.split("num_attention_heads", config.integer("num_attention_heads"))
    rank = config.integer("kv_lora_rank")
    nope, rope = config.integer("qk_nope_head_dim"), config.integer("qk_rope_head_dim")
    value = config.integer("v_head_dim")
    if rope % 2:
        raise config.error(f"qk_rope_head_dim {rope} is odd, and rotary embedding turns pairs")

    # The two down projections read the same input and are one linear (2112 = 1536 + 512 + 64 for V3). Smaller models
    # of the family have no query rank and project queries directly.
    query_rank = config.integer("q_lora_rank") if config.has("q_lora_rank") or indexed else 0
    if query_rank:
        builder.linear("qkv_a", tokens, query_rank + rank + rope, hidden, layers)
        builder.rmsnorm("q_norm", tokens, query_rank, layers)
        builder.quantize("q_quant", tokens, query_rank, layers)
        builder.linear("q_b", tokens, heads * (nope + rope), query_rank, layers)
    else:
        builder.linear("q_proj", tokens, heads * (nope + rope), hidden, layers)
        builder.linear("kv_a", tokens, rank + rope, hidden, layers)
    builder.rmsnorm("kv_norm", tokens, rank, layers)
    # Rotary channels are split off before they are turned, pairs interleaved.
    builder.rope("q_rope", tokens, heads, rope, layers, layout="interleaved")
    builder.rope("k_rope", tokens, 1, rope, layers, layout="interleaved")

    base = builder.precision.base
    common = {"batch": step.batch, "queries": builder.queries, "heads": heads, "dtype": base}
    if step.phase == "prefill" and not indexed:
        # Dense prefill multiplies the latents out to keys and values of every head.
        builder.quantize("kv_quant", tokens, rank, layers)
        builder.linear("kv_b", tokens, heads * (nope + value), rank, layers)
        builder.add("attention", "mha_prefill", layers, keys=step.kv_len, dim=nope + rope, value_dim=value, **common)
    else:
        # Absorbed form: queries go into the latent space (W_UK) and results come back from it (W_UV). V3 decodes so;
        # V3.2 does in both phases, since its kernel gathers latents by index (FlashMLA, flash_mla_sparse_fwd).
        builder.add("w_uk", "batched_linear", layers, batch=heads, m=tokens, n=rank, k=nope, dtype=base, out=base)
        latent = {"dim": rank + rope, "value_dim": rank}
        if indexed:
            shape = {"heads": heads, "topk": _indexer(builder, query_rank), "extra": 0, "sink": False, **latent}
            builder.sparse_attention("attention", layers, rotary=rope, group=128, scale="float32", **shape)
        else:
            builder.add("attention", "mla_decode", layers, keys=step.kv_len, **latent, **common)
        builder.add("w_uv", "batched_linear", layers, batch=heads, m=tokens, n=value, k=rank, dtype=base, out=base)
    builder.quantize("o_quant", tokens, heads * value, layers)
    builder.linear("o_proj", tokens, hidden, heads * value, layers)


def _indexer(builder: Builder, query_rank: int) -> int:
    """V3.2's indexer, replicated on every device; returns how many keys each query gets."""
    config, step, tokens = builder.config, builder.step, builder.tokens
    hidden, layers = config.integer("hidden_size"), config.layers()
    heads, dim = config.integer("index_n_heads"), config.integer("index_head_dim")
    rope = config.integer("qk_rope_head_dim", high=dim)
    builder.linear("index_wq_b", tokens, heads * dim, query_rank, layers)
    builder.linear("index_wk", tokens, dim, hidden, layers)
    builder.plain_linear("index_weights", tokens, heads, hidden, layers, out="float32")
    base = builder.precision.base
    builder.add("index_k_norm", "layernorm", layers, tokens=tokens, dim=dim, dtype=base, eps=1e-6)
    for name, count in (("index_q", heads), ("index_k", 1)):
        # Unlike the main attention, the first channels are turned and pairs are halves apart.
        builder.rope(f"{name}_rope", tokens, count, dim, layers, rotary=rope)
        builder.add(f"{name}_hadamard", "hadamard", layers, tokens=tokens * count, dim=dim, dtype=base)
        builder.quantize(f"{name}_quant", tokens * count, dim, layers)
    builder.index_logits(layers, keys=step.kv_len, heads=heads, dim=dim)
    topk = min(config.integer("index_topk"), step.kv_len)
    builder.add("index_topk", "topk", layers, rows=tokens, cols=step.kv_len, k=topk, dtype="float32")
    return topk


def _experts(builder: Builder, layers: int) -> None:
    config, tokens = builder.config, builder.tokens
    hidden, inter = config.integer("hidden_size"), config.integer("moe_intermediate_size")
    experts = config.integer("n_routed_experts")
    topk = config.integer("num_experts_per_tok", high=experts)
    groups = config.integer("n_group", default=1, high=experts)
    if experts % groups:
        raise config.error(f"n_routed_experts {experts} is not a multiple of n_group {groups}")
    # transformers leaves the score function out of its configs, since this family has only one.
    config.choice("scoring_func", choices=["sigmoid"], default="sigmoid")
    builder.plain_linear("router", tokens, experts, hidden, layers, out="float32")
    builder.add(
        "gate",
        "moe_gate",
        layers,
        tokens=tokens,
        experts=experts,
        topk=topk,
        score="sigmoid",
        groups=groups,
        topk_groups=config.integer("topk_group", default=1, high=groups),
        scale=config.number("routed_scaling_factor", default=1.0),
    )
    builder.experts(layers, hidden=hidden, inter=inter, experts=experts, topk=topk)
    shared = config.integer("n_shared_experts", default=0, low=0)
    if shared:
        builder.gated_mlp("shared", hidden, shared * inter, layers)


def _dense_layers(config: Fields) -> int:
    """Layers without experts.

    ``mlp_layer_types`` lists them (transformers 5), or they are the first ``first_k_dense_replace`` and, after those,
    the ones whose index is no multiple of ``moe_layer_freq`` (deepseek-ai/DeepSeek-V3, modeling_deepseek.py).
    """
    layers = config.layers()
    if config.has("mlp_layer_types"):
        return config.words("mlp_layer_types", layers, ("dense", "sparse")).count("dense")
    first, every = (
        config.integer("first_k_dense_replace", default=0, low=0),
        config.integer("moe_layer_freq", default=1),
    )
    return sum(1 for layer in range(layers) if layer < first or layer % every)


FAMILY = Family(("deepseek_v3", "deepseek_v32"), operators)
