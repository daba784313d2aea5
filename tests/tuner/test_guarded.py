"""Writing beside an array is found out; beyond that, and into an input, it ends the process."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from headstart_runtime.memory import CACHE_LINE
from tuner.guarded import GUARD, guard, guarded_empty

ARRAYS = [
    np.arange(15, dtype=np.float32).reshape(3, 5),
    np.arange(7, dtype=ml_dtypes.bfloat16),
    np.zeros((0, 4), np.float32),
    np.array(3.0, np.float32),
    np.arange(16384, dtype=np.int32)[::2],
    np.ones((3, 1 << 20), np.float32),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
@pytest.mark.parametrize("writable", [False, True])
def test_the_array_is_the_same_elsewhere(array, writable):
    guarded = guarded_empty(array.shape, array.dtype) if writable else guard(array)
    if writable:
        guarded.array[...] = array
    assert guarded.array.dtype == array.dtype and guarded.array.shape == array.shape
    np.testing.assert_array_equal(guarded.array, array)
    assert guarded.array.ctypes.data % CACHE_LINE == 0
    assert guarded.array.flags.writeable is writable
    assert guarded.harm() is None


def poke(guarded, offset):
    """Write a byte so far from the start of the array."""
    ctypes.memset(guarded.array.ctypes.data + offset, 0, 1)


@pytest.mark.parametrize(
    "offset, harm", [(-1, "before its start"), (-CACHE_LINE, "before its start"), (60, "behind its end")]
)
def test_writing_beside_an_array_is_seen_and_mended(offset, harm):
    guarded = guarded_empty((3, 5), np.float32)
    poke(guarded, 59)  # its last byte
    assert guarded.harm() is None
    poke(guarded, offset)
    assert guarded.harm() == f"written {harm}"
    guarded.mend()
    assert guarded.harm() is None


AWAY = {
    "start of an input": (False, 0),
    "end of an input": (False, 59),
    "behind": (True, 64),
    "far behind": (True, GUARD),
    "before": (True, -8192),
    "far before": (True, -GUARD),
}
# One process that starts another for each place, so that what they need is loaded once.
POKING = """
import ctypes, json, os, sys
import numpy as np
from tuner.guarded import guarded_empty

ends = {}
for name, (writable, offset) in json.loads(sys.argv[1]).items():
    child = os.fork()
    if not child:
        made = guarded_empty((3, 5), np.float32)
        writable or made.seal()
        os.write(1, f"{name}\\n".encode())
        ctypes.memset(made.array.ctypes.data + offset, 0, 1)
        os._exit(0)
    ends[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(ends))
"""


def test_what_lies_further_away_cannot_be_written():
    run = subprocess.run([sys.executable, "-c", POKING, json.dumps(AWAY)], capture_output=True, text=True, check=False)
    *made, ends = run.stdout.splitlines()
    assert made == list(AWAY)
    assert json.loads(ends) == dict.fromkeys(AWAY, -signal.SIGSEGV)
