"""People who publish into repositories of a service that runs, and the client of ``tuf`` that reads them.

with running(tmp_path, start=time.time()) as service:      # clients of ``tuf`` go by the clock of the machine
    hands = Hands(service)                                 # keys of root and targets, and who sends
    root = hands.begin()                                   # the repository of ``public``; text of its first root
    hands.publish(prebuilt(tmp_path / "tiny.bundle"))      # a bundle
    updater(service.port, tmp_path / "client", root).refresh()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuf.ngclient import Updater

from headstart_runtime.manifest import BundleModel, Manifest
from tests.tuning_db.runtime.sealed import MANIFEST, seal
from tests.tuning_db.selecting import STEP
from tests.tuning_db.service.running import Answer, Service
from tuning_db.answers import REPOSITORY
from tuning_db.client import Patience, at, connect
from tuning_db.keys import PrivateKey, PublicKey
from tuning_db.releases import DAY
from tuning_db.repository.draft import Draft
from tuning_db.repository.drafting import begin, next_targets
from tuning_db.repository.uploading import Upload, remaining, send, upload_of

LIFETIMES = {"root": 365 * DAY, "targets": 90 * DAY}


def prebuilt(folder: Path, library: bytes = bytes(range(256)) * 8, manifest: Manifest = MANIFEST, **model: Any) -> Path:
    """A bundle that is right, of a model called ``tiny`` unless said, whose library is any bytes."""
    of = BundleModel(**{"name": "tiny", "source": "a test", "step": STEP, **model})
    return seal(folder, replace(manifest, model=of).dumps(), library)


@dataclass
class Hands:
    """Who signs for a repository.

    Attributes:
        service: where it is.
        release: whose repository it is, by name or id.
        who: whose token is used.
        roots, targets: keys of the roles.
    """

    service: Service
    release: str = "public"
    who: str = "root"
    roots: Sequence[PrivateKey] = field(default_factory=lambda: [PrivateKey.new("root-1")])
    targets: Sequence[PrivateKey] = field(default_factory=lambda: [PrivateKey.new("targets-1")])

    @property
    def state(self) -> dict[str, Any]:
        """What the service says of the repository."""
        answer = self.service.get(f"/v1/repositories/{self.release}", self.who)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = REPOSITORY(answer.json)
        return found

    @property
    def draft(self) -> Draft:
        """The present state, to be changed."""
        state = self.state
        return Draft(state["release"], list(state["roots"]), state["targets"])

    def first(self, thresholds: Mapping[str, int] | None = None) -> Draft:
        """The first root and targets, not signed."""
        state = self.state
        keys = {"root": [key.public for key in self.roots], "targets": [key.public for key in self.targets]}
        many = {"root": 1, "targets": 1, **(thresholds or {})}
        online = PublicKey.from_line(state["online_key"])
        return begin(state["release"], online, keys, many, LIFETIMES, self.service.now)

    def begin(self) -> str:
        """Begin the repository; the text of its first root."""
        made = self.first()
        made.sign([*self.roots, *self.targets])
        self.sent(made)
        return str(made.texts["root"])

    def post(self, draft: Draft) -> Answer:
        """Send a draft, whatever it lacks."""
        return self.service.post(f"/v1/repositories/{self.release}/metadata", self.who, draft.texts)

    def sent(self, draft: Draft) -> None:
        """Send a draft that is right."""
        answer = self.post(draft)
        assert answer.status == 201, answer.body

    def publish(self, *folders: Path) -> list[Upload]:
        """Publish bundles beside those that are there, each in place of one for the same."""
        uploads = [upload_of(folder) for folder in folders]
        draft = self.next(uploads)
        for upload in uploads:
            self.upload(upload)
        self.sent(draft)
        return uploads

    def next(self, uploads: Sequence[Upload] = (), sign: bool = True) -> Draft:
        """The present targets with bundles added or replaced, signed unless said."""
        state, draft = self.state, self.draft
        replaced = {upload.address.prebuilt for upload in uploads} & draft.files.keys()
        files = remaining(draft.files, state["bundles"], replaced)
        for upload in uploads:
            files |= upload.targets
        next_targets(draft, files, LIFETIMES["targets"], self.service.now)
        if sign:
            draft.sign(self.targets)
        return draft

    def upload(self, upload: Upload) -> None:
        """Send the files of a bundle."""
        where, token = f"http://127.0.0.1:{self.service.port}", self.service.tokens[self.who]
        with connect(where, token, patience=Patience(tries=1)) as client:
            send(client, self.release, upload)


def updater(port: int, folder: Path, root: str | None, release: str = "public") -> Updater:
    """A client of ``tuf`` with a folder of its own, which begins with a root, or goes on with what it has."""
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    where = f"http://127.0.0.1:{port}{at('repositories', release)}"
    return Updater(
        str(folder),
        f"{where}/metadata/",
        str(folder / "targets"),
        f"{where}/targets/",
        bootstrap=root.encode() if root is not None else None,
    )
