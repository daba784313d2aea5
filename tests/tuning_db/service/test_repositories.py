"""The service as a repository, to a client of ``tuf`` over a socket: what is new arrives, what is wrong is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.ngclient import Updater

from tests.tuning_db.service.mirror import Mirror, mirrored
from tests.tuning_db.service.publishing import LIFETIMES, Hands, prebuilt, updater
from tests.tuning_db.service.running import Service, running
from tuning_db.check import check
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.releases import DAY
from tuning_db.repository.drafting import next_targets, rotate, rotate_online
from tuning_db.repository.metadata import dumps, loads, sign
from tuning_db.repository.uploading import Upload
from tuning_db.store import Store


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """By the clock of the machine, as clients of ``tuf`` go by it."""
    with running(tmp_path, start=time.time()) as started:
        yield started
    with Store.open(started.db, read_only=True) as store:
        assert check(store) == []


@pytest.fixture
def mirror(service: Service) -> Iterator[Mirror]:
    with mirrored(service) as between:
        yield between


@pytest.fixture
def hands(service: Service) -> Hands:
    return Hands(service)


class Deployment:
    """A client of ``tuf`` that asks somebody in between, again and again with what it keeps."""

    def __init__(self, port: int, folder: Path, root: str) -> None:
        self.port, self.folder, self.root = port, folder, root

    def look(self) -> Updater:
        """Ask for the latest."""
        client = updater(self.port, self.folder, self.root)
        client.refresh()
        return client

    def pull(self, upload: Upload) -> dict[str, bytes]:
        """The files of a bundle."""
        client, found = self.look(), {}
        for name, file in upload.prebuilt.files.items():
            info = client.get_targetinfo(f"blobs/{file.sha256}")
            assert info is not None
            found[name] = Path(client.download_target(info)).read_bytes()
        return found


@pytest.fixture
def deployment(mirror: Mirror, hands: Hands, tmp_path: Path) -> Deployment:
    """One that trusts the first root."""
    return Deployment(mirror.port, tmp_path / "client", hands.begin())


def test_a_fresh_client_gets_a_bundle_and_then_the_next(deployment: Deployment, hands: Hands, tmp_path: Path) -> None:
    for library in (b"one" * 700_000, b"another"):
        (upload,) = hands.publish(prebuilt(tmp_path / f"{len(library)}.bundle", library))
        client = deployment.look()
        said = client.get_targetinfo(upload.address.prebuilt)
        assert said is not None
        assert Path(client.download_target(said)).read_bytes() == upload.prebuilt.dumps()
        for name, content in deployment.pull(upload).items():
            assert content == (upload.folder / name).read_bytes()
        assert client.get_targetinfo("blobs/" + "0" * 64) is None


def test_a_client_that_is_shown_nothing_newer_notices(tmp_path: Path) -> None:
    with running(tmp_path, start=time.time() - 3 * DAY) as service:
        root = Hands(service).begin()
        with pytest.raises(ExpiredMetadataError, match="timestamp"):
            updater(service.port, tmp_path / "client", root).refresh()
        # The service itself signs anew when it is asked at that time.
        service.now = time.time()
        updater(service.port, tmp_path / "client", root).refresh()


def test_what_the_service_signs_is_signed_anew_in_time(service: Service, hands: Hands) -> None:
    hands.begin()
    signed = {}
    for days in (0.0, 0.4, 0.6, 2, 1, 8, 30):
        service.now += days * DAY
        service.get("/v1/repositories/public/metadata/timestamp.json")
        roles = hands.state["roles"]
        signed[days] = {role: roles[role]["version"] for role in ("champions", "snapshot", "timestamp")}
        for role in signed[days]:
            assert roles[role]["expires"] > service.now + 0.4 * DAY, (role, days)
    first = {"champions": 1, "snapshot": 1, "timestamp": 1}
    assert signed[0.0] == signed[0.4] == first
    # Nobody fetches more than what is new.
    assert signed[0.6] == first | {"timestamp": 2}
    assert signed[2] == first | {"timestamp": 3}
    assert signed[1] == {"champions": 2, "snapshot": 2, "timestamp": 4}


def test_older_metadata_is_refused(deployment: Deployment, hands: Hands, mirror: Mirror, tmp_path: Path) -> None:
    deployment.look()
    old = mirror.last("timestamp.json")
    (upload,) = hands.publish(prebuilt(tmp_path / "a.bundle"))
    deployment.look()
    mirror.instead["timestamp.json"] = lambda body: old
    with pytest.raises(BadVersionNumberError):
        deployment.look()
    mirror.instead.clear()
    assert len(deployment.pull(upload)) == 3


def test_metadata_that_does_not_go_together_is_refused(
    deployment: Deployment, hands: Hands, mirror: Mirror, tmp_path: Path
) -> None:
    deployment.look()
    old = {role: mirror.last(f"1.{role}.json") for role in ("snapshot", "targets")}
    hands.publish(prebuilt(tmp_path / "a.bundle"))
    for role, body in old.items():
        mirror.instead = {f"2.{role}.json": lambda now, body=body: body}
        with pytest.raises(LengthOrHashMismatchError):
            deployment.look()
    mirror.instead.clear()
    deployment.look()


def test_metadata_of_another_repository_is_refused(
    deployment: Deployment, service: Service, hands: Hands, mirror: Mirror, tmp_path: Path
) -> None:
    """Keys of people may be the same everywhere; those of the service are not."""
    release = service.release(launch=service.now + 1)
    other = Hands(service, release, "lab", hands.roots, hands.targets)
    other.begin()
    other.publish(prebuilt(tmp_path / "a.bundle"))
    service.now += 2
    said = service.get(f"/v1/repositories/{release}/metadata/timestamp.json")
    assert said.status == 200
    mirror.instead["timestamp.json"] = lambda body: said.body
    with pytest.raises(UnsignedMetadataError):
        deployment.look()


@pytest.mark.parametrize("what", ["timestamp.json", "snapshot.json", "targets.json", "root.json"])
def test_metadata_without_end_is_refused(
    deployment: Deployment, hands: Hands, mirror: Mirror, tmp_path: Path, what: str
) -> None:
    hands.publish(prebuilt(tmp_path / "a.bundle"))
    mirror.endless.add(what)
    with pytest.raises(DownloadLengthMismatchError):
        deployment.look()


def test_files_that_are_wrong_are_refused(deployment: Deployment, hands: Hands, mirror: Mirror, tmp_path: Path) -> None:
    (upload,) = hands.publish(prebuilt(tmp_path / "a.bundle"))
    sha256 = upload.prebuilt.files["kernels.so"].sha256
    for change in (lambda body: bytes([body[0] ^ 1]) + body[1:], lambda body: body[:-1], lambda body: body + b"x"):
        mirror.instead = {sha256: change}
        with pytest.raises((LengthOrHashMismatchError, DownloadLengthMismatchError)):
            deployment.pull(upload)
    mirror.instead = {}
    mirror.endless.add(sha256)
    with pytest.raises(DownloadLengthMismatchError):
        deployment.pull(upload)
    mirror.endless.clear()
    assert deployment.pull(upload)["kernels.so"] == (upload.folder / "kernels.so").read_bytes()


def test_other_keys_of_every_role_are_followed(
    deployment: Deployment, service: Service, hands: Hands, tmp_path: Path
) -> None:
    deployment.look()
    new = {role: PrivateKey.new(f"{role}-2") for role in ("root", "targets")}
    draft = hands.draft
    rotate(draft, "root", [new["root"].public], ["root-1"], None, LIFETIMES, service.now)
    assert any("root-1" in line for line in draft.lacking())
    # By the keys before and by those from then on.
    for signers in ([new["root"]], hands.roots):
        only = hands.draft
        rotate(only, "root", [new["root"].public], ["root-1"], None, LIFETIMES, service.now)
        only.sign(signers)
        assert hands.post(only).status == 400
    draft.sign([*hands.roots, new["root"]])
    hands.sent(draft)
    hands.roots = [new["root"]]
    draft = hands.draft
    rotate(draft, "targets", [new["targets"].public], ["targets-1"], None, LIFETIMES, service.now)
    draft.sign([*hands.roots, new["targets"]])
    hands.sent(draft)
    old, hands.targets = hands.targets, [new["targets"]]
    (upload,) = hands.publish(prebuilt(tmp_path / "a.bundle"))
    assert len(deployment.pull(upload)) == 3
    # A key that was revoked signs nothing any more.
    draft = hands.next(sign=False)
    sign(draft.next["targets"], old[0])
    refused = hands.post(draft)
    assert (refused.status, refused.code) == (400, "invalid")
    assert "0 of the 1 signatures" in refused.json["error"]["message"]


def test_the_service_gets_another_key(tmp_path: Path) -> None:
    with running(tmp_path, start=time.time()) as before:
        hands = Hands(before)
        root = hands.begin()
        (upload,) = hands.publish(prebuilt(tmp_path / "a.bundle"))
        updater(before.port, tmp_path / "client", root).refresh()
    with running(tmp_path, before, repository_key=PrivateKey.new("service-2")) as service:
        hands.service = service
        # Until the root says so, what the old one signed is served, and nothing else is taken.
        updater(service.port, tmp_path / "client", root).refresh()
        assert "rotate online" in hands.post(hands.next()).json["error"]["message"]
        draft = hands.draft
        rotate_online(draft, PublicKey.from_line(hands.state["online_key"]), LIFETIMES, service.now)
        draft.sign([*hands.roots, *hands.targets])
        hands.sent(draft)
        client = updater(service.port, tmp_path / "client", root)
        client.refresh()
        assert client.get_targetinfo(upload.address.prebuilt) is not None
        assert client.get_targetinfo("champions/a/b/c/d/e.json") is None


def test_a_revoked_key_is_refused_by_clients(
    deployment: Deployment, service: Service, hands: Hands, mirror: Mirror, tmp_path: Path
) -> None:
    new = PrivateKey.new("targets-2")
    draft = hands.draft
    rotate(draft, "targets", [new.public], ["targets-1"], None, LIFETIMES, service.now)
    draft.sign([*hands.roots, new])
    hands.sent(draft)
    deployment.look()
    old, hands.targets = hands.targets[0], [new]
    hands.publish(prebuilt(tmp_path / "a.bundle"))

    def signed_by_the_old(body: bytes) -> bytes:
        metadata = loads("targets", body.decode())
        metadata.signatures.clear()
        sign(metadata, old)
        return dumps(metadata).encode()

    mirror.instead["3.targets.json"] = signed_by_the_old
    with pytest.raises(RepositoryError):
        deployment.look()


def test_a_threshold_is_one_of_different_people(service: Service, tmp_path: Path) -> None:
    hands = Hands(service, roots=[PrivateKey.new("a"), PrivateKey.new("b"), PrivateKey.new("c")])
    draft = hands.first({"root": 2})
    draft.sign([hands.roots[0], *hands.targets])
    assert draft.lacking() and hands.post(draft).status == 400
    # One person's signature under another's name is none.
    metadata = draft.next["root"]
    by = next(iter(metadata.signatures.values()))
    for id in metadata.signed.roles["root"].keyids:
        metadata.signatures[id] = type(by)(id, by.signature)
    assert hands.post(draft).status == 400
    draft = hands.first({"root": 2})
    draft.sign([*hands.roots[:2], *hands.targets])
    assert draft.lacking() == []
    hands.sent(draft)
    updater(service.port, tmp_path / "client", str(draft.texts["root"])).refresh()
    # Nor is one key two under two ids: the root is refused that says so.
    draft = hands.draft
    rotate(draft, "root", [], [], None, LIFETIMES, service.now)
    root = json.loads(str(draft.texts["root"]))
    first = root["signed"]["roles"]["root"]["keyids"][0]
    root["signed"]["keys"]["f" * 64] = dict(root["signed"]["keys"][first])
    root["signed"]["roles"]["root"]["keyids"].append("f" * 64)
    twice = loads("root", json.dumps(root))
    for key in hands.roots[:2]:
        sign(twice, key)
    draft.next["root"] = twice
    assert "no Ed25519 key under its own id" in hands.post(draft).json["error"]["message"]


def test_versions_and_expiry(service: Service, hands: Hands) -> None:
    hands.begin()
    for version in (1, 3):
        draft = hands.next(sign=False)
        draft.next["targets"].signed.version = version
        draft.sign(hands.targets)
        assert f"version {version}, and the next one is 2" in hands.post(draft).json["error"]["message"]
    draft = hands.draft
    next_targets(draft, {}, -1, service.now)
    draft.sign(hands.targets)
    assert "expired already" in hands.post(draft).json["error"]["message"]
    # Two who publish at a time: one of them does it again.
    first, second = hands.next(), hands.next()
    hands.sent(first)
    assert hands.post(second).status == 400


def test_files_must_be_there(hands: Hands, tmp_path: Path) -> None:
    hands.begin()
    (upload,) = hands.publish(prebuilt(tmp_path / "a.bundle", b"a"))
    for path, said in (
        (f"blobs/{'0' * 64}", "is not here"),
        (f"blobs/{upload.prebuilt.files['kernels.so'].sha256}", "is not here"),
        ("champions/a/b/c/d/e.json", "is neither"),
        ("blobs/../root.json", "is neither"),
        ("bundles/a/b/c/d/e.json/f", "is neither"),
    ):
        draft = hands.draft
        next_targets(draft, {**draft.files, path: ("0" * 64, 1)}, DAY, hands.service.now)
        draft.sign(hands.targets)
        assert said in hands.post(draft).json["error"]["message"], path
    # A bundle whose files are not vouched for as well.
    draft = hands.draft
    files = {path: file for path, file in draft.files.items() if path.startswith("bundles")}
    next_targets(draft, files, DAY, hands.service.now)
    draft.sign(hands.targets)
    assert "not among the targets" in hands.post(draft).json["error"]["message"]
