"""A repository that is not the service's: made by python-tuf's own hands, on a server that can be made to misbehave.

with Depot() as depot:
    depot.publish(SELECTION, library=b"...")     # a selection, and a bundle of it
    depot.sign()                                 # what was published becomes the latest
    pulled = pull(tmp_path, depot.url)           # of that, by a client with a cache in that folder
"""

from __future__ import annotations

import hashlib
import json
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from headstart_runtime import bundle
from headstart_runtime.manifest import (
    BundleKernel,
    BundleModel,
    BundlePolicy,
    BundleSchedule,
    BundleToolchain,
    Manifest,
    Provenance,
)
from tests.tuning_db.runtime.sealed import KERNEL, MANIFEST, TARGET
from tests.tuning_db.selecting import SELECTION, STEP
from tuner.pulling import Pulled, Puller, Source
from tuning_db.client import Patience, connect
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.deployment import Deployment
from tuning_db.deploy.offer import Wish
from tuning_db.deploy.trust import Told
from tuning_db.published import Address, BundleFile, Prebuilt, blob_path
from tuning_db.selection import SelectedKernel, Selection

BASE = "/v1/repositories/public/"
LIBRARY = bytes(range(256)) * 400
WISH = Wish("tiny", STEP, SELECTION.target, SELECTION.target_name, "reproduced")
HASTE = Patience(connect_s=60, read_s=60, answer_s=60, tries=4, pause_s=0.001)
ONCE = replace(HASTE, tries=1)
ROLES = ("root", "targets", "champions", "snapshot", "timestamp")


def manifest_of(selection: Selection) -> Manifest:
    """What a bundle of a selection says of itself."""
    return replace(
        MANIFEST,
        model=BundleModel(selection.model, selection.source, dict(selection.step)),
        target=replace(TARGET, fingerprint=selection.target, name=selection.target_name),
        toolchain=BundleToolchain(selection.toolchain.id, dict(selection.toolchain.versions)),
        policy=BundlePolicy(selection.policy.id, **selection.policy.to_json()),
        kernels=tuple(_kernel(kernel) for kernel in selection.kernels),
        missing=dict(selection.missing),
        families=(),
    )


def _kernel(kernel: SelectedKernel) -> BundleKernel:
    made = replace(
        KERNEL,
        names=kernel.names,
        workload=kernel.workload,
        operator=kernel.operator,
        label=kernel.label,
        params=kernel.params,
        function=kernel.workload,
        calls=kernel.calls,
    )
    if not kernel.candidates:
        return replace(made, tuned=False, seconds=None, default_seconds=None, provenance=None)
    one = kernel.candidates[0]
    schedule = one.schedule
    return replace(
        made,
        schedule=BundleSchedule(schedule.id, schedule.space, schedule.version, dict(schedule.config)),
        tuned=True,
        seconds=one.seconds,
        default_seconds=one.default_seconds,
        provenance=Provenance(one.trial, one.tier, one.author, one.machine, one.created),
    )


@dataclass
class Fault:
    """What the server does with an answer: sends other bytes, or claims another length, or ends early."""

    path: str
    body: Callable[[bytes], bytes] = lambda body: body
    claims: int | None = None
    cut: int | None = None
    times: int = 1_000_000


