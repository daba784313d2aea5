"""The threads of kernels, looked at by kernels in C: a library as a bundle has it, in processes of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tvm_ffi

from headstart_runtime import pool
from headstart_runtime.errors import InputError
from targets import detect
from tuner.link import POOL, link

START = """
import os, sys, threading, warnings
if "openmp" not in sys.argv:
    sys.modules["torch"] = None  # tvm-ffi loads it where it is, which takes seconds
import tvm_ffi
from headstart_runtime import pool
warnings.simplefilter("ignore")  # of Python's, about forks
library = tvm_ffi.load_module(sys.argv[1], keep_module_alive=False)
look, nest, scratch = (library.get_function(name) for name in ("look", "nest", "scratch"))
def parts(microseconds=20000, fails=-1):  # long enough for any worker to take its part
    found = look(microseconds, fails)
    assert found >= 0, "a part ran never or twice"
    return found // 10000, found // 100 % 100, bool(found % 100)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    includes = [f"-I{path}" for path in [POOL, *tvm_ffi.libinfo.include_paths()]]
    source, made = Path(__file__).with_name("probe.c"), folder / "probe.o"
    command = [
        shutil.which("cc") or "gcc",
        "-fPIC",
        "-fvisibility=hidden",
        *includes,
        "-c",
        str(source),
        "-o",
        str(made),
    ]
    subprocess.run(command, check=True)
    link(folder / "kernels.so", [str(made)], 2, detect.host())
    return folder / "kernels.so"


