"""Decoders of transformers with layers that run kernels: the same outputs, every layer taken, what is left said."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from headstart_runtime.bundle import Bundle
from headstart_runtime.call import MissError
from headstart_runtime.dispatch import use
from tests.tuning_db.runtime.bundles import config

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from headstart_runtime.torch import quantised, swap  # noqa: E402 torch first
from headstart_runtime.torch.layers import GatedMlp, Joined, Linear, RmsNorm  # noqa: E402

PROMPT = 6


def model(model_type: str = "qwen3", **fields: Any) -> Any:
    """A decoder with random weights, norms and biases included."""
    values = config(model_type, **fields)
    made = transformers.AutoConfig.for_model(**values)
    torch.manual_seed(0)
    built = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5) if "norm" in name else parameter.normal_()
            else:
                parameter.mul_(4)
    return built


def ids(rows: int = PROMPT, sequences: int = 1) -> Any:
    return torch.randint(0, 192, (sequences, rows), generator=torch.Generator().manual_seed(rows))


def outputs(of: Any, rows: int = PROMPT) -> tuple[Any, Any]:
    """Logits of a prompt's last token, and of a token after it."""
    with torch.inference_mode():
        first = of(ids(rows), logits_to_keep=1, use_cache=True)
        after = of(torch.tensor([[7]]), cache=first.cache)
    return first.logits, after.logits


# Parts of the logits' standard deviation. Rounding to bfloat16 at other places moves codes of fp8 to their neighbours.
ROUNDING, CODES = 0.1, 0.4


def near(found: Any, expected: Any, tolerance: float = ROUNDING) -> bool:
    """Within what rounding in other places comes to; the largest logit is the same but for a tie."""
    tolerance = tolerance * expected.float().std()
    best = expected.flatten()[found.argmax()]
    return bool((found - expected).float().abs().max() < tolerance and best >= expected.max() - tolerance)


def alike(one: Any, other: Any, x: Any, tolerance: float) -> bool:
    """Whether two layers differ by no more than a part of what they give, root mean square."""
    with torch.inference_mode():
        found, expected = one(x).float(), other(x).float()
    return bool((found - expected).square().mean().sqrt() <= tolerance * expected.square().mean().sqrt())


@pytest.mark.parametrize("model_type", ["qwen3", "llama", "qwen2", "mistral"])
def test_same_outputs(bf16: Bundle, model_type: str) -> None:
    """With no miss: the operators that a config is read as are those that the model calls."""
    of = model(model_type)
    expected, kernels = outputs(of), use(bf16, miss="raise")
    done = swap(of, kernels)
    assert all(near(*pair) for pair in zip(outputs(of), expected, strict=True))
    norms = 9 if model_type == "qwen3" else 5
    assert {kind: len(names) for kind, names in done.layers.items()} == {
        "joined": 2,
        "linear": 3,
        "mlp": 2,
        "norm": norms,
    }
    assert not done.left and done.nbytes > 0
    assert str(done).startswith(f"swapped 2 joined, 3 linear, 2 mlp, {norms} norm; ")
    assert not [m for m in of.modules() if type(m) is torch.nn.Linear]
    assert not kernels.misses.counts


def test_greedy_tokens(bf16: Bundle) -> None:
    """Each token is the one that the model as it was takes next, but for a tie."""
    of, other = model(), model()
    swap(of, use(bf16, miss="raise"))
    with torch.inference_mode():
        tokens = of.generate(ids(), max_new_tokens=8, do_sample=False, pad_token_id=0)
        logits = other(tokens).logits[0, PROMPT - 1 : -1].float()
    chosen = logits.gather(1, tokens[0, PROMPT:, None])[:, 0]
    assert tokens.shape[1] == PROMPT + 8 and bool((chosen >= logits.amax(1) - ROUNDING * logits.std(1)).all())


def test_rows_without_a_kernel(bf16: Bundle) -> None:
    of = model()
    expected, kernels = outputs(of, 5), use(bf16)
    swap(of, kernels)
    assert all(near(*pair) for pair in zip(outputs(of, 5), expected, strict=True))
    shapes = {miss.operator: miss.inputs[0][1] for miss in kernels.misses.counts}
    assert set(shapes) == {"linear", "rmsnorm", "swiglu"} and shapes["swiglu"] == (5, 512)