class Depot:
    """Keys, files, and a server; as a context manager it serves.

    Attributes:
        files: by their path in the repository; may be changed at will.
        faults: what goes wrong.
        asked: path and ``Range`` of each request, in order.
        lifetime: of what is signed.
        intruders: who signs for a role in place of its own key.
    """

    def __init__(self) -> None:
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
        self.files: dict[str, bytes] = {}
        self.targets: dict[str, dict[str, bytes]] = {"targets": {}, "champions": {}}
        self.versions = dict.fromkeys(ROLES, 0)
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str | None]] = []
        self.lifetime = timedelta(days=1)
        self.intruders: dict[str, CryptoSigner] = {}
        self.root()

    def root(self, *others: CryptoSigner) -> None:
        """Sign a root with the keys as they are now, and with others."""
        self.versions["root"] += 1
        root = Root(version=self.versions["root"], expires=_until(timedelta(days=30)), consistent_snapshot=True)
        for role in ("root", "targets", "snapshot", "timestamp"):
            root.add_key(self.signers[role].public_key, role)
        self._signed(root, f"metadata/{root.version}.root.json", self.signers["root"], *others)

    def publish(
        self,
        selection: Selection = SELECTION,
        library: bytes | None = LIBRARY,
        manifest: bytes | None = None,
        at: Address | None = None,
    ) -> Prebuilt:
        """Add a selection, and with a library a bundle of what is chosen of it for the tier ``reproduced``.

        Args:
            selection: what.
            library: any bytes.
            manifest: of the bundle, in place of the right one.
            at: where both are said to belong.
        """
        address = at or Address.of(selection)
        self.targets["champions"][address.selection] = selection.dumps()
        if library is None:
            return Prebuilt("0" * 64, {})
        files = {
            bundle.MANIFEST: manifest or manifest_of(selection.chosen("reproduced")).dumps().encode(),
            "kernels.so": library,
        }
        sums = "".join(f"{sha(data)}  {name}\n" for name, data in sorted(files.items())).encode()
        files["SHA256SUMS"] = sums
        made = Prebuilt(sha(sums), {name: BundleFile(sha(data), len(data)) for name, data in files.items()})
        self.targets["targets"] |= {blob_path(sha(data)): data for data in files.values()}
        self.targets["targets"][address.prebuilt] = made.dumps()
        return made

    def sign(self, *roles: str) -> None:
        """Make what was published the latest; only of some roles, if said."""
        roles = roles or ROLES
        until = _until(self.lifetime)
        key = self.signers["champions"].public_key
        delegated = DelegatedRole("champions", [key.keyid], 1, True, paths=["champions/*/*/*/*/*.json"])
        for role in ("champions", "targets"):
            if role in roles:
                self.versions[role] += 1
                files = {}
                for path, data in self.targets[role].items():
                    files[path] = TargetFile(len(data), {"sha256": sha(data)}, path)
                    folder, _, name = path.rpartition("/")
                    self.files[f"targets/{folder}/{sha(data)}.{name}"] = data
                delegations = Delegations({key.keyid: key}, {"champions": delegated}) if role == "targets" else None
                signed = Targets(self.versions[role], expires=until, targets=files, delegations=delegations)
                self._signed(signed, f"metadata/{signed.version}.{role}.json", self._signer(role))
        if "snapshot" in roles:
            self.versions["snapshot"] += 1
            meta = {f"{role}.json": MetaFile(self.versions[role]) for role in ("champions", "targets")}
            snapshot = Snapshot(self.versions["snapshot"], expires=until, meta=meta)
            self._signed(snapshot, f"metadata/{snapshot.version}.snapshot.json", self._signer("snapshot"))
        if "timestamp" in roles:
            self.versions["timestamp"] += 1
            now = MetaFile(self.versions["snapshot"])
            timestamp = Timestamp(self.versions["timestamp"], expires=until, snapshot_meta=now)
            self._signed(timestamp, "metadata/timestamp.json", self._signer("timestamp"))

    def _signer(self, role: str) -> CryptoSigner:
        return self.intruders.get(role, self.signers[role])

    def _signed(self, signed: Any, path: str, *signers: CryptoSigner) -> None:
        metadata = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        self.files[path] = metadata.to_bytes()

    def __enter__(self) -> Depot:
        depot = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                depot._answer(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that leave are what is tested

        self._server: socketserver.BaseServer = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, wanted = handler.path.removeprefix(BASE), handler.headers.get("range")
        self.asked.append((path, wanted))
        body = self.files.get(path)
        if body is None:
            text = json.dumps({"error": {"code": "not_found", "message": "nothing there"}}).encode()
            _send(handler, 404, text, {"Content-Length": str(len(text))})
            return
        etag = f'"{sha(body)}"'
        headers = {"ETag": etag}
        if handler.headers.get("if-none-match") == etag:
            _send(handler, 304, b"", headers)
            return
        status = 200
        if wanted and handler.headers.get("if-range") == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            body, status = body[start:], 206
        fault = next((one for one in self.faults if one.path in path and one.times > 0), None)
        if fault is None:
            _send(handler, status, body, headers | {"Content-Length": str(len(body))})
            return
        fault.times -= 1
        body = fault.body(body)
        headers["Content-Length"] = str(len(body) if fault.claims is None else fault.claims)
        _send(handler, status, body[: fault.cut], headers)
        handler.close_connection = True


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    with suppress(ConnectionError):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def puller(folder: Path, url: str, patience: Patience = HASTE, **source: Any) -> tuple[Puller, list[str]]:
    """A client with a cache in a folder, which builds nothing; and what it says."""
    said: list[str] = []
    source = {"where": url, "release": "public", "connect": lambda: connect(url, patience=patience), **source}
    return Puller(Source(**source), Cache(folder / "cache"), Told(say=said.append), True), said


def pull(folder: Path, url: str, patience: Patience = HASTE, wish: Wish = WISH, **source: Any) -> Pulled:
    """Pull into a folder, which has a cache, a lock file and a bundle."""
    by, _ = puller(folder, url, patience, **source)
    return by.pull(deployment(folder, by), wish)


def deployment(folder: Path, by: Puller) -> Deployment:
    """What is deployed in a folder."""
    return Deployment(by.cache, folder / "headstart.lock", folder / "b")


def library(folder: Path) -> bytes:
    """The library of the bundle that is there, which is whole."""
    manifest, _ = bundle.verify(folder / "b")
    return (folder / "b" / manifest.library).read_bytes()


def sha(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def _until(span: timedelta) -> datetime:
    return (datetime.now(timezone.utc) + span).replace(microsecond=0)
