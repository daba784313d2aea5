"""Calls by operator and arrays: which kernel is taken, what a miss does, many threads at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from headstart_runtime import misses
from headstart_runtime.bundle import Bundle
from headstart_runtime.call import MissError, MissWarning
from headstart_runtime.dispatch import use
from headstart_runtime.errors import InputError
from headstart_runtime.family import Family
from headstart_runtime.weights import Weights
from schedules.operators.linear import Linear
from schedules.operators.rmsnorm import RmsNorm

N, K = 128, 256  # o_proj of the tiny decoder
BF16 = ml_dtypes.bfloat16


def arrays(m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and the weights of ``o_proj``."""
    x, w = Linear(m, N, K, "bfloat16", "bfloat16").inputs(np.random.default_rng(seed))
    return x, w


def product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return (x.astype(np.float32) @ w.astype(np.float32).T).astype(BF16)


def close(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.allclose(found.astype(np.float32), expected.astype(np.float32), rtol=2e-2, atol=2e-2))


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A file of misses that is not there yet."""
    return tmp_path / "misses.json"


def never(*_: Any) -> Any:
    raise AssertionError("the fallback was called")


@pytest.mark.parametrize("name", ["linear", "o_proj"])
@pytest.mark.parametrize("m", [1, 6])
def test_arrays_choose_the_kernel(bf16: Bundle, name: str, m: int) -> None:
    x, w = arrays(m)
    kernels = use(bf16)
    for weights in (w, Weights(w)):
        found = kernels.apply(name, (x, weights), never)
        assert found.shape == (m, N) and close(found, product(x, w))
    assert not kernels.misses.counts


def test_bundles_by_path_and_the_first_that_has_it(bf16: Bundle, fp8: Bundle) -> None:
    kernels = use(fp8, bf16.path)
    x, w = arrays(1)
    assert close(kernels.apply("linear", (x, w), never), product(x, w))
    assert "miss='fallback'" in repr(kernels)


def test_a_miss_falls_back_and_is_counted(bf16: Bundle, there: Path) -> None:
    kernels, (x, w) = use(bf16), arrays(5)
    for weights in (w, Weights(w), Weights(w)):
        assert close(kernels.apply("o_proj", (x, weights), product), product(x, w))
    ((miss, count),) = kernels.misses.counts.items()
    assert count == 3
    assert (miss.operator, miss.params["n"], miss.params["k"]) == ("linear", N, K)
    assert miss.inputs == (("bfloat16", (5, K)), ("bfloat16", (N, K)))
    assert miss.target == bf16.manifest.target.fingerprint
    kernels.write_misses(there)
    kernels.write_misses(there)
    assert misses.read(there).counts == {miss: 3}


def test_what_no_bundle_knows_falls_back_and_is_nobodys_task(bf16: Bundle) -> None:
    kernels, (x, w) = use(bf16), arrays(1)
    assert kernels.apply("my_secret_layer", (x, w), lambda x, w: 7) == 7
    assert not kernels.misses.counts


def test_policies(bf16: Bundle) -> None:
    x, w = arrays(5)
    told = (
        r"no kernel for o_proj\(bfloat16\[5, 256\], bfloat16\[128, 256\]\); "
        r"the bundle has 1x128x256 bf16, 6x128x256 bf16"
    )
    with pytest.raises(MissError, match=told):
        use(bf16, miss="raise").apply("o_proj", (x, w), product)
    with pytest.raises(MissError, match=told):
        use(bf16).apply("o_proj", (x, w))
    kernels = use(bf16, miss="warn")
    with pytest.warns(MissWarning, match=told) as caught:
        kernels.apply("o_proj", (x, w), product)
        kernels.apply("o_proj", (x, w), product)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use(bf16).apply("o_proj", (x, w), product)
    with pytest.raises(InputError, match="miss is 'ignore', must be fallback, warn or raise"):
        use(bf16, miss="ignore")
    with pytest.raises(InputError, match="no bundle"):
        use()


def test_parameters_that_shapes_do_not_say(bf16: Bundle) -> None:
    x, gain = RmsNorm(1, 128).inputs(np.random.default_rng(0))
    kernels = use(bf16)
    expected = RmsNorm(1, 128).reference([x, gain])[0]
    assert close(kernels.apply("rmsnorm", (x, gain), never), expected)
    assert close(kernels.apply("rmsnorm", (x, gain), never, eps=1e-6), expected)
    assert kernels.apply("rmsnorm", (x, gain), lambda *_: "mine", eps=1e-5) == "mine"
    with pytest.raises(InputError, match=r"rmsnorm has no parameter 'epsilon'; it has .*eps"):
        kernels.apply("rmsnorm", (x, gain), never, epsilon=1e-6)
    assert kernels.call("rmsnorm", eps=1e-6) is kernels.call("rmsnorm", eps=1e-6)


def test_kernels_that_differ_in_a_parameter_only(bf16: Bundle, fp8: Bundle) -> None:
    """The activation of a bfloat16 model and that of an fp8 model read the same array."""
    kernels, x = use(bf16, fp8), np.ones((1, 512), BF16)
    with pytest.raises(InputError, match=r"2 kernels take these arrays for swiglu; say which \(quantize: .*True"):
        kernels.apply("swiglu", (x,), never)
    assert kernels.apply("swiglu", (x,), never, quantize=False).shape == (1, 256)
    codes, scales = kernels.apply("swiglu", (x,), never, quantize=True)
    assert (codes.shape, scales.shape) == ((1, 256), (1, 2))


def test_decorator(bf16: Bundle) -> None:
    @use(bf16).replaces("o_proj")
    def project(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Project."""
        assert len(x) == 5
        return product(x, w)

    for m in (1, 5, 6):
        x, w = arrays(m)
        assert close(project(x, w), product(x, w))
    assert (project.__name__, project.__doc__) == ("project", "Project.")


