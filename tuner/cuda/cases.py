"""Layers of models as GPUs serve them, small ones of decoding and large ones of prefill."""

from __future__ import annotations

from schedules.operator import Operator
from schedules.operators.act_quant import ActQuant
from schedules.operators.add import Add
from schedules.operators.gelu import Gelu
from schedules.operators.linear import Linear
from schedules.operators.linear_fp8 import LinearFp8
from schedules.operators.mqa_logits import MqaLogits
from schedules.operators.rmsnorm import RmsNorm
from schedules.operators.softmax import Softmax
from schedules.operators.swiglu import SwiGlu

# Output and input features of Llama-3.1-8B: attention output, gate and up together, down.
LAYERS = ((4096, 4096), (28672, 4096), (4096, 14336))
BF16, E4M3 = "bfloat16", "float8_e4m3fn"

CASES: list[Operator] = [
    *(Linear(m, n, k, BF16, BF16) for m in (1, 4) for n, k in LAYERS),
    *(Linear(m, n, k, BF16, BF16) for m in (16, 64, 256) for n, k in LAYERS[:2]),
    *(Linear(4096, n, k, BF16, BF16) for n, k in LAYERS),
    *(LinearFp8(m, 4096, 7168) for m in (16, 64, 4096)),
    LinearFp8(4096, 7168, 2048),
    MqaLogits(4, 65536, 64, 128, E4M3),
    MqaLogits(256, 8192, 64, 128, E4M3, True),
    MqaLogits(256, 8192, 64, 128, BF16, True),
    RmsNorm(16, 4096, BF16),
    RmsNorm(4096, 4096, BF16),
    RmsNorm(4096, 4096, BF16, residual=True),
    RmsNorm(4096, 7168, BF16),
    Softmax(4096, 4096, BF16),
    Softmax(256, 32768, BF16),
    ActQuant(16, 7168),
    ActQuant(4096, 7168),
    SwiGlu(16, 14336),
    SwiGlu(4096, 14336),
    Gelu(4096, 4096, BF16),
    Add(4096 * 4096, BF16),
]
