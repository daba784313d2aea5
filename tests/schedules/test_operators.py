"""The contract that every operator keeps, held for each of its examples."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from schedules.canonical import canonical
from schedules.compare import mismatch
from schedules.operator import Arrays, Operator, make_operator, operators
from schedules.workload import Workload
from targets.errors import InputError

# Programs are to be right here; how fast LLVM makes them is nothing to wait for.
UNOPTIMISED = {"kind": "llvm", "opt-level": 0}
EXAMPLES = [example for kind in operators().values() for example in kind.examples()]
IDS = [f"{example.name}-{example.label}".replace(" ", "_") for example in EXAMPLES]
every_example = pytest.mark.parametrize("op", EXAMPLES, ids=IDS)


@cache
def inputs_of(op: Operator, seed: int = 0) -> Arrays:
    return op.inputs(np.random.default_rng(seed))


@cache
def reference_of(op: Operator, seed: int = 0) -> Arrays:
    return op.reference(inputs_of(op, seed))


@cache
def workload_of(op: Operator) -> Workload:
    return Workload.of(op)


def verdict(op: Operator, outputs: Arrays) -> str | None:
    return mismatch(outputs, reference_of(op), op.tolerances)


@every_example
def test_unscheduled_build_matches_the_reference(op: Operator) -> None:
    import tvm

    workload = workload_of(op)
    outputs = [
        np.full(a.shape, 0x5A, np.uint8).astype(r.dtype)
        for a, r in zip(workload.output_arguments, reference_of(op), strict=True)
    ]
    tensors = [tvm.runtime.tensor(array) for array in (*inputs_of(op), *outputs)]
    tvm.compile(workload.prim_func, UNOPTIMISED)["main"](*tensors)
    assert verdict(op, [t.numpy() for t in tensors[-len(outputs) :]]) is None
    for tensor, array in zip(tensors, inputs_of(op), strict=False):
        assert tensor.numpy().tobytes() == array.tobytes(), "an input was written to"


@every_example
def test_arrays_fit_the_signature(op: Operator) -> None:
    arguments = workload_of(op).arguments
    arrays = [*inputs_of(op), *reference_of(op)]
    assert len(arguments) == len(arrays)
    assert len(op.tolerances) == len(reference_of(op))
    for argument, array in zip(arguments, arrays, strict=True):
        assert (array.shape, array.dtype.name) == (argument.shape, argument.dtype), argument.name
        assert array.flags.c_contiguous


@pytest.mark.parametrize("kind", operators().values(), ids=operators())
def test_weights_are_inputs(kind: type[Operator]) -> None:
    """Each name is an input of some example: not every dtype comes with scales."""
    named = {argument.name for op in kind.examples() for argument in workload_of(op).input_arguments}
    assert set(kind.weights) <= named


@every_example
def test_inputs_depend_on_the_generator_alone(op: Operator) -> None:
    again, other = op.inputs(np.random.default_rng(0)), inputs_of(op, 1)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in inputs_of(op)]
    assert any(a.tobytes() != b.tobytes() for a, b in zip(other, inputs_of(op), strict=True))


def wrong_outputs(op: Operator) -> Iterator[tuple[str, Arrays]]:
    """Outputs that must be rejected, each with what it is; the outputs that are not named are right."""
    references = reference_of(op)
    rng = np.random.default_rng(2)
    for at, reference in enumerate(references):
        wrong = {"zeros": np.zeros_like(reference), "stale": reference_of(op, 1)[at]}
        for number, array in enumerate(inputs_of(op)):
            wrong[f"echo of input {number}"] = np.resize(array, reference.shape).astype(reference.dtype)
        if reference.dtype.kind not in "iu":
            wrong["one NaN"] = reference.copy()
            wrong["one NaN"].reshape(-1)[reference.size // 2] = np.nan
        wide = reference.astype(np.float64).reshape(-1)
        finite = np.flatnonzero(np.isfinite(wide))
        chosen = rng.choice(finite, max(1, -(-wide.size // 100)), replace=False)
        scale = np.sqrt(np.mean(np.square(wide[finite])))
        # Twice what is allowed, or the next code.
        error = 2 * (op.tolerances[at].atol * scale + op.tolerances[at].rtol * np.abs(wide[chosen]))
        wide[chosen] += np.where(error > 0, error, np.maximum(1, np.abs(wide[chosen]) / 4))
        wrong["one in a hundred"] = wide.reshape(reference.shape).astype(reference.dtype)
        for what, output in wrong.items():
            yield f"output {at}: {what}", [*references[:at], output, *references[at + 1 :]]


@every_example
def test_wrong_outputs_are_rejected(op: Operator) -> None:
    assert verdict(op, reference_of(op)) is None
    for what, outputs in wrong_outputs(op):
        assert verdict(op, outputs) is not None, what


@every_example
def test_parameters_and_costs(op: Operator) -> None:
    assert make_operator(op.name, op.params()) == op
    assert op.name and op.summary and op.label and op.__doc__
    moved = sum(a.nbytes for a in workload_of(op).arguments)
    assert op.flops > 0
    assert op.traffic is None or 0 < op.traffic <= moved


@every_example
def test_every_stage_can_be_scheduled(op: Operator) -> None:
    from tvm.s_tir import Schedule

    sch = Schedule(workload_of(op).prim_func)
    blocks = sch.get_child_blocks(sch.get_sblock("root"))
    names = [sch.get(block).name_hint for block in blocks]
    assert blocks and len(set(names)) == len(names), names
    for block, name in zip(blocks, names, strict=True):
        assert sch.get_loops(block)
        assert sch.get(sch.get_sblock(name)).same_as(sch.get(block))


@pytest.mark.parametrize("kind", operators().values(), ids=operators())
def test_recognised_from_its_arguments(kind: type[Operator]) -> None:
    """Parameters that no shape shows (a scale, a limit) are tried with their usual values: most examples are found."""
    examples = list(kind.examples())
    found = 0
    for op in examples:
        arguments = [(a.shape, a.dtype) for a in workload_of(op).arguments]
        found += workload_of(op).id in {Workload.of(candidate).id for candidate in kind.match(arguments)}
    assert found >= len(examples) / 3


def test_match_takes_the_arguments_of_anything() -> None:
    for op in EXAMPLES:
        arguments = [(a.shape, a.dtype) for a in workload_of(op).arguments]
        for kind in operators().values():
            for cut in range(1, len(arguments) + 1):
                assert all(isinstance(candidate, kind) for candidate in kind.match(arguments[:cut]))


def relax_call(op: Operator, variables: list[Any]) -> Any:
    from tvm import relax

    p = op.params()
    if op.name == "conv2d":
        return relax.op.nn.conv2d(*variables, strides=p["stride"], padding=p["padding"], groups=p["groups"])
    if op.name in ("maxpool2d", "avgpool2d"):
        pool = relax.op.nn.max_pool2d if op.name == "maxpool2d" else relax.op.nn.avg_pool2d
        return pool(*variables, pool_size=[p["kernel"]] * 2, strides=p["stride"], padding=p["padding"])
    return {"softmax": relax.op.nn.softmax, "gelu": relax.op.nn.gelu, "add": relax.op.add}[op.name](*variables)


@pytest.mark.parametrize("name", ["conv2d", "softmax", "maxpool2d", "avgpool2d", "gelu", "add"])
def test_programs_are_those_of_relax(name: str) -> None:
    """What ONNX and torch programs come to has the id of the operator."""
    from tvm import relax

    examples = [op for op in operators()[name].examples() if op.params()["dtype"] == "float32"]
    assert examples
    for op in examples:
        builder = relax.BlockBuilder()
        variables = [relax.Var(a.name, relax.TensorType(a.shape, a.dtype)) for a in workload_of(op).input_arguments]
        with builder.function("main", variables):
            builder.emit_func_output(builder.emit(relax_call(op, variables)))
        module = relax.transform.LegalizeOps()(builder.get())
        (func,) = (f for v, f in module.functions.items() if v.name_hint != "main")
        assert canonical(func) == workload_of(op).canonical


def test_topk_of_ties_zeros_and_infinities() -> None:
    import tvm

    op = make_operator("topk", {"rows": 4, "cols": 6, "k": 3})
    inf = np.inf
    rows = [
        [1, 1, 1, 1, 1, 1],
        [-inf, -inf, 0, -inf, -inf, inf],
        [-0.0, 0, -1, -0.0, -1e-40, 0],
        [-5, -4, -3, -2, -1, -6],
    ]
    x = np.array(rows, np.float32)
    out = tvm.runtime.tensor(np.full((4, 3), -1, np.int32))
    tvm.compile(op.prim_func(), UNOPTIMISED)["main"](tvm.runtime.tensor(x), out)
    expected = [[0, 1, 2], [0, 2, 5], [0, 1, 3], [2, 3, 4]]
    assert out.numpy().tolist() == op.reference([x])[0].tolist() == expected


def built(op: Operator, arrays: Arrays) -> Arrays:
    """What the unscheduled program makes of inputs, from poisoned outputs."""
    import tvm

    outputs = [np.full(r.shape, 0x5A, np.uint8).astype(r.dtype) for r in reference_of(op)]
    tensors = [tvm.runtime.tensor(array) for array in (*arrays, *outputs)]
    tvm.compile(op.prim_func(), UNOPTIMISED)["main"](*tensors)
    return [tensor.numpy() for tensor in tensors[-len(outputs) :]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_rows_of_an_expert_that_are_not_in_use_may_hold_anything(dtype: str) -> None:
    params = {"groups": 3, "rows": 4, "n": 5, "k": 128, "expected": 2, "dtype": dtype}
    op = make_operator("grouped_linear_masked", params)
    arrays = [array.copy() for array in inputs_of(op)]
    counts = arrays[1 if dtype == "bfloat16" else 2]
    counts[:] = [0, 3, 4]
    for group, count in enumerate(counts):
        # The scales of fp8 are what is read as it is; its own NaN decodes to a number.
        arrays[0 if dtype == "bfloat16" else 1][group, count:] = np.nan
    found = built(op, arrays)
    assert mismatch(found, op.reference(arrays), op.tolerances) is None
    rows = np.abs(found[0].astype(np.float32)).max(axis=2)
    assert (rows > 0).tolist() == [[False] * 4, [True] * 3 + [False], [True] * 4]


def test_scales_of_powers_of_two_hold_every_value() -> None:
    op = make_operator("act_quant", {"tokens": 4, "dim": 32, "group": 32, "dtype": "float32", "scale": "ue8m0"})
    x = np.zeros((4, 32), np.float32)
    # Nothing, 448 at a scale of 1, a little more, and 1: 1 / 448 is above 2^-9.
    x[1, 3], x[2, 3], x[3, 3] = 448, np.nextafter(np.float32(448), np.float32(500)), -1
    for codes, scales in (built(op, [x]), op.reference([x])):
        assert scales[:, 0].tolist() == [127 - 22, 127, 128, 127 - 8]
        assert codes[:, 3].astype(np.float32).tolist() == [0, 448, 224, -256]


def test_latent_attention_sees_no_key_after_its_own() -> None:
    params = {"batch": 2, "queries": 2, "keys": 5, "heads": 1, "dim": 4, "value_dim": 2, "dtype": "float32"}
    op = make_operator("mla_decode", params)
    arrays = [array.copy() for array in inputs_of(op)]
    arrays[0][:], arrays[2][:] = 0, [5, 3]
    arrays[1][1, 3:] = 1e30
    # Queries of zeros weigh all that they see alike.
    kv = arrays[1][..., :2]
    expected = [[kv[0, :4].mean(0), kv[0].mean(0)], [kv[1, :2].mean(0), kv[1, :3].mean(0)]]
    for (found,) in (built(op, arrays), op.reference(arrays)):
        np.testing.assert_allclose(found[:, :, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sink", [False, True])
def test_sparse_mqa_of_no_rows_and_one(sink: bool) -> None:
    import tvm

    params = {"batch": 2, "queries": 1, "heads": 2, "dim": 8, "value_dim": 4, "topk": 3, "sink": sink}
    op = make_operator("sparse_mqa", {**params, "dtype": "float32"})
    arrays = op.inputs(np.random.default_rng(0))
    arrays[2][:] = [[-1, -1, -1], [-1, 5, -1]]
    out = tvm.runtime.tensor(np.full((2, 2, 4), np.nan, np.float32))
    tvm.compile(op.prim_func(), UNOPTIMISED)["main"](*map(tvm.runtime.tensor, arrays), out)
    logits = arrays[0][1] @ arrays[1][5] * arrays[3]
    share = 1 / (1 + np.exp(arrays[4] - logits)) if sink else np.ones(2)
    expected = np.stack([np.zeros((2, 4)), share[:, None] * arrays[1][5, :4]])
    for found in (out.numpy(), op.reference(arrays)[0]):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_compress_leaves_out_rows_whose_score_is_minus_infinity() -> None:
    import tvm

    params = {"tokens": 4, "ratio": 4, "dim": 8, "rotary": 4, "overlap": True, "dtype": "float32"}
    op = make_operator("compress", params)
    arrays = op.inputs(np.random.default_rng(0))
    x = arrays[0]
    # Of eight rows the last alone is left, and of that the second half: the entry is its keys, whatever its score.
    x[:7, 16:] = -np.inf
    arrays[4][:], arrays[5][:] = 1, 0
    out = tvm.runtime.tensor(np.full((1, 8), np.nan, np.float32))
    tvm.compile(op.prim_func(), UNOPTIMISED)["main"](*map(tvm.runtime.tensor, arrays), out)
    keys = x[7, 8:16]
    expected = keys / np.sqrt(np.mean(keys**2)) * arrays[3]
    for found in (out.numpy()[0], op.reference(arrays)[0][0]):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_unknown_operator_and_bad_parameters_are_input_errors() -> None:
    bad = [
        ("nothing", {}),
        ("linear", {"m": 1}),
        ("linear", {"m": 1, "n": 1, "k": 1, "depth": 3}),
        ("linear", {"m": 0, "n": 1, "k": 1}),
        ("linear", {"m": "16", "n": 1, "k": 1}),
        ("linear", {"m": True, "n": 1, "k": 1}),
        ("linear", {"m": 1, "n": 1, "k": 1, "dtype": "float12"}),
        ("rope", {"tokens": 1, "heads": 1, "dim": 8, "rotary": 7}),
        ("conv2d", {"batch": 1, "height": 2, "width": 2, "channels_in": 1, "channels_out": 1, "kernel": 3}),
        ("moe_gate", {"tokens": 1, "experts": 8, "topk": 9}),
        ("sparse_mqa", {"batch": 1, "queries": 1, "heads": 1, "dim": 8, "value_dim": 9, "topk": 1}),
        ("compress", {"tokens": 4, "ratio": 4, "dim": 8, "rotary": 10}),
        ("compress", {"tokens": 4, "ratio": 4, "dim": 12, "rotary": 4, "hadamard": True}),
        ("grouped_linear", {"rows": 1, "groups": 1, "n": 1, "k": 33, "block": 1, "dtype": "float4_e2m1fn"}),
        ("grouped_linear_masked", {"rows": 1, "groups": 1, "n": 1, "k": 32, "expected": 2}),
        ("linear_fp4", {"m": 1, "n": 1, "k": 33}),
        ("linear_fp4", {"m": 1, "n": 1, "k": 64, "group": 64}),
        ("mqa_logits", {"tokens": 1, "keys": 1, "heads": 1, "dim": 33, "dtype": "float4_e2m1fn"}),
        ("mla_decode", {"batch": 1, "queries": 3, "keys": 2, "heads": 1, "dim": 8, "value_dim": 8}),
        ("mha_prefill", {"batch": 1, "queries": 3, "keys": 2, "heads": 1, "dim": 8, "value_dim": 8}),
        ("inverse_rope_quant", {"tokens": 1, "heads": 1, "dim": 8, "rotary": 10}),
    ]
    for name, params in bad:
        with pytest.raises(InputError):
            make_operator(name, params)