def run(library: Path, code: str, *arguments: str) -> None:
    """Run code in a fresh process that has the library loaded; it must end by itself and well."""
    command = [sys.executable, "-c", START + code, str(library), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_part_once(library: Path) -> None:
    code = """
assert parts() == (2, 2, True)  # without being set up: as many threads as it was linked for
for threads in (1, 3, 2, 8, 64):
    pool.set_up(library, threads, "own")
    found = parts()  # of 64 threads some are late on a machine with few cores, and the caller takes their parts
    assert found == (threads, threads, True) or threads > 2 and found[0] == threads and found[2], found
    for microseconds in (0, 0, 0, 1, 30):
        for _ in range(200):
            assert parts(microseconds)[0] == threads
"""
    run(library, code)


def test_a_kernel_inside_a_kernel_computes_alone(library: Path) -> None:
    run(library, "assert nest() == 202 and parts() == (2, 2, True)")


def test_an_error_of_any_part_is_raised(library: Path) -> None:
    code = """
for fails in (0, 1, 1, 0):
    try:
        parts(20000, fails)
        raise SystemExit("nothing was raised")
    except RuntimeError as error:
        assert str(error) == "this part failed", error
assert parts() == (2, 2, True)
"""
    run(library, code)


def test_threads_of_the_program(library: Path) -> None:
    """One of them has the pool, the others compute alone; all are right, and none waits for another."""
    code = """
found = []
def calls():
    for _ in range(300):
        found.append(parts(50)[0])
threads = [threading.Thread(target=calls) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 1800 and set(found) <= {1, 2}
assert parts() == (2, 2, True)
"""
    run(library, code)


@pytest.mark.parametrize("before", ["nothing", "own", "openmp"])
def test_a_forked_child_has_threads_of_its_own(library: Path, before: str) -> None:
    if before == "openmp":
        pytest.importorskip("torch")
    code = """
if sys.argv[2] != "nothing":
    pool.set_up(library, 2, sys.argv[2])
    assert parts()[:2] == (2, 2)
for _ in range(3):
    child = os.fork()
    if not child:
        right = parts() == (2, 2, True) and nest() == 202
        grandchild = os.fork()
        if not grandchild:
            os._exit(parts() != (2, 2, True))
        os._exit(not right or os.waitpid(grandchild, 0)[1] != 0)
    assert os.waitpid(child, 0)[1] == 0
assert parts()[:2] == (2, 2)
"""
    run(library, code, before)


def test_a_fork_while_another_thread_computes(library: Path) -> None:
    code = """
parts()
busy = threading.Thread(target=parts, args=(300000,))
busy.start()
child = os.fork()
if not child:
    os._exit(parts() != (2, 2, True))
assert os.waitpid(child, 0)[1] == 0
busy.join()
"""
    run(library, code)


def test_two_libraries_share_a_pool(library: Path, tmp_path: Path) -> None:
    other = shutil.copy(library, tmp_path / "other.so")
    code = """
import gc
other = tvm_ffi.load_module(sys.argv[2])
for each, threads in ((library, 2), (other, 3)):
    pool.set_up(each, threads, "own")
threads = lambda: len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0
before = threads()
assert parts() == (2, 2, True)
assert other.get_function("look")(20000, -1) // 10000 == 3
assert threads() in (before + 2, 0)
# The first goes, its pool stays.
del library, look, nest, scratch, each
gc.collect()
assert other.get_function("look")(20000, -1) // 10000 == 3
"""
    run(library, code, str(other))


def test_the_process_ends_whatever_workers_do(library: Path) -> None:
    run(library, "parts()")  # they spin
    run(library, "import time; parts(); time.sleep(0.2)")  # they sleep
    run(library, "threading.Thread(target=parts, args=(400000,)).start(); parts(0); os._exit(0)")  # they compute


@pytest.mark.skipif(sys.platform != "linux", reason="affinities are Linux's")
def test_a_worker_is_not_woken_where_the_caller_computes(library: Path) -> None:
    code = """
import time
mine, before = os.sched_getaffinity(0), set(os.listdir("/proc/self/task"))
parts()
(worker,) = (int(thread) for thread in set(os.listdir("/proc/self/task")) - before)
def woken():
    time.sleep(0.2)  # it sleeps by then
    assert parts() == (2, 2, True)
    return os.sched_getaffinity(worker)
if len(mine) > 1:
    others = woken()
    assert others < mine and len(others) == len(mine) - 1, others
    assert os.sched_getaffinity(0) == mine
# A caller that may run on one CPU only leaves its workers where they are.
before = os.sched_getaffinity(worker)
os.sched_setaffinity(0, {max(mine)})
assert woken() == before
"""
    run(library, code)


def test_threads_of_openmp(library: Path) -> None:
    pytest.importorskip("torch")
    code = """
import torch
pool.set_up(library, 2, "openmp")
torch.ones(1000, 1000) @ torch.ones(1000, 1000)
before = len(os.listdir("/proc/self/task"))
assert parts()[:2] == (2, 2) and nest() == 202
assert len(os.listdir("/proc/self/task")) == before
try:
    parts(20000, 1)
    raise SystemExit("nothing was raised")
except RuntimeError as error:
    assert str(error) == "this part failed"
"""
    run(library, code, "openmp")


def test_scratch_memory(library: Path) -> None:
    code = """
for size in (1, 100, 5000, 64, 3 << 20, 7):
    assert scratch(size) == 1, size
found = []
threads = [threading.Thread(target=lambda: found.append(scratch(100000))) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [1] * 20
try:
    scratch(1 << 62)
    raise SystemExit("nothing was raised")
except MemoryError as error:
    assert "no memory" in str(error)
"""
    run(library, code)


def test_a_tvm_in_the_process_changes_nothing(library: Path) -> None:
    code = """
import tvm
library = tvm_ffi.load_module(sys.argv[2])
assert library.get_function("look")(20000, -1) == 20201
assert library.get_function("nest")() == 202  # TVM's own pool ends the process here
"""
    run(library, code, str(library))


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSTART_THREADS", raising=False)
    assert pool.count(1, None) == 1 and pool.count(1, 7) == 7
    assert pool.count(100000, None) < 100000
    monkeypatch.setenv("HEADSTART_THREADS", "5")
    assert pool.count(1, None) == 5 and pool.count(1, 3) == 3
    for wrong in ("0", "-1", "2.5", "many", "", "513"):
        monkeypatch.setenv("HEADSTART_THREADS", wrong)
        with pytest.raises(InputError, match="from 1 to 512"):
            pool.count(1, None)