def test_not_arrays(bf16: Bundle) -> None:
    with pytest.raises(TypeError, match="linear: takes arrays, not list, ndarray"):
        use(bf16).apply("linear", ([1.0], arrays(1)[1]), never)


def test_weights_are_laid_out_once_for_each_layout(bf16: Bundle) -> None:
    w = arrays(1)[1]
    kernels, weights = use(bf16), Weights(w)
    one, six = kernels.call("o_proj").kernels_of(weights)
    assert one.layout is not None and six.layout is not None and one.layout.id != six.layout.id
    first = weights.prepare(one)
    assert weights.prepare(one) is first and weights.nbytes == sum(a.nbytes for a in one.layout.arguments)
    again = bf16.__class__(bf16.path, bf16.digest, bf16.manifest, bf16.library)[_workload(bf16, 1)]
    assert again is not one and weights.prepare(again).kernel is again  # type: ignore[union-attr]
    assert [t.data_ptr() for t in weights.prepare(again).kept] == [t.data_ptr() for t in first.kept]
    weights.prepare(six)
    assert weights.nbytes == sum(a.nbytes for k in (one, six) for a in k.layout.arguments)  # type: ignore[union-attr]


def _workload(bundle: Bundle, m: int) -> str:
    return next(e.workload for e in bundle.manifest.kernels if "o_proj" in e.names and e.params["m"] == m)


def test_released_weights(bf16: Bundle) -> None:
    (x, w), kernels = arrays(1), use(bf16)
    weights = Weights(w)
    for kernel in kernels.call("linear").kernels_of(weights):
        weights.prepare(kernel)
    weights.release()
    assert close(kernels.apply("linear", (x, weights), never), product(x, w))
    with pytest.raises(MissError, match="the weights as they were have been released"):
        kernels.apply("linear", (arrays(5)[0], weights), product)


def test_families_take_any_rows(any_rows: Bundle) -> None:
    """Also those that have a kernel of their own, so that weights are laid out for all of them at once."""
    kernels, w = use(any_rows), arrays(1)[1]
    weights, (x, gain) = Weights(w), RmsNorm(9, 128).inputs(np.random.default_rng(0))
    (family,) = kernels.call("o_proj").kernels_of(weights)
    assert isinstance(family, Family)
    for m in range(1, 10):
        rows = arrays(m, m)[0]
        for given in (w, weights):
            assert close(kernels.apply("o_proj", (rows, given), never), product(rows, w))
        expected = RmsNorm(m, 128).reference([x[:m], gain])[0]
        assert close(kernels.apply("rmsnorm", (x[:m].copy(), gain), never, eps=1e-6), expected)
    assert list(weights._prepared) == [family] and 0 < weights.nbytes < 4 * w.nbytes
    with pytest.raises(MissError):
        kernels.apply("o_proj", (x, weights))
    with pytest.raises(MissError):
        kernels.apply("o_proj", (arrays(1)[0][:0], weights))


