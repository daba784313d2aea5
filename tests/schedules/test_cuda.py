"""Spaces for GPUs: schedules are points of their spaces, and TVM makes CUDA C of them; no GPU and no nvcc."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import tvm

from schedules.axes import child_blocks
from schedules.cuda.launch import Box
from schedules.cuda.serial import serial
from schedules.cuda.source import hasty, source
from schedules.cuda.space import CudaSpace
from schedules.operators.act_quant import ActQuant
from schedules.operators.gelu import Gelu
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.rmsnorm import RmsNorm
from schedules.operators.rope import Rope
from schedules.operators.softmax import Softmax
from schedules.operators.swiglu import SwiGlu
from schedules.schedule import Schedule
from schedules.space import apply, spaces, spaces_for
from schedules.workload import Workload
from targets import catalogue
from targets.errors import InputError

A100, H100, B200 = (catalogue.target(name) for name in ("a100", "h100", "b200"))
BF16, E4M3 = "bfloat16", "float8_e4m3fn"
CASES = [
    ("cuda_skinny", Linear(3, 48, 512, BF16, BF16)),
    ("cuda_skinny", Linear(1, 16, 128)),
    ("cuda_tensor", Linear(100, 128, 192, BF16, "float32")),
    ("cuda_tensor", LinearFp8(40, 160, 256)),
    ("cuda_rows", RmsNorm(6, 256, BF16, residual=True)),
    ("cuda_rows", Softmax(4, 96)),
    ("cuda_rows", ActQuant(4, 384)),
    ("cuda_elementwise", SwiGlu(3, 200, limit=2.0, weighted=True)),
    ("cuda_elementwise", Gelu(5, 101, "float32")),
    ("cuda_logits", MqaLogits(5, 64, 16, 128, E4M3, True)),
    ("cuda_logits", MqaLogits(2, 64, 32, 64)),
]
IDS = [f"{name}-{operator.name}-{operator.label}" for name, operator in CASES]


@pytest.mark.parametrize(("name", "operator"), CASES, ids=IDS)
def test_schedules_are_points_of_their_space(name, operator):
    space = spaces()[name](Workload.of(operator), H100)
    rng = np.random.default_rng(1)
    assert isinstance(space, CudaSpace) and space.seeds()
    for schedule in [*space.seeds(), *(space.sample(rng) for _ in range(20))]:
        space.check(schedule)
        assert Schedule.from_json(json.loads(json.dumps(schedule.to_json()))).id == schedule.id
        assert not any(map(np.isinf, space.features(schedule).values()))
        neighbour = space.mutate(schedule, rng)
        if neighbour is not None:
            space.check(neighbour)
            assert neighbour.id != schedule.id


@pytest.mark.parametrize(("name", "operator"), CASES, ids=IDS)
def test_cuda_c_and_how_it_is_started(name, operator):
    workload = Workload.of(operator)
    space = spaces()[name](workload, H100)
    made = source(apply(workload, space.seeds()[0], H100), H100)
    (launch,) = made.launches
    assert set(launch.arguments) <= {argument.name for argument in workload.arguments}
    assert {argument.name for argument in workload.output_arguments} <= set(launch.arguments)
    bounds = rf"void __launch_bounds__\({launch.threads}\) (?:__cluster_dims__\([12], 1, 1\) )?"
    declared = re.search(rf"{bounds}{launch.name}\(([^)]*)\) {{", made.text)
    assert declared and [part.split()[-1] for part in declared[1].split(",")] == [f"{n}_ptr" for n in launch.arguments]
    assert launch.grid[0] * launch.threads > 0 and launch.threads <= 1024
    assert launch.shared <= 232448


def test_one_number_a_row_stays_in_a_warp():
    space = spaces()["cuda_rows"](Workload.of(ActQuant(4, 256)), H100)
    config = {"rows": 4, "lanes": 32, "vector": 4, "keep": 0}
    text = source(space.apply(space.schedule(config)), H100).text
    assert "__syncthreads" not in text
    # Each thread writes its own, and reads it in its registers only.
    assert len(re.findall(r"\bSQ_ptr\[", text)) == 1
    several = config | {"lanes": 64, "vector": 2}
    assert not space.allows(several)
    assert spaces()["cuda_rows"](Workload.of(Softmax(4, 256)), H100).allows(several)
    with pytest.raises(InputError, match="change what they reduced"):
        source(space.plain(several), H100)


def test_what_one_thread_writes_is_not_read_without_a_barrier():
    space = spaces()["cuda_rows"](Workload.of(ActQuant(4, 256)), H100)
    sch = tvm.s_tir.Schedule(space.plain({"rows": 4, "lanes": 64, "vector": 2, "keep": 0}))
    block = next(block for block in child_blocks(sch) if sch.get(block).writes[0].source.name == "SQ_local")
    sch.set_scope(block, 0, "shared")
    with pytest.raises(InputError, match="would read SQ_local_shared, which one of them writes"):
        source(sch.mod, H100)
    # What an H100 was wrong with: the scale by way of the output.
    wrote = "  if (((int)threadIdx.x) == 0) {\n    SQ_ptr[((int)blockIdx.x)] = most[0];\n  }\n"
    read = "  Q_local_ptr[0] = X_local_ptr[0] / SQ_ptr[((int)blockIdx.x)];\n"
    assert hasty(wrote + read, {"SQ", "Q"}) == "SQ"
    assert not hasty(wrote + "  __syncthreads();\n" + read, {"SQ", "Q"})
    assert not hasty(wrote, {"SQ", "Q"})


def test_tiles_that_the_tensor_memory_unit_copies():
    workload = Workload.of(Linear(300, 512, 1024, BF16, BF16))
    space = spaces()["cuda_tensor"](workload, H100)
    tile = {"rows": 128, "columns": 256, "down": 1, "across": 1, "stages": 4}
    alone = space.schedule(tile | {"group": 2, "wgmma": 1, "pending": 1, "bulk": 1})
    (launch,) = source(space.apply(alone), H100).launches
    assert launch.threads == 384 and launch.arguments == ("C",)
    assert launch.boxes == (Box("A", 2048, 300, 128), Box("W", 2048, 512, 256))
    # Three tiles of rows are no pairs, and pairs are what a cluster is made of.
    assert not space.allows(alone.config | {"bulk": 2})
    pairs = spaces()["cuda_tensor"](Workload.of(Linear(512, 512, 1024, BF16, BF16)), H100)
    made = source(pairs.apply(pairs.schedule(alone.config | {"bulk": 2})), H100)
    assert made.launches[0].boxes == (Box("A", 2048, 512, 128), Box("W", 2048, 512, 128))
    assert "__cluster_dims__(2, 1, 1) main_kernel(" in made.text


def test_every_workload_has_a_default():
    for operator in (Linear(16, 64, 64), next(iter(Rope.examples())), Softmax(4, 100)):
        workload = Workload.of(operator)
        default = spaces_for(workload, H100)["default"]
        made = source(default.apply(default.seeds()[0]), H100)
        assert made.launches and not made.scratch


def test_kernels_that_hand_on_to_one_another():
    workload = Workload.of(ActQuant(4, 256))
    default = spaces_for(workload, H100)["default"]
    made = source(default.apply(default.seeds()[0]), H100)
    # The largest values of eight groups, in float32.
    assert made.scratch == {"M": 32}
    names = {argument.name for argument in workload.arguments} | made.scratch.keys()
    assert len(made.launches) == 3 and all(set(launch.arguments) <= names for launch in made.launches)


def test_only_hopper_multiplies_by_warpgroups():
    workload = Workload.of(Linear(512, 512, 512, BF16, BF16))
    chips = {chip.name: spaces()["cuda_tensor"](workload, chip) for chip in (A100, H100, B200)}
    assert {name: space.knobs["wgmma"] for name, space in chips.items()} == {"a100": [0], "h100": [0, 1], "b200": [0]}
    seed = chips["h100"].seeds()[0]
    assert seed.config["wgmma"] == 1
    text = source(chips["h100"].apply(seed), H100).text
    assert "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16" in text
    with pytest.raises(InputError, match="not a point"):
        chips["a100"].apply(seed)
    assert "mma.sync.aligned.m16n8k16" in source(chips["a100"].apply(chips["a100"].seeds()[0]), A100).text


def test_codes_are_multiplied_where_the_chip_can():
    workload = Workload.of(LinearFp8(64, 128, 256))
    assert "cuda_tensor" in spaces_for(workload, H100)
    assert "cuda_tensor" not in spaces_for(workload, A100)


def test_a_schedule_that_would_not_fit_is_refused():
    """With its whole shared memory, a chip has room for some stages; one of half as much has not."""
    workload = Workload.of(Linear(512, 512, 1024, BF16, BF16))
    seed = spaces()["cuda_tensor"](workload, H100).seeds()[0]
    half = dict(H100.tvm) | {"max_shared_memory_per_block": 100_000}
    with pytest.raises(InputError, match="breaks a rule"):
        apply(workload, seed, dataclasses.replace(H100, tvm=half))


def test_a_cpu_has_none_of_these():
    workload = Workload.of(Linear(1, 16, 128))
    zen = catalogue.target("zen4")
    assert not [name for name in spaces_for(workload, zen) if name.startswith("cuda")]


def test_some_thread_blocks_of_many():
    workload = Workload.of(Linear(3, 48, 512, BF16, BF16))
    space = spaces()["cuda_skinny"](workload, H100)
    schedule = space.schedule({"lanes": 32, "warps": 2, "columns": 2, "steps": 1})
    whole, some = serial(space.apply(schedule)).script(), serial(space.apply(schedule), blocks=3).script()
    assert "thread_binding" not in whole + some
    assert "T.grid(12, 2)" in whole and "T.grid(3, 2)" in some
    # Blocks 1, 6 and 11 of 12: the last one is there.
    assert "* 5 + 1" in some
