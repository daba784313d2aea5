"""The little of CUDA's driver that running a kernel takes, by ctypes: nothing has to be installed but the driver."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedules.cuda.launch import MAPS, Box, Launch
from targets.errors import HeadstartError

LIBRARY, KERNEL_MODULE = "libcuda.so.1", Path("/proc/driver/nvidia/version")
OUT_OF_MEMORY, NO_DEVICE = 2, 100  # CUDA_ERROR_...
# CU_DEVICE_ATTRIBUTE_...
MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76
DYNAMIC_SHARED_SIZE = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
# CUtensorMap: its size and alignment, and how it is filled (CU_TENSOR_MAP_...).
MAP, BYTES, SWIZZLE_128, PROMOTION_256 = 128, 0, 3, 3
# A block gets so many bytes of shared memory without asking.
SHARED_UNASKED = 48 * 1024


def version() -> str | None:
    """The kernel driver's version, or the CUDA version that the user's driver supports where /proc has none."""
    with contextlib.suppress(OSError):
        if match := re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", KERNEL_MODULE.read_text()):
            return match.group(1)
    with contextlib.suppress(OSError):
        number = ctypes.c_int()
        if ctypes.CDLL(LIBRARY).cuDriverGetVersion(ctypes.byref(number)) == 0:
            return f"cuda-{number.value // 1000}.{number.value % 1000 // 10}"
    return None


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine, as the driver describes it.

    Attributes:
        ordinal: which of the GPUs that this process may use.
        name: NVIDIA's, such as ``NVIDIA H100 80GB HBM3``.
        capability: compute capability, 90 for 9.0.
        multiprocessors: how many it has; of a part of a GPU (MIG), how many that part has.
    """

    ordinal: int
    name: str
    capability: int
    multiprocessors: int

    def __str__(self) -> str:
        return f"{self.name} (sm_{self.capability}, {self.multiprocessors} multiprocessors)"


class DriverError(HeadstartError):
    """A function of the driver failed; ``code`` is its ``CUresult``."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class NoDriver(HeadstartError):
    """There is no CUDA driver on this machine, or it has no GPU."""


class Driver:
    """CUDA's driver; ``use`` one of its GPUs before anything else.

    Raises:
        NoDriver: there is no driver or no GPU.
        DriverError: the driver cannot be used.
    """

    def __init__(self) -> None:
        try:
            self.library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise NoDriver(f"there is no CUDA driver on this machine ({LIBRARY})") from None
        try:
            self("cuInit", 0)
        except DriverError as error:
            if error.code == NO_DEVICE:
                raise NoDriver("the CUDA driver of this machine shows no GPU") from None
            raise

    def __call__(self, function: str, *arguments: Any) -> None:
        """Call a function of the driver.

        Raises:
            DriverError: it failed, and this is what the driver says of it.
        """
        code = getattr(self.library, function)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(code, ctypes.byref(text))
            raise DriverError(f"{function}: {(text.value or f'error {code}'.encode()).decode()}", code)

    def gpus(self) -> list[Gpu]:
        """The GPUs that this process may use."""
        count = ctypes.c_int()
        self("cuDeviceGetCount", ctypes.byref(count))
        return [self._gpu(ordinal) for ordinal in range(count.value)]

    def _gpu(self, ordinal: int) -> Gpu:
        device, name, number = ctypes.c_int(), ctypes.create_string_buffer(100), ctypes.c_int()
        self("cuDeviceGet", ctypes.byref(device), ordinal)
        self("cuDeviceGetName", name, len(name), device)
        found = []
        for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSORS):
            self("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
            found.append(number.value)
        major, minor, multiprocessors = found
        return Gpu(ordinal, name.value.decode(), 10 * major + minor, multiprocessors)

    def use(self, ordinal: int) -> None:
        """Work on a GPU from now on, in the context that other libraries of the process use too."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self("cuDeviceGet", ctypes.byref(device), ordinal)
        self("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self("cuCtxSetCurrent", context)

    def load(self, code: bytes, launches: Sequence[Launch]) -> Kernels:
        """The kernels of a cubin."""
        return Kernels(self, code, launches)


class Kernels:
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
