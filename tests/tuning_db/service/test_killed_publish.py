"""A server that is killed while somebody publishes has the old repository or the new one, whole; nothing is lost."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from pathlib import Path

from targets.errors import HeadstartError
from tests.tuning_db.service.publishing import Hands, prebuilt, updater
from tests.tuning_db.service.running import SERVICE, Service
from tests.tuning_db.service.test_killed_server import serve
from tuning_db.blobs import PART
from tuning_db.check import check
from tuning_db.keyfile import write_key
from tuning_db.keys import PrivateKey
from tuning_db.note import SigningKey
from tuning_db.repository.uploading import Upload, upload_of
from tuning_db.store import Store

KILLS, BUNDLES = 2, 12


def test_a_bundle_is_published_or_not(tmp_path: Path) -> None:
    lucky, key = random.Random(3), SigningKey.new(SERVICE)
    write_key(tmp_path / "service.key", key)
    secret, _ = PrivateKey.new("repository").write(tmp_path)
    service = Service(tmp_path / "race.db", key, now=time.time())
    with Store.open(service.db) as store:
        account = store.add_account("root", "operator", service.now)
        service.tokens["root"] = store.issue_token(account, service.now, 86400)[1]
    hands, root, published = Hands(service), "", list[Upload]()
    uploads = [
        upload_of(prebuilt(tmp_path / f"{n}.bundle", bytes([n]) * (PART + n), name=f"m{n}")) for n in range(BUNDLES)
    ]

    def work() -> None:
        """Publish one after the other, until there is nobody to take it."""
        try:
            for upload in uploads[len(published) :]:
                hands.publish(upload.folder)
                published.append(upload)
        except (OSError, http.client.HTTPException, HeadstartError, AssertionError):
            pass

    for kill in range(KILLS + 1):
        server, service.port = serve(tmp_path, f"--repository-key={secret}")
        if not root:
            root = hands.begin()
        client = updater(service.port, tmp_path / "client", root)
        there = [upload for upload in uploads if client.get_targetinfo(upload.address.prebuilt)]
        # What was acknowledged is there; of what was not, one may be.
        assert published == there[: len(published)] and len(there) <= len(published) + 1
        published[:] = there
        for upload in there[-2:]:
            for path in upload.targets:
                info = client.get_targetinfo(path)
                assert info is not None
                client.download_target(info)
        if kill == KILLS:
            server.send_signal(signal.SIGTERM)
        else:
            thread = threading.Thread(target=work)
            thread.start()
            wanted = len(published) + lucky.randint(2, 4)
            while len(published) < wanted and thread.is_alive():
                time.sleep(0.001)
            time.sleep(lucky.uniform(0, 0.05))
            server.send_signal(signal.SIGKILL)
            thread.join(60)
        assert server.wait(60) == (0 if kill == KILLS else -signal.SIGKILL)
        assert server.stdout
        server.stdout.close()
    assert KILLS <= len(published) < BUNDLES
    with Store.open(service.db, create=False) as store:
        assert check(store) == []
