"""What brings metadata and files of a repository here; whether they are what they should be, others see to.

A file goes on where it broke off, in this process or an earlier one. The timestamp, which is asked for every time, is
not sent again where it did not change.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from targets.errors import HeadstartError
from tuning_db.client import Client, Trouble
from tuning_db.deploy.cache import PIECE, Cache

# More than any metadata that a client of TUF takes.
LARGEST_METADATA = 8 << 20
# Bytes a second below which nobody is waited for, once the patience for a whole answer is used up.
SLOWEST = 10_000
ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{1,200}"')
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/(?:[0-9]{1,15}|\*)")


class Fetcher:
    """Asks for paths of one repository.

    Attributes:
        requests: how often it asked.
        received: bytes of all bodies that came.
        unchanged: how often the answer was that nothing changed (status 304).
    """

    def __init__(self, client: Client, cache: Cache, folder: Path, heard: Callable[[int], None]) -> None:
        """Args:
        client: of the service.
        cache: where beginnings of files are kept.
        folder: where TUF keeps the metadata that it trusts.
        heard: called with the number of bytes that came.
        """
        self.requests = self.received = self.unchanged = 0
        self.folder = folder
        self._client, self._cache, self._heard = client, cache, heard
        self._expected: tuple[str, int] | None = None
        self._open: Any = None

    def fetch(self, path: str) -> Iterator[bytes]:
        """The body of what lies at a path, piece by piece; as ``tuf.ngclient.FetcherInterface`` wants it.

        Raises:
            DownloadHTTPError: there is nothing there.
            HeadstartError: it cannot be fetched.
        """
        self.close()
        if self._expected is not None:
            self._open = self._file(path, *self._expected)
        else:
            self._open = self._timestamp(path) if path.endswith("/timestamp.json") else self._metadata(path)
        found: Iterator[bytes] = self._open
        return found

    def close(self) -> None:
        """Let go of what was fetched last."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @contextmanager
    def expecting(self, sha256: str, length: int) -> Iterator[None]:
        """Fetch a file in this block, which is as long as that and is kept under its digest until it is whole."""
        self._expected = sha256, length
        try:
            yield
        finally:
            self._expected = None
            self.close()

    def _metadata(self, path: str) -> Iterator[bytes]:
        yield self._whole(path, {})[2]

    def _timestamp(self, path: str) -> Iterator[bytes]:
        known, etag = self._known()
        status, new, body = self._whole(path, {"if-none-match": etag} if etag else {})
        if status != 304:
            if new is not None and ETAG.fullmatch(new):
                (self.folder / "timestamp.etag").write_text(f"{hashlib.sha256(body).hexdigest()} {new}")
            yield body
        elif etag:
            self.unchanged += 1
            yield known
        else:
            raise HeadstartError(f"{self._client.where} says that nothing changed and was not asked")

    def _known(self) -> tuple[bytes, str]:
        """The timestamp that is trusted and its ETag; the latter empty where it is not known."""
        try:
            known = (self.folder / "timestamp.json").read_bytes()
            digest, _, etag = (self.folder / "timestamp.etag").read_text("ascii").partition(" ")
        except (OSError, UnicodeDecodeError):
            return b"", ""
        fits = digest == hashlib.sha256(known).hexdigest() and ETAG.fullmatch(etag)
        return known, etag if fits else ""

    def _whole(self, path: str, headers: Mapping[str, str]) -> tuple[int, str | None, bytes]:
        """Status, ETag and body of a small answer."""
        from tuf.api.exceptions import DownloadHTTPError

        def once() -> tuple[int, str | None, bytes]:
            self.requests += 1
            begun, body = time.monotonic(), bytearray()
            with self._client.stream(path, headers, (304, 404)) as (response, pieces):
                for piece in pieces:
                    self._count(len(piece), begun, len(body))
                    body += piece
                    if len(body) > LARGEST_METADATA:
                        raise HeadstartError(
                            f"{self._client.where} sends more than {LARGEST_METADATA >> 20} MiB of metadata"
                        )
                return response.status_code, response.headers.get("etag"), bytes(body)

        status, etag, body = self._client.patiently(once)
        if status == 404:
            raise DownloadHTTPError(f"nothing at {path}", 404)
        return status, etag, body

    def _file(self, path: str, sha256: str, length: int) -> Iterator[bytes]:
        """What is here of a file, and then the rest of it, which is kept as it comes."""
        with self._cache.part(sha256) as part:
            part.seek(0)
            have = 0
            while piece := part.read(PIECE):
                have += len(piece)
                yield piece
            if have < length:
                yield from self._rest(path, sha256, part, have, length)

    def _rest(self, path: str, sha256: str, part: IO[bytes], have: int, length: int) -> Iterator[bytes]:
        begun, came, failed = time.monotonic(), 0, 0
        while have < length:
            before = have
            self.requests += 1
            try:
                # The digest is the file's ETag, so that what goes on is the same file or the whole of it.
                headers = {"range": f"bytes={have}-", "if-range": f'"{sha256}"'} if have else {}
                with self._client.stream(path, headers) as (response, pieces):
                    skip = have if response.status_code != 206 else self._check_range(response.headers, have)
                    for piece in pieces:
                        came += len(piece)
                        self._count(len(piece), begun, came)
                        new, skip = piece[skip:], max(0, skip - len(piece))
                        part.write(new)
                        have += len(new)
                        yield new
                        if have > length:
                            return
                if have < length:
                    return  # it ended as it should and is too short, which is not for here to judge
            except Trouble as trouble:
                part.flush()
                failed = failed + 1 if have == before else 1
                self._client.wait(trouble, failed)

    def _check_range(self, headers: Mapping[str, str], have: int) -> int:
        """That a part of a file is the part that was asked for; returns how much of it is to be skipped: nothing."""
        found = CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if found is None or int(found[1]) != have:
            raise HeadstartError(f"{self._client.where} sends another part of a file than it was asked for")
        return 0

    def _count(self, size: int, begun: float, came: int) -> None:
        self.received += size
        self._heard(size)
        allowed = self._client.patience.answer_s + came / SLOWEST
        if time.monotonic() - begun > allowed:
            raise HeadstartError(f"{self._client.where} sends too slowly: {came} bytes in {allowed:.0f} s")
