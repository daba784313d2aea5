"""What a client refuses, with the reason, before anything of it is placed: the attacks that TUF was made against."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from targets.digest import canonical_json
from targets.errors import HeadstartError
from tests.tuning_db.deploy.depot import (
    LIBRARY,
    WISH,
    Depot,
    Fault,
    deployment,
    library,
    manifest_of,
    pull,
    puller,
    sha,
)
from tests.tuning_db.selecting import SELECTION, candidate, kernel
from tuning_db.deploy.lock import needed_lock
from tuning_db.published import Address

NEWER = replace(SELECTION, kernels=(kernel(1, candidate("reproduced", 5, 5e-4)), kernel(2)))


def refused(tmp_path: Path, depot: Depot, told: str, **source: Any) -> None:
    """A pull fails with this reason, in one line, and what was there is still there, whole."""
    before = (tmp_path / "headstart.lock").read_bytes() if (tmp_path / "headstart.lock").exists() else None
    with pytest.raises(HeadstartError, match=told) as error:
        pull(tmp_path, depot.url, **source)
    assert "\n" not in str(error.value)
    if before is None:
        assert not (tmp_path / "b").exists()
        assert not (tmp_path / "headstart.lock").exists()
    else:
        assert library(tmp_path) == LIBRARY
        assert (tmp_path / "headstart.lock").read_bytes() == before


def test_a_bundle_that_was_built_there(depot: Depot, tmp_path: Path) -> None:
    """First everything, then nothing but the word that nothing changed."""
    by, said = puller(tmp_path, depot.url)
    with by.plan(deployment(tmp_path, by), WISH) as (plan, _):
        assert (plan.made, plan.offer.stale) == ("prebuilt", ())
    assert len(said) == 1
    assert f"on first use: its root has SHA-256 {sha(depot.files['metadata/1.root.json'])}" in said[0]
    first = pull(tmp_path, depot.url)
    assert (first.changed, library(tmp_path)) == (True, LIBRARY)
    lock = needed_lock(tmp_path / "headstart.lock")
    assert lock == first.lock
    assert lock.selection == SELECTION.chosen("reproduced")
    assert lock.offered == SELECTION.digest
    assert lock.origin.versions == dict.fromkeys(["root", "timestamp", "snapshot", "targets", "champions"], 1)
    depot.asked.clear()
    again = pull(tmp_path, depot.url)
    assert not again.changed
    assert (again.traffic.requests, again.traffic.unchanged) == (2, 1)
    assert [path for path, _ in depot.asked] == ["metadata/2.root.json", "metadata/timestamp.json"]
    assert again.traffic.received < 100  # that there is no second root


def test_what_is_new_is_taken(depot: Depot, tmp_path: Path) -> None:
    pull(tmp_path, depot.url)
    depot.publish(NEWER, b"newer" * 100)
    depot.sign()
    depot.asked.clear()
    assert pull(tmp_path, depot.url).changed
    assert library(tmp_path) == b"newer" * 100
    assert not [path for path, _ in depot.asked if sha(LIBRARY) in path]


def test_a_bundle_without_what_is_chosen_now(depot: Depot, tmp_path: Path) -> None:
    """Where nothing is built here it is taken as it is, and that is said; the lock file says what it is built of."""
    depot.publish(NEWER, None)
    depot.sign()
    by, said = puller(tmp_path, depot.url)
    pulled = by.pull(deployment(tmp_path, by), WISH)
    assert pulled.lock.selection == SELECTION.chosen("reproduced")
    assert any("lacks what is chosen now for op1" in line for line in said)
    claimed = replace(SELECTION, kernels=(kernel(1, candidate("claimed", 9)), kernel(2)))
    depot.publish(claimed, LIBRARY, manifest_of(claimed).dumps().encode())
    depot.publish(NEWER, None)
    depot.sign()
    refused(tmp_path, depot, "trusted less than reproduced")


@pytest.mark.parametrize("role", ["targets", "champions", "snapshot", "timestamp"])
def test_signed_by_somebody_else(depot: Depot, tmp_path: Path, role: str) -> None:
    """Each role's signature counts: whoever has the server's files has not its keys."""
    pull(tmp_path, depot.url)
    depot.intruders[role] = CryptoSigner.generate_ed25519()
    depot.publish(NEWER, b"evil")
    depot.sign()
    refused(tmp_path, depot, "is not signed by the keys that it should be: refused")


def test_back_to_something_older(depot: Depot, tmp_path: Path) -> None:
    """What was the latest once is refused: by who saw a later one, and by who has but a lock file of it."""
    old = dict(depot.files)
    depot.sign()
    pull(tmp_path, depot.url)
    depot.files = old
    refused(tmp_path, depot, "went back to something older than was seen: refused")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "headstart.lock").write_bytes((tmp_path / "headstart.lock").read_bytes())
    with pytest.raises(HeadstartError, match=r"older than the lock file is from: .* is version 1 and was 2: refused"):
        pull(elsewhere, depot.url)
    assert not (elsewhere / "b").exists()


def test_held_back(depot: Depot, tmp_path: Path) -> None:
    """Metadata that is not signed anew may hide what is newer, and is refused once it expired; so is a frozen 304."""
    depot.lifetime = timedelta(seconds=-1)
    depot.sign()
    refused(tmp_path, depot, "has expired .*: refused, since it may hide what is newer")
    depot.lifetime = timedelta(days=1)
    depot.sign()
    pull(tmp_path, depot.url)
    depot.lifetime = timedelta(seconds=-1)
    depot.sign()
    refused(tmp_path, depot, "has expired")


def test_mixed_and_matched(depot: Depot, tmp_path: Path) -> None:
    """Targets of one moment under the snapshot of another."""
    depot.publish(NEWER, b"newer")
    depot.sign()
    depot.files["metadata/2.targets.json"] = depot.files["metadata/1.targets.json"]
    refused(tmp_path, depot, "refused")


def test_another_root(depot: Depot, tmp_path: Path) -> None:
    """A server of another operator under the same address, for who pinned a root, has seen one, or has a lock file."""
    root = depot.files["metadata/1.root.json"]
    pull(tmp_path, depot.url, root=root)
    with Depot() as other:
        other.publish()
        other.sign()
        other.url, port = depot.url, other.port
        with pytest.raises(HeadstartError, match="refused"):
            pull(tmp_path / "new", f"http://127.0.0.1:{port}", root=root)
        depot.files = other.files
        refused(tmp_path, depot, "refused")
        (tmp_path / "locked").mkdir()
        (tmp_path / "locked" / "headstart.lock").write_bytes((tmp_path / "headstart.lock").read_bytes())
        with pytest.raises(HeadstartError, match=r"starts from another root .* than the lock file"):
            pull(tmp_path / "locked", depot.url)


def test_keys_change(depot: Depot, tmp_path: Path) -> None:
    """By the consent of the old ones, however many roots were missed; without it a new root is refused."""
    pull(tmp_path, depot.url)
    for _ in range(3):
        old = depot.signers["root"]
        depot.signers |= {
            role: CryptoSigner.generate_ed25519() for role in ("root", "targets", "snapshot", "timestamp")
        }
        depot.root(old)
    depot.sign()
    assert pull(tmp_path, depot.url).lock.origin.versions == {
        "root": 4,
        "timestamp": 2,
        "snapshot": 2,
        "targets": 2,
        "champions": 2,
    }
    depot.signers["root"] = CryptoSigner.generate_ed25519()
    depot.root()
    refused(tmp_path, depot, "not signed by the keys that it should be: refused")


@pytest.mark.parametrize(
    ("path", "most"),
    [("timestamp", 16_384), (".snapshot", 2_000_000), (".targets", 5_000_000), ("blobs", len(LIBRARY))],
)
def test_more_than_there_should_be(depot: Depot, tmp_path: Path, path: str, most: int) -> None:
    """An answer that goes on and on is left at the length that was signed, or that such metadata may have."""
    depot.faults.append(Fault(path, lambda body: body + b" " * (most + 1 + (1 << 20))))
    refused(tmp_path, depot, "sends more than was signed: refused")


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"", lambda b: bytes([b[0] ^ 1]) + b[1:]])
def test_other_bytes_than_were_signed(depot: Depot, tmp_path: Path, change: Any) -> None:
    """Nothing of them is kept: the next pull begins anew."""
    depot.faults.append(Fault(f"blobs/{sha(LIBRARY)}", change))
    refused(tmp_path, depot, "sends something else than was signed: refused")
    depot.faults.clear()
    pull(tmp_path, depot.url)
    assert library(tmp_path) == LIBRARY


def test_each_part_of_the_metadata(depot: Depot, tmp_path: Path) -> None:
    """A changed byte anywhere in what is signed, or in a signature, is refused."""
    for name in ("metadata/timestamp.json", "metadata/1.snapshot.json", "metadata/1.targets.json"):
        text = depot.files[name]
        for at in range(0, len(text), max(1, len(text) // 12)):
            changed = bytearray(text)
            changed[at] ^= 1
            if _means(bytes(changed)) == _means(text):
                continue  # white space
            depot.files[name] = bytes(changed)
            refused(tmp_path, depot, "refused")
        depot.files[name] = text
    pull(tmp_path, depot.url)


def _means(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_for_another_chip(depot: Depot, tmp_path: Path) -> None:
    """Signed, and under the name of a chip that it is not for: refused, and both are named."""
    other = replace(SELECTION, target="c" + "0" * 24, target_name="other")
    here = Address.of(SELECTION)
    depot.publish(other, at=here)
    depot.sign()
    told = rf"for {SELECTION.target_name} \({SELECTION.target}\) is for other \(c0+\): refused"
    refused(tmp_path, depot, told)
    depot.publish(SELECTION, LIBRARY, manifest_of(other.chosen("reproduced")).dumps().encode())
    depot.sign()
    refused(tmp_path, depot, told)


def test_what_belongs_elsewhere(depot: Depot, tmp_path: Path) -> None:
    depot.publish(replace(SELECTION, model="huge"), at=Address.of(SELECTION))
    depot.sign()
    refused(tmp_path, depot, "holds what belongs at champions/huge/")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"files": {"../../evil.so": {"sha256": "1" * 64, "length": 1}}}, "plain file name"),
        ({"files": {"/etc/passwd": {"sha256": "1" * 64, "length": 1}}}, "plain file name"),
        ({"files": {"manifest.json": {"sha256": "../../../x", "length": 1}}}, "sha256"),
        ({"files": {"manifest.json": {"sha256": "1" * 64, "length": 1}}}, "has no blobs/1"),
        ({"files": {}}, "lacks its manifest"),
        ({"schema": "headstart-prebuilt/2"}, "headstart-prebuilt/1"),
        ({"bundle": "0" * 64}, "should be 0000"),
    ],
)
def test_a_bundle_that_is_none(depot: Depot, tmp_path: Path, document: Any, told: str) -> None:
    """Signed by an operator whose tools are broken, or whose keys were taken: it still goes nowhere else."""
    made = depot.publish()
    text = canonical_json({**made.to_json(), **document}).encode()
    depot.targets["targets"][Address.of(SELECTION).prebuilt] = text
    depot.sign()
    refused(tmp_path, depot, told)


def test_nothing_for_it(depot: Depot, tmp_path: Path) -> None:
    """A miss says what there is instead; nothing near is taken for it."""
    for wish, told in (
        (replace(WISH, model="huge"), "nothing for huge; there is tiny"),
        (replace(WISH, step={**WISH.step, "tokens": 1}), "nothing of tiny for decode-t1-.*; there is decode-t16-"),
        (replace(WISH, target="c0"), f"nothing of tiny for example .c0.; there is {SELECTION.target}"),
        (replace(WISH, toolchain="x0"), "for toolchain x0; there is x.*--toolchain ID"),
        (replace(WISH, policy="p0"), "for policy p0; there is p"),
    ):
        with pytest.raises(HeadstartError, match=told):
            pull(tmp_path, depot.url, wish=wish)
    assert not (tmp_path / "b").exists()


def test_no_repository(tmp_path: Path) -> None:
    with Depot() as depot:
        depot.files.clear()
        refused(tmp_path, depot, "there is none that is open to you")


WITHOUT_TVM = """
import sys
sys.modules["tvm"] = None  # as where it is not installed
from cli.main import main
sys.argv = ["headstart", *sys.argv[1:]]
main()
"""


def test_a_machine_without_tvm(depot: Depot, tmp_path: Path) -> None:
    """It takes what was built there, for the chip that it names; what it cannot know it asks for."""
    pull = "pull", "tiny", "--from", depot.url, "-o", "b"
    paths = {"PYTHONPATH": ":".join(filter(None, [str(Path(__file__).parents[3]), *sys.path]))}
    paths["HEADSTART_CACHE"] = str(tmp_path / "cache")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT_TVM, *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=paths, check=False)

    done = run(*pull, "--target", SELECTION.target, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["made"] == "prebuilt"
    assert library(tmp_path) == LIBRARY
    done = run(*pull)
    assert (done.returncode, done.stdout) == (2, "")
    assert "whether this machine is 'host' is not known without TVM: say --target" in done.stderr