def test_weights_in_the_place_of_something_else(bf16: Bundle, fp8: Bundle) -> None:
    x, gain = RmsNorm(1, 128).inputs(np.random.default_rng(0))
    with pytest.raises(TypeError, match="rmsnorm 1x128 bf16: Weights must be all of its weights together: it has none"):
        use(bf16).apply("rmsnorm", (x, Weights(gain)), never)
    with pytest.raises(TypeError, match="at least one array"):
        Weights()


def test_many_threads(bf16: Bundle) -> None:
    """The same and different kernels at once, weights laid out by whoever comes first; every result is right."""
    kernels, rounds, threads = use(bf16), 40, 8
    given = [(arrays(m, m)[0], arrays(m, m)[1]) for m in (1, 5, 6)]
    kept = [Weights(w) for _, w in given]
    right = [product(x, w) for x, w in given]
    norm = RmsNorm(6, 128).inputs(np.random.default_rng(0))
    normed = RmsNorm(6, 128).reference(norm)[0]
    start = threading.Barrier(threads)

    def work(number: int) -> int:
        start.wait()
        wrong = 0
        for turn in range(rounds):
            at = (number + turn) % len(given)
            x, weights = given[at][0], kept[at] if turn % 4 else given[at][1]
            wrong += not close(kernels.apply(("linear", "o_proj")[turn % 2], (x, weights), product), right[at])
            wrong += not close(kernels.apply("rmsnorm", norm, never), normed)
        return wrong

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(work, range(threads))) == 0
    wanted = sum((number + turn) % len(given) == 1 for number in range(threads) for turn in range(rounds))
    assert sum(kernels.misses.counts.values()) == wanted


def test_misses_of_many_threads_and_processes(bf16: Bundle, there: Path) -> None:
    """Written by two processes at their ends, each with threads: nothing is lost."""
    code = (
        "import sys, threading, numpy as np\n"
        "from headstart_runtime.dispatch import use\n"
        "kernels = use(sys.argv[1])\n"
        "kernels.write_misses(sys.argv[2], at_exit=True)\n"
        "x, w = (np.zeros(shape, np.float32) for shape in ((5, 256), (128, 256)))\n"
        "def work():\n"
        "    for _ in range(25): kernels.apply('linear', (x, w), lambda *_: None)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )
    ran = [subprocess.Popen([sys.executable, "-c", code, str(bf16.path), str(there)]) for _ in range(2)]
    assert [process.wait() for process in ran] == [0, 0]
    assert list(misses.read(there).counts.values()) == [200]


def test_misses_that_cannot_be_written(bf16: Bundle, there: Path) -> None:
    there.write_text("somebody's shopping list")
    with pytest.raises(InputError, match=r"misses\.json: is not JSON"):
        use(bf16).write_misses(there)
    assert there.read_text() == "somebody's shopping list"


def test_shapes_without_end_are_not_all_remembered(bf16: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart_runtime.call.MOST_SHAPES", 3)
    kernels = use(bf16)
    call, w = kernels.call("linear"), arrays(1)[1]
    for m in range(10, 30):
        assert call((np.zeros((m, K), BF16), w), lambda x, w: len(x)) == m
    assert len(call._found) == 3 and sum(kernels.misses.counts.values()) == 20


def test_numpy_without_ml_dtypes(bf16: Bundle) -> None:
    """Then bfloat16 is two bytes that numpy takes for an unsigned integer, in calls by arrays too."""
    code = (
        "import sys\n"
        "sys.modules['ml_dtypes'] = None\n"
        "import numpy as np\n"
        "from headstart_runtime.dispatch import use\n"
        "from headstart_runtime.weights import Weights\n"
        "one = np.uint16(0x3f80)\n"
        "x, w = (np.full(shape, one) for shape in ((1, 256), (128, 256)))\n"
        "kernels = use(sys.argv[1], miss='raise')\n"
        "found = [kernels.apply('linear', (x, weights)) for weights in (w, Weights(w))]\n"
        "assert all((y == 0x4380).all() and y.shape == (1, 128) for y in found), found\n"
    )
    subprocess.run([sys.executable, "-c", code, str(bf16.path)], check=True)
