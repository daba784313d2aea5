"""The little of CUDA's driver that running a kernel takes, by ctypes: nothing has to be installed but the driver."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

from schedules.cuda.launch import MAPS, Box, Launch
from targets.errors import HeadstartError

DYNAMIC_SHARED_SIZE = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
# CUtensorMap: its size and alignment, and how it is filled (CU_TENSOR_MAP_...).
MAP, BYTES, SWIZZLE_128, PROMOTION_256 = 128, 0, 3, 3
# A block gets so many bytes of shared memory without asking.
SHARED_UNASKED = 48 * 1024


class Driver:
    """The first GPU of this machine, in the context that other libraries of the process use too.

    Raises:
        HeadstartError: there is no driver or no GPU.
    """

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            raise HeadstartError("there is no CUDA driver on this machine (libcuda.so.1)") from None
        self("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self("cuDeviceGet", ctypes.byref(device), 0)
        self("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self("cuCtxSetCurrent", context)
        name = ctypes.create_string_buffer(100)
        self("cuDeviceGetName", name, len(name), device)
        self.name = name.value.decode()

    def __call__(self, function: str, *arguments: Any) -> None:
        """Call a function of the driver.

        Raises:
            HeadstartError: it failed, and this is what the driver says of it.
        """
        code = getattr(self.library, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(code, ctypes.byref(text))
            raise HeadstartError(f"{function}: {(text.value or f'error {code}'.encode()).decode()}")

    def load(self, code: bytes, launches: Sequence[Launch]) -> Program:
        """The kernels of a cubin."""
        return Program(self, code, launches)


class Program:
    """The kernels of a cubin, ready to run."""

    def __init__(self, driver: Driver, code: bytes, launches: Sequence[Launch]) -> None:
        self.driver, self.launches = driver, launches
        module = ctypes.c_void_p()
        driver("cuModuleLoadData", ctypes.byref(module), code)
        self.module, self.functions = module, []
        for launch in launches:
            function = ctypes.c_void_p()
            driver("cuModuleGetFunction", ctypes.byref(function), module, launch.name.encode())
            if launch.shared > SHARED_UNASKED:
                driver("cuFuncSetAttribute", function, DYNAMIC_SHARED_SIZE, launch.shared)
            self.functions.append(function)
        self.described: tuple[int, ...] = ()

    def start(self, addresses: Mapping[str, int], stream: int = 0) -> None:
        """Start the kernels on arrays, by name where they are on the GPU, after the work that is in the stream."""
        boxes = [box for launch in self.launches for box in launch.boxes]
        described = tuple(addresses[box.argument] for box in boxes)
        if described != self.described:
            self._describe(boxes, described)
            self.described = described
        for launch, function in zip(self.launches, self.functions, strict=True):
            given = [ctypes.c_uint64(addresses[name]) for name in launch.arguments]
            values = (ctypes.c_void_p * len(given))(*(ctypes.addressof(value) for value in given))
            sizes = (*launch.grid, *launch.block, launch.shared)
            self.driver("cuLaunchKernel", function, *sizes, ctypes.c_void_p(stream), values, None)

    def _describe(self, boxes: Sequence[Box], addresses: Sequence[int]) -> None:
        """Tell the kernels where the matrices are that the tensor memory unit copies."""
        text = b"".join(self._map(box, address) for box, address in zip(boxes, addresses, strict=True))
        place, size = ctypes.c_uint64(), ctypes.c_size_t()
        self.driver("cuModuleGetGlobal_v2", ctypes.byref(place), ctypes.byref(size), self.module, MAPS.encode())
        self.driver("cuMemcpyHtoD_v2", place, text, ctypes.c_size_t(len(text)))

    def _map(self, box: Box, address: int) -> bytes:
        """What the driver calls a tensor map: of bytes, in two dimensions."""
        space = ctypes.create_string_buffer(2 * MAP)
        start = -ctypes.addressof(space) % MAP
        sizes = (ctypes.c_uint64 * 2)(box.size, box.rows)
        stride, ones = (ctypes.c_uint64 * 1)(box.size), (ctypes.c_uint32 * 2)(1, 1)
        extent = (ctypes.c_uint32 * 2)(128, box.height)
        self.driver(
            "cuTensorMapEncodeTiled", ctypes.c_void_p(ctypes.addressof(space) + start), BYTES, 2,
            ctypes.c_void_p(address), sizes, stride, extent, ones, 0, SWIZZLE_128, PROMOTION_256, 0,
        )  # fmt: skip
        return space.raw[start : start + MAP]

    def __del__(self) -> None:
        if getattr(self, "module", None):
            self.driver.library.cuModuleUnload(self.module)