def test_weights_as_they_were_are_let_go(bf16: Bundle) -> None:
    of = model()
    expected = outputs(of)
    swap(of, use(bf16), keep=False)
    assert all(near(*pair) for pair in zip(outputs(of), expected, strict=True))
    with pytest.raises(MissError, match=r"no kernel for linear.*5, 128.* have been released"):
        outputs(of, 5)


def test_families_take_any_rows(any_rows: Bundle) -> None:
    """Without the weights as they were, and with no miss, whatever the length of the prompt."""
    of = model()
    expected = {rows: outputs(of, rows) for rows in (1, 2, 5, 6, 11)}
    assert not swap(of, use(any_rows, miss="raise"), keep=False).left
    assert all(near(*pair) for rows in expected for pair in zip(outputs(of, rows), expected[rows], strict=True))


def emulate(of: Any) -> None:
    """What fp8 comes to, in torch: weights and activations quantised in every linear layer but the LM head."""

    class Quantised(torch.nn.Module):
        def __init__(self, linear: Any) -> None:
            super().__init__()
            self.weights = quantised.quantise_weights(linear.weight)

        def forward(self, x: Any) -> Any:
            rows = quantised.quantise(x.reshape(-1, x.shape[-1]))
            return quantised.linear(*rows, *self.weights).view(*x.shape[:-1], -1)

    with torch.no_grad():
        for module in list(of.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear and name != "lm_head":
                    setattr(module, name, Quantised(child))


def test_fp8_of_bfloat16_weights(fp8: Bundle) -> None:
    of, other = model(), model()
    emulate(other)
    kernels = use(fp8, miss="raise")
    expected = outputs(other)
    done = swap(of, kernels, fp8=True)
    assert all(near(*pair, CODES) for pair in zip(outputs(of), expected, strict=True))
    ours, theirs = of.model.layers[1], other.model.layers[1]
    x = torch.randn(1, PROMPT, 256, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    assert alike(ours.self_attn.o_proj, theirs.self_attn.o_proj, x, 1e-3)
    assert alike(ours.self_attn.v_proj, theirs.self_attn.v_proj, x[..., :128], 1e-3)
    assert alike(ours.mlp, theirs.mlp, x[..., :128], 0.03)  # which rounds the activation to bfloat16 first
    assert len(done.layers["mlp"]) == 2 and not done.left
    assert [m.coded for m in of.modules() if type(m) is Linear].count(False) == 1  # the LM head


def test_fp8_layers_of_transformers(fp8: Bundle) -> None:
    """A checkpoint in fp8, whose own layers run on a GPU only."""
    from transformers.integrations.finegrained_fp8 import FP8Linear

    of, other = model(), model()
    emulate(other)
    for module in list(of.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear and name != "lm_head":
                made = FP8Linear(child.in_features, child.out_features, block_size=(128, 128))
                made.weight.data, made.weight_scale_inv.data = quantised.quantise_weights(child.weight.detach())
                setattr(module, name, made)
    done = swap(of, use(fp8, miss="raise"))
    assert not done.left and len(done.layers["joined"]) == 2
    assert all(near(*pair, CODES) for pair in zip(outputs(of), outputs(other), strict=True))


def test_compiled_whole(bf16: Bundle) -> None:
    of = model()
    swap(of, use(bf16, miss="raise"))
    calls = []

    def backend(graph: Any, inputs: Any) -> Any:
        calls.append(sum(node.target is torch.ops.headstart.call for node in graph.graph.nodes))
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(of, fullgraph=True, backend=backend)
    with torch.inference_mode():
        expected = of(ids(), use_cache=False, logits_to_keep=1).logits
        assert torch.equal(compiled(ids(), use_cache=False, logits_to_keep=1).logits, expected)
    assert calls == [2 * 7 + 2]  # two layers of four norms, two linear layers and an MLP each; a norm and the LM head


def test_threads_do_not_share_what_is_joined(bf16: Bundle) -> None:
    of = model()
    swap(of, use(bf16))
    joined = next(m for m in of.modules() if type(m) is Joined)
    query, key, value = joined.parts()
    with torch.inference_mode():
        x, y = torch.randn(2, 1, 6, 128).to(torch.bfloat16)
        right = [part.clone() for part in joined.linear(x).split(joined.sizes, -1)]
        assert torch.equal(query(x), right[0])
        other = threading.Thread(target=lambda: [part(y) for part in (query, key, value)])
        other.start()
        other.join()
        assert joined._kept.x is x and sorted(joined._kept.left) == [1, 2]
        assert torch.equal(key(x), right[1])
        assert not torch.equal(query(y), right[0])  # another input, and the last of the first was not asked for
        assert torch.equal(value(x), right[2])
        x.mul_(2)
        assert torch.equal(query(x), joined.linear(x).split(joined.sizes, -1)[0])
    assert joined._kept.x is x and sorted(joined._kept.left) == [1, 2]


def test_many_threads_in_one_model(bf16: Bundle) -> None:
    of = model()
    swap(of, use(bf16))
    prompts = [ids(rows) for rows in (1, 5, 6, 6)]
    found: list[Any] = [None] * len(prompts)

    def work(at: int) -> None:
        with torch.inference_mode():
            found[at] = [of(prompts[at], use_cache=False).logits for _ in range(5)]

    with torch.inference_mode():
        expected = [of(prompt, use_cache=False).logits for prompt in prompts]
    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, right) for each, right in zip(found, expected, strict=True) for one in each)


def test_what_is_something_else_is_left(bf16: Bundle) -> None:
    """A norm that adds 1 to its weight, an MLP with another activation, a layer that is more than a linear one."""
    gemma = model("gemma", hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh")
    expected = outputs(gemma)
    done = swap(gemma, use(bf16))
    assert "norm" not in done.layers and "mlp" not in done.layers
    assert done.left["model.layers.0.mlp"] == "its activation is not silu(gate) * up"
    assert all(near(*pair) for pair in zip(outputs(gemma), expected, strict=True))

    class Adapted(torch.nn.Linear):
        def forward(self, x: Any) -> Any:
            return super().forward(x) * 2

    of = model()
    of.model.layers[0].self_attn.o_proj.__class__ = Adapted
    of.model.layers[0].self_attn.k_proj.__class__ = Adapted
    done = swap(of, use(bf16))
    assert "may compute something else" in done.left["model.layers.0.self_attn.o_proj"]
    assert "may compute something else" in done.left["model.layers.0.self_attn.q_proj+k_proj+v_proj"]
    assert type(of.model.layers[0].self_attn.o_proj) is Adapted


def test_what_there_is_no_kernel_for_is_left(bf16: Bundle) -> None:
    of = model(intermediate_size=384, vocab_size=200, rms_norm_eps=1e-5)
    expected = outputs(of)
    done = swap(of, use(bf16))
    assert done.left["lm_head"] == "no kernel for 200 x 128 weights in bfloat16"
    assert done.left["model.norm"] == "no kernel for a norm of 128 columns in bfloat16"
    assert done.left["model.layers.1.mlp.gate_proj+up_proj"] == "no kernel for 768 x 128 weights in bfloat16"
    assert set(done.layers) == {"joined", "linear"}
    assert all(near(*pair) for pair in zip(outputs(of), expected, strict=True))


def test_a_model_that_is_no_decoder(bf16: Bundle) -> None:
    of = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    done = swap(of, use(bf16))
    assert not done.layers and list(done.left) == ["0"] and "swapped nothing" in str(done)


def test_modules_say_what_they_are(bf16: Bundle) -> None:
    of = model()
    swap(of, use(bf16))
    layer = of.model.layers[0]
    assert isinstance(layer.mlp, GatedMlp) and isinstance(layer.input_layernorm, RmsNorm)
    assert repr(layer.self_attn.o_proj) == "Linear(256, 128)" and repr(of.model.norm) == "RmsNorm(128, eps=1e-06)"
