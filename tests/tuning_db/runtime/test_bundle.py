"""Bundles before any of their code runs: every changed byte and every odd file is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headstart_runtime import bundle
from headstart_runtime.bundle import Bundle
from headstart_runtime.digests import write_sums
from headstart_runtime.errors import InputError
from tests.tuning_db.runtime.sealed import KERNEL, MANIFEST, seal
from tests.tuning_db.runtime.speaking import LOADED, speaking
from tuning_db.place import _exchange

FILES = ("SHA256SUMS", "kernels.so", "manifest.json")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its library makes a file where it is loaded."""
    folder = tmp_path_factory.mktemp("sealed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOADED, str(folder / "loaded"))
        yield seal(folder / "tiny.bundle", library=speaking(folder))


def was_loaded(sealed: Path) -> bool:
    return (sealed.parent / "loaded").exists()


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "copy"))


def test_whole(sealed: Path) -> None:
    manifest, digest = bundle.verify(sealed)
    assert manifest == MANIFEST
    assert len(digest) == 64
    assert bundle.is_bundle(sealed)


def test_that_it_was_loaded_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOADED, str(tmp_path / "loaded"))
    with pytest.raises(InputError, match="has no function headstart_pool"):
        bundle.load(seal(tmp_path / "b", library=speaking(tmp_path)))
    assert (tmp_path / "loaded").exists()


def test_sums_are_those_of_sha256sum(sealed: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=sealed, check=True, capture_output=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_changed_byte_is_refused(sealed: Path, data: st.DataObject) -> None:
    path = sealed / data.draw(st.sampled_from(FILES))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    after = bytearray(before)
    after[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(after)
    try:
        with pytest.raises(InputError) as refused:
            bundle.load(sealed)
    finally:
        path.write_bytes(before)
    assert not was_loaded(sealed)
    # A changed list of digests may put the blame on a file that it lists; either way a file is named.
    assert any(name in str(refused.value) for name in FILES)
    assert path.name == "SHA256SUMS" or path.name in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_cut_or_longer_file_is_refused(sealed: Path, data: st.DataObject) -> None:
    path = sealed / data.draw(st.sampled_from(FILES))
    before = path.read_bytes()
    length = data.draw(st.integers(0, len(before) - 1))
    path.write_bytes(data.draw(st.sampled_from([before[:length], before + before[:length] + b"x"])))
    try:
        with pytest.raises(InputError):
            bundle.load(sealed)
    finally:
        path.write_bytes(before)
    assert not was_loaded(sealed)


@pytest.mark.parametrize("name", FILES)
def test_missing_file(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(InputError, match=name):
        bundle.verify(copy)


@pytest.mark.parametrize("name", FILES)
def test_symbolic_link(copy: Path, sealed: Path, name: str) -> None:
    (copy / name).unlink()
    (copy / name).symlink_to(sealed / name)
    with pytest.raises(InputError, match=f"{name}: it is a symbolic link"):
        bundle.verify(copy)


def test_fifo_does_not_hang(copy: Path) -> None:
    (copy / "kernels.so").unlink()
    os.mkfifo(copy / "kernels.so")
    with pytest.raises(InputError, match="not a plain file"):
        bundle.verify(copy)


def test_unlisted_file(copy: Path) -> None:
    (copy / "extra.so").write_bytes(b"")
    with pytest.raises(InputError, match=r"extra\.so is not listed"):
        bundle.verify(copy)


@pytest.mark.parametrize("name", ["../kernels.so", "/etc/passwd", "a/b", "..", ".hidden", "SHA256SUMS", "a b", "a\tb"])
def test_names_stay_inside(copy: Path, name: str) -> None:
    with (copy / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(InputError, match="line 3"):
        bundle.verify(copy)


@pytest.mark.parametrize("library", ["../kernels.so", "/lib/libc.so.6", "sub/kernels.so", "..", "", "kernels.so\n"])
def test_library_stays_inside(tmp_path: Path, library: str) -> None:
    text = MANIFEST.dumps().replace('"kernels.so"', f'"{library}"'.replace("\n", "\\n"))
    with pytest.raises(InputError, match="library"):
        bundle.verify(seal(tmp_path / "b", text))


def test_another_listed_file(tmp_path: Path) -> None:
    folder = seal(tmp_path / "b")
    (folder / "second.so").write_bytes(b"x")
    write_sums(folder)
    with pytest.raises(InputError, match="nothing else"):
        bundle.verify(folder)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a directory"):
        bundle.verify(tmp_path / "absent")
    with pytest.raises(InputError, match="SHA256SUMS"):
        bundle.verify(tmp_path)
    assert not bundle.is_bundle(tmp_path)


def test_library_that_is_no_library(tmp_path: Path) -> None:
    """Right digests, but not a shared library: an error, and not the end of the process."""
    code = f"from headstart_runtime import bundle; bundle.load({str(seal(tmp_path / 'b'))!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "HeadstartError: cannot load" in done.stderr


def test_kernels_by_name() -> None:
    other = replace(KERNEL, workload="w4567", function="w4567", names=("up",), label="5x3x4 fp32")
    whole = bundle.Bundle(Path("x"), "0" * 64, replace(MANIFEST, kernels=(KERNEL, other)), None)  # type: ignore[arg-type]
    assert list(whole) == ["w0123", "w4567"]
    with pytest.raises(KeyError, match="2 kernels are called 'up': w0123"):
        whole["up"]
    with pytest.raises(KeyError, match=r"no kernel 'left'.*down, up"):
        whole["left"]


def test_a_bundle_that_is_replaced_meanwhile(bf16: Bundle, fp8: Bundle, tmp_path: Path) -> None:
    """Whoever loads gets the old one or the new one: no mixture, and no library that was loaded from there before."""
    place, other = (Path(shutil.copytree(b.path, tmp_path / name)) for b, name in ((bf16, "place"), (fp8, "other")))
    manifests = {b.digest: b.manifest for b in (bf16, fp8)}
    done, seen = threading.Event(), set()

    def swap() -> None:
        while not done.is_set():
            _exchange(other, place)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(40):
            loaded = bundle.load(place, pool="own")
            assert loaded.manifest == manifests[loaded.digest]
            seen.add(loaded.digest)
    finally:
        done.set()
        swapping.join()
    assert len(seen) == 2
