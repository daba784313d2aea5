"""Arrays become tensors over the same memory, whatever their type."""

from __future__ import annotations

import gc

import ml_dtypes
import numpy as np
import pytest

from headstart_runtime import dlpack
from headstart_runtime.dlpack import tensor

TYPES = [np.float32, np.int8, np.bool_, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("writeable", [True, False])
def test_numpy_shares_memory(dtype: type, writeable: bool) -> None:
    array = np.zeros((3, 5), dtype)
    array.flags.writeable = writeable
    made = tensor(array)
    assert made.data_ptr() == array.ctypes.data
    assert tuple(made.shape) == (3, 5)
    assert str(made.dtype) == array.dtype.name
    assert made.is_contiguous()


def test_memory_lives_as_long_as_the_tensor() -> None:
    made = tensor(np.full((1000,), 3, ml_dtypes.bfloat16))
    gc.collect()
    assert len(dlpack._exported) == 1
    view = np.from_dlpack(tensor(np.ones(2, np.float32)))
    assert view.sum() == 2
    del made
    assert not dlpack._exported


def test_refused() -> None:
    wide = np.zeros((4, 6), ml_dtypes.bfloat16)
    with pytest.raises(ValueError, match="contiguous"):
        tensor(wide[:, ::2])
    with pytest.raises((TypeError, ValueError)):
        tensor(np.zeros(3, ">f4"))
    with pytest.raises((TypeError, ValueError)):
        tensor(np.array(["text"]))
    with pytest.raises((TypeError, ValueError)):
        tensor(np.zeros(2, [("a", "f4")]))
    for thing in ([1.0, 2.0], 3.0, None, "text"):
        with pytest.raises(TypeError, match="not an array"):
            tensor(thing)


def test_torch_shares_memory() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.bfloat16, torch.float8_e4m3fn):
        array = torch.zeros((3, 5), dtype=dtype)
        assert tensor(array).data_ptr() == array.data_ptr()
    with pytest.raises(ValueError, match="cannot be shared"):
        tensor(torch.zeros(2, device="meta"))
