"""Arrays of any library as tensors that kernels take, sharing memory: DLPack, and a way round what numpy leaves out."""

from __future__ import annotations

import ctypes
import sys
from functools import cache, lru_cache
from math import prod
from typing import Any

import numpy as np
import tvm_ffi


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("index", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


ON_CPU = 1  # kDLCPU
CPU = _Device(ON_CPU, 0)
_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _ManagedTensor(ctypes.Structure):
    """``DLManagedTensor`` of DLPack's header."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))


class Raw(ctypes.c_void_p):
    """A tensor for one call, by the address of DLPack's structure: cheaper to make than one that others may keep."""

    view: _Tensor


_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)

# What an exported tensor points to must live until its consumer calls the deleter; by address of the structure.
_exported: dict[int, tuple[Any, ...]] = {}


@_Deleter
def _release(address: int) -> None:
    _exported.pop(address, None)


# Types of tensors that tvm-ffi takes as they are; torch's are added when the first of them is seen.
DIRECT: set[type] = {tvm_ffi.Tensor}
# Integers of as many bytes: numpy exports them, and the array's own type it does not.
_SAME_SIZE: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def learn(array: Any) -> None:
    """Have torch's tensors passed on as they are; subclasses may be more, or less, than memory."""
    torch = sys.modules.get("torch")
    if torch is not None and type(array) in (torch.Tensor, torch.nn.Parameter):
        DIRECT.add(type(array))


def template(shape: tuple[int, ...], dtype: str) -> bytes:
    """DLPack's structure of C-contiguous arrays in CPU memory, for ``raw``."""
    return bytes(_Tensor(None, CPU, len(shape), _data_type(dtype), _extents(shape), None, 0))


def raw(array: np.ndarray, made: bytes) -> tuple[Raw, int]:
    """An array as an argument of one call, and where its memory starts.

    Args:
        array: C-contiguous, of the template's shape and dtype; it must be kept until the call is over.
        made: by ``template``.
    """
    size = _SAME_SIZE.get(array.itemsize)
    if size is None or not array.flags.writeable:
        start = array.ctypes.data
    else:  # a third of the time
        start = tvm_ffi.from_dlpack(array.view(size)).data_ptr()
    view = _Tensor.from_buffer_copy(made)
    view.data = start
    passed = Raw(ctypes.addressof(view))
    passed.view = view
    return passed, start


def tensor(array: Any, dtype: str | None = None) -> tvm_ffi.Tensor:
    """A tensor over the memory of an array: numpy, or anything with ``__dlpack__`` (torch, jax, cupy, ...).

    numpy's own export knows neither bfloat16 nor float8 (``ml_dtypes``) and refuses what is read-only, such as
    memory-mapped weights; those are exported here.

    Args:
        array: the array.
        dtype: what an array of numpy holds where numpy cannot say, as bits in an unsigned integer of the same size.

    Raises:
        TypeError: not an array, or of a type that kernels do not have.
        ValueError: the array cannot be shared as it lies: a torch tensor on the meta device, say.
    """
    if isinstance(array, np.ndarray):
        name = array.dtype.name if dtype is None else dtype
        if name != array.dtype.name or array.dtype.isbuiltin != 1 or not array.flags.writeable:
            return _from_numpy(array, name)
    if not hasattr(array, "__dlpack__"):
        raise TypeError(f"a {type(array).__name__} is not an array: pass one of numpy, torch or another with DLPack")
    try:
        return tvm_ffi.from_dlpack(array)
    except (BufferError, RuntimeError) as error:
        raise ValueError(f"the array cannot be shared with a kernel: {str(error).splitlines()[0]}") from None


def _from_numpy(array: np.ndarray, dtype: str) -> tvm_ffi.Tensor:
    if not array.dtype.isnative:
        raise ValueError("the array is not in this machine's byte order")
    if not array.flags.c_contiguous:
        raise ValueError("the array is not C-contiguous; numpy.ascontiguousarray makes a copy that is")
    return _export(array.ctypes.data, _extents(array.shape), _data_type(dtype), array)


def _export(start: int, shape: ctypes.Array[ctypes.c_int64], dtype: _DataType, owner: Any) -> tvm_ffi.Tensor:
    """A tensor over memory that lives as long as its owner, which is kept until the tensor is gone."""
    managed = _ManagedTensor(_Tensor(start, CPU, len(shape), dtype, shape, None, 0), None, _release)
    address = ctypes.addressof(managed)
    _exported[address] = (managed, shape, owner)
    return tvm_ffi.from_dlpack(_capsule(address, b"dltensor", None))


def rows_of(array: tvm_ffi.Tensor, first: int, end: int) -> tvm_ffi.Tensor:
    """Consecutive rows of a C-contiguous tensor, sharing its memory.

    Raises:
        ValueError: it is not C-contiguous, or has no such rows.
    """
    shape = tuple(array.shape)
    if not array.is_contiguous() or not shape or not 0 <= first <= end <= shape[0]:
        raise ValueError(f"rows {first} to {end} of a tensor {list(shape)} cannot be taken")
    start = array.data_ptr() + first * (nbytes(array) // max(1, shape[0]))
    dtype = _DataType(array.dtype.type_code, array.dtype.bits, array.dtype.lanes)
    return _export(start, _extents((end - first, *shape[1:])), dtype, array)


def nbytes(array: tvm_ffi.Tensor) -> int:
    """Bytes that a tensor has."""
    return prod(array.shape) * -(-array.dtype.bits * array.dtype.lanes // 8)


@cache
def _data_type(dtype: str) -> _DataType:
    try:
        kind = tvm_ffi.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"an array of {dtype} has no counterpart in kernels") from None
    return _DataType(kind.type_code, kind.bits, kind.lanes)


@lru_cache(4096)
def _extents(shape: tuple[int, ...]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(shape))(*shape)
