"""Files and metadata of a repository as they are asked for: the rest of one, what is known already, parts of one."""

from __future__ import annotations

import hashlib
import http.client

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tuning_db.service.publishing import Hands, prebuilt
from tests.tuning_db.service.running import Answer, Service, call
from tuning_db.blobs import PART
from tuning_db.repository.paths import hashed
from tuning_db.store import Store

LIBRARY = bytes(range(256)) * (PART * 2 // 256) + b"the rest"


@pytest.fixture
def path(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where a file of three parts is."""
    hands = Hands(service)
    hands.begin()
    hands.publish(prebuilt(tmp_path_factory.mktemp("bundles") / "a.bundle", LIBRARY))
    sha256 = hashlib.sha256(LIBRARY).hexdigest()
    return f"/v1/repositories/public/targets/{hashed(f'blobs/{sha256}', sha256)}"


def ask(service: Service, path: str, **headers: str) -> Answer:
    """A request with headers; ``_`` stands for ``-`` in their names."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())
    finally:
        connection.close()


def test_a_file_has_length_tag_and_may_be_kept(service: Service, path: str) -> None:
    whole = ask(service, path)
    assert (whole.status, whole.body) == (200, LIBRARY)
    assert whole.headers["content-length"] == str(len(LIBRARY))
    assert whole.headers["etag"] == f'"{hashlib.sha256(LIBRARY).hexdigest()}"'
    assert whole.headers["accept-ranges"] == "bytes"
    assert "immutable" in whole.headers["cache-control"]
    known = ask(service, path, If_None_Match=f'"x", W/{whole.headers["etag"]}')
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", whole.headers["etag"])
    for other in (path.replace("blobs/", "bundles/"), path + "x", path.rpartition("/")[0] + "/" + "0" * 64 + ".x"):
        assert ask(service, other).seen == ask(service, "/v1/repositories/public/targets/nothing").seen


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_range(service: Service, path: str, data: st.DataObject) -> None:
    edges = st.sampled_from(
        [0, 1, PART - 1, PART, PART + 1, 2 * PART, len(LIBRARY) - 1, len(LIBRARY), len(LIBRARY) + 9]
    )
    first, last = data.draw(st.none() | edges), data.draw(st.none() | edges)
    asked = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    answer = ask(service, path, Range=asked)
    if first is None and last is None:
        expected = LIBRARY
    elif first is None:
        expected = LIBRARY[-last:] if last else b""
    else:
        expected = LIBRARY[first:] if last is None else LIBRARY[first : last + 1]
    if first is not None and last is not None and last < first:
        assert answer.status == 200 and answer.body == LIBRARY  # no range
    elif not expected:
        assert answer.status == 416 and answer.headers["content-range"] == f"bytes */{len(LIBRARY)}"
    elif asked == "bytes=-":
        assert answer.status == 200
    else:
        assert (answer.status, answer.body) == (206, expected)
        begin = len(LIBRARY) - len(expected) if first is None else first
        assert answer.headers["content-range"] == f"bytes {begin}-{begin + len(expected) - 1}/{len(LIBRARY)}"
        assert answer.headers["content-length"] == str(len(expected))


def test_the_rest_of_this_very_file(service: Service, path: str) -> None:
    tag = ask(service, path, Range="bytes=0-0").headers["etag"]
    assert ask(service, path, Range="bytes=5-", If_Range=tag).body == LIBRARY[5:]
    for other in ('"0"', "W/" + tag, "Thu, 01 Jan 1970 00:00:00 GMT"):
        answer = ask(service, path, Range="bytes=5-", If_Range=other)
        assert (answer.status, answer.body) == (200, LIBRARY)
    for several in ("bytes=0-1,4-5", "lines=0-1", "bytes=a-b", "bytes=1", "bytes=0-" + "9" * 40):
        assert ask(service, path, Range=several).status == 200


def test_metadata_that_is_known_is_not_sent(service: Service, path: str) -> None:
    where = "/v1/repositories/public/metadata"
    latest = ask(service, f"{where}/timestamp.json")
    assert latest.headers["cache-control"] == "no-cache"
    assert ask(service, f"{where}/timestamp.json", If_None_Match=latest.headers["etag"]).status == 304
    assert "immutable" in ask(service, f"{where}/1.root.json").headers["cache-control"]
    absent = ask(service, f"{where}/2.root.json")
    assert absent.status == 404
    for name in ("root.json", "0.root.json", "01.root.json", "1.timestamp.json", "9999999999.targets.json", "1.x.json"):
        assert ask(service, f"{where}/{name}").seen == absent.seen, name


def put(service: Service, digest: str, number: int, length: int, body: bytes, who: str = "root") -> Answer:
    """Send a part."""
    where = f"/v1/repositories/public/blobs/{digest}/{number}?length={length}"
    return call(service.port, "PUT", where, service.tokens[who], body)


def test_parts_come_in_any_order_and_more_than_once(service: Service) -> None:
    digest, parts = hashlib.sha256(LIBRARY).hexdigest(), [LIBRARY[:PART], LIBRARY[PART : 2 * PART], b"the rest"]
    assert put(service, digest, 2, len(LIBRARY), parts[2]).json == {
        "length": len(LIBRARY),
        "whole": False,
        "missing": [0, 1],
    }
    assert put(service, digest, 2, len(LIBRARY), parts[2]).json["missing"] == [0, 1]
    assert put(service, digest, 0, len(LIBRARY), parts[0]).json["missing"] == [1]
    assert service.get(f"/v1/repositories/public/blobs/{digest}", "root").json["missing"] == [1]
    assert put(service, digest, 1, len(LIBRARY), parts[1]).json == {
        "length": len(LIBRARY),
        "whole": True,
        "missing": [],
    }
    assert put(service, digest, 1, len(LIBRARY), parts[1]).json["whole"]
    # It is here, and nobody vouches for it yet.
    assert service.get(f"/v1/repositories/public/targets/blobs/{digest}.{digest}").status == 404


def test_parts_that_are_wrong(service: Service) -> None:
    digest = hashlib.sha256(b"abc").hexdigest()
    refused = put(service, digest, 0, 3, b"abd")
    assert (refused.status, refused.code) == (422, "refused")
    assert service.get(f"/v1/repositories/public/blobs/{digest}", "root").status == 404
    assert put(service, digest, 0, 3, b"abc").json["whole"]
    for number, length, body in (
        (1, 3, b"abc"),
        (0, 3, b"ab"),
        (0, PART + 1, b"ab"),
        (-1, 3, b"abc"),
        (0, 1 << 40, b""),
    ):
        assert put(service, digest, number, length, body).status == 400
    assert "3 bytes, and not 2" in put(service, digest, 0, 2, b"ab").json["error"]["message"]
    assert put(service, "xyz", 0, 3, b"abc").status == 400
    assert put(service, digest, 0, PART, bytes(PART + 1)).status == 413
    assert put(service, digest, 0, 3, b"abc", "acme").status == 403
    assert put(service, digest, 0, 3, b"abc", "lab").status == 404


def test_nobody_sends_more_than_their_quota(service: Service) -> None:
    with Store.open(service.db) as store:
        store.set_quota(store.account("root"), uploads=10)
    digests = [hashlib.sha256(body).hexdigest() for body in (b"12345678", b"abc")]
    assert put(service, digests[0], 0, 8, b"12345678").status == 200
    refused = put(service, digests[1], 0, 3, b"abc")
    assert refused.status == 422 and refused.reasons == {"over_quota"}
    assert "it fits from" in refused.json["error"]["message"]
    service.now += 86401
    assert put(service, digests[1], 0, 3, b"abc").status == 200
