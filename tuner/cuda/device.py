"""A GPU that this process runs kernels on: memory for arrays of the host, and times by the GPU's own clock."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable

import numpy as np

from targets.errors import HeadstartError
from tuner.cuda.driver import Driver

# Bytes before and behind an array that nobody may write to, and what they hold. The driver aligns memory to as many.
MARGIN, MARK = 256, 0xA5
# More than the second-level cache holds: what was written before a cold call is not there any more.
FLUSH = 256 << 20
# Calls in a row that are recorded as one graph, so that the CPU has no part in their time.
IN_A_ROW = 20
# Hopper's tensor cores seem to keep 13 bits below the largest summand of a step where they add products of e4m3, so one
# sum in ten millions that comes out near zero is further off than float32 would be; cuBLAS gives the same number there.
E4M3, CODES = ("float8_e4m3fn",), 2.0
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

Work = Callable[[], None]


class Device:
    """One of this machine's GPUs.

    All work goes into one stream, which waits for copies from the host: these go into the default stream.

    Raises:
        HeadstartError: there is no such GPU, or it cannot be used.
    """

    def __init__(self, ordinal: int) -> None:
        self.driver = Driver()
        self.driver.use(ordinal)
        self._stream, self._start, self._end = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self.driver("cuStreamCreate", ctypes.byref(self._stream), 0)
        for event in (self._start, self._end):
            self.driver("cuEventCreate", ctypes.byref(event), 0)
        self._buffers: dict[int, Buffer] = {}
        self._flush: int | None = None

    @property
    def stream(self) -> int:
        """Where work has to go."""
        return self._stream.value or 0

    def buffer(self, array: np.ndarray) -> Buffer:
        """The memory that stands for an array of the host, as long as that is there."""
        key = id(array)
        if key not in self._buffers:
            self._buffers[key] = Buffer(self.driver, array)
            # At the end of the process the driver frees everything by itself.
            weakref.finalize(array, self._drop, key).atexit = False
        return self._buffers[key]

    def _drop(self, key: int) -> None:
        self._buffers.pop(key).free()

    def timed(self, work: Work) -> float:
        """Seconds of work, between two events."""
        self.driver("cuEventRecord", self._start, self._stream)
        work()
        self.driver("cuEventRecord", self._end, self._stream)
        self.driver("cuEventSynchronize", self._end)
        milliseconds = ctypes.c_float()
        self.driver("cuEventElapsedTime", ctypes.byref(milliseconds), self._start, self._end)
        return milliseconds.value / 1000

    def cold(self, work: Work) -> float:
        """Seconds of work that finds nothing of its own in the caches; it is in the queue before these are clean."""
        if self._flush is None:
            self._flush = allocate(self.driver, FLUSH)
        self.driver("cuMemsetD8Async", ctypes.c_uint64(self._flush), 0, ctypes.c_size_t(FLUSH), self._stream)
        return self.timed(work)

    def warm(self, work: Work, calls: int) -> float:
        """Seconds of one of so many calls in a row, or a few more; it was done once before."""
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self.driver("cuStreamBeginCapture_v2", self._stream, THREAD_LOCAL)
        row = min(calls, IN_A_ROW)
        for _ in range(row):
            work()
        self.driver("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        self.driver("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        times = -(-calls // row)

        def replay() -> None:
            for _ in range(times):
                self.driver("cuGraphLaunch", ready, self._stream)

        # The first launch of a graph brings it to the GPU.
        self.driver("cuGraphLaunch", ready, self._stream)
        seconds = self.timed(replay) / (times * row)
        self.driver("cuGraphExecDestroy", ready)
        self.driver("cuGraphDestroy", graph)
        return seconds


class Buffer:
    """Memory of a GPU for an array of the host, between two margins."""

    def __init__(self, driver: Driver, array: np.ndarray) -> None:
        self.driver, self.nbytes, self.held = driver, array.nbytes, False
        self._memory = allocate(driver, array.nbytes + 2 * MARGIN)
        for margin in self._margins:
            driver("cuMemsetD8_v2", ctypes.c_uint64(margin), MARK, ctypes.c_size_t(MARGIN))

    @property
    def address(self) -> int:
        """Where the array begins."""
        return self._memory + MARGIN

    @property
    def _margins(self) -> tuple[int, int]:
        return self._memory, self.address + self.nbytes

    def upload(self, array: np.ndarray) -> None:
        """Copy the array here; one that nobody may write to is copied once."""
        if not self.held:
            pointer, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(self.nbytes)
            self.driver("cuMemcpyHtoD_v2", ctypes.c_uint64(self.address), pointer, size)
            self.held = not array.flags.writeable

    def download(self, array: np.ndarray) -> None:
        """Copy what is here to the array, which is as large."""
        _download(self.driver, array, self.address)

    def harm(self, array: np.ndarray) -> str | None:
        """What a kernel did here that it may not do to its inputs, None if nothing; the memory is as it was again."""
        found = np.empty(array.nbytes, np.uint8)
        _download(self.driver, found, self.address)
        if np.array_equal(found, array.reshape(-1).view(np.uint8)):
            return None
        self.held = False
        self.upload(array)
        return "overwritten"

    def overrun(self) -> str | None:
        """Whether something was written beside the array; None if nothing was."""
        found = np.empty(MARGIN, np.uint8)
        for margin, where in zip(self._margins, ("before", "behind"), strict=True):
            _download(self.driver, found, margin)
            if (found != MARK).any():
                self.driver("cuMemsetD8_v2", ctypes.c_uint64(margin), MARK, ctypes.c_size_t(MARGIN))
                return f"memory {where} it was written"
        return None

    def free(self) -> None:
        """Give the memory back; nothing happens where the GPU is lost, whose memory goes with the process."""
        self.driver.library.cuMemFree_v2(ctypes.c_uint64(self._memory))


def allocate(driver: Driver, size: int) -> int:
    """The address of new memory.

    Raises:
        HeadstartError: there is not as much.
    """
    address = ctypes.c_uint64()
    driver("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
    if not address.value:
        raise HeadstartError(f"the CUDA driver gave no memory for {size} bytes")
    return address.value


def _download(driver: Driver, array: np.ndarray, address: int) -> None:
    """Copy memory of the GPU to an array; all work on it has ended then."""
    pointer, size = ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes)
    driver("cuMemcpyDtoH_v2", pointer, ctypes.c_uint64(address), size)


def slack(arithmetic: str) -> float:
    """How many times as far from zero as elsewhere a result may be off on a GPU that multiplies such values."""
    return CODES if arithmetic in E4M3 else 1.0
