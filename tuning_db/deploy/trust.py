"""What a repository offers, trusted as far as The Update Framework carries.

python-tuf's ``ngclient`` does the judging: signatures against thresholds, versions that only grow, expiry, lengths and
digests, snapshots that fit together, keys that change only with the consent of the old ones. Here is where it starts
from (a root that was given, or the one that was seen first), and what its refusals mean in plain words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets.digest import digest
from targets.errors import HeadstartError, MissingExtra, one_line
from tuning_db.client import Client, ServiceError, at
from tuning_db.deploy.cache import Cache
from tuning_db.deploy.fetcher import Fetcher
from tuning_db.files import whole_file
from tuning_db.published import SHA256, Address, BundleFile
from tuning_db.reasons import printable
from tuning_db.repository.metadata import MAX_ROOT

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface, Updater

ROLES = ("root", "timestamp", "snapshot", "targets", "champions")


@dataclass(frozen=True)
class Told:
    """What a pull says as it goes.

    Attributes:
        say: told lines for people.
        heard: told how many bytes came.
        expected: told how many more bytes there are to come.
        doing: told in a few words what it is at.
    """

    say: Callable[[str], None] = lambda line: None
    heard: Callable[[int], None] = lambda size: None
    expected: Callable[[int], None] = lambda size: None
    doing: Callable[[str], None] = lambda what: None


class Repository:
    """A repository that was refreshed: what it says now is trusted. Make one with ``repository``.

    Attributes:
        root: SHA-256 of the root that trust starts from.
        fetcher: what counts bytes and requests.
    """

    def __init__(
        self, updater: Updater, fetcher: Fetcher, cache: Cache, folder: Path, where: str, root: str, told: Told
    ) -> None:
        self.root, self.fetcher = root, fetcher
        self._updater, self._cache, self._folder, self._where, self._told = updater, cache, folder, where, told

    def versions(self) -> dict[str, int]:
        """The version of each role's metadata that is trusted."""
        return {role: int(signed.version) for role in ROLES if (signed := self._signed(role)) is not None}

    def check_versions(self, seen: Mapping[str, int]) -> None:
        """Hold against it what was seen before, by whoever wrote a lock file.

        Raises:
            HeadstartError: it went back to something older.
        """
        now = self.versions()
        for role, version in seen.items():
            if role in now and now[role] < version:
                raise HeadstartError(
                    f"{self._where} went back to something older than the lock file is from: {role} is version "
                    f"{now[role]} and was {version}: refused"
                )

    def addresses(self) -> tuple[set[Address], set[Address]]:
        """Where it has selections, and where bundles that were built."""
        with self._plainly():
            # Any path of the role makes the client fetch and judge it.
            self._updater.get_targetinfo("champions/-/-/-/-/-.json")
        selections: set[Address] = set()
        prebuilt: set[Address] = set()
        for role in ("targets", "champions"):
            for path in getattr(self._signed(role), "targets", ()):
                if found := Address.parse(path):
                    (selections if path == found.selection else prebuilt).add(found)
        return selections, prebuilt

    def read(self, path: str, most: int) -> bytes:
        """A small file.

        Raises:
            HeadstartError: there is none, it is longer than ``most`` bytes, or not what was signed.
        """
        sha256, length = self._info(path)
        if length > most:
            raise HeadstartError(f"{self._where}: {path} has {length} bytes, and may have {most}")
        self._fetch(path, sha256, length)
        data = self._cache.read(sha256, most)
        if data is None:
            raise HeadstartError(f"the cache in {self._cache.folder} changes while it is used; try again")
        return data

    def has(self, path: str) -> bool:
        """Whether there is a file of this path."""
        with self._plainly():
            return self._updater.get_targetinfo(path) is not None

    def fetch(self, path: str, sha256: str, length: int) -> None:
        """Bring a file into the cache, unless it is there.

        Raises:
            HeadstartError: there is none, it is another one than was asked for, or not what was signed.
        """
        if self._info(path) != (sha256, length):
            raise HeadstartError(f"{self._where}: {path} is not the file of {length} bytes that it is said to be")
        self._fetch(path, sha256, length)

    def _info(self, path: str) -> tuple[str, int]:
        with self._plainly():
            info = self._updater.get_targetinfo(path)
        if info is None:
            raise HeadstartError(f"{self._where} has no {path}")
        try:
            return SHA256(info.hashes.get("sha256")), info.length
        except ValueError as error:
            raise HeadstartError(f"{self._where}: {path}: what was signed {error}") from None

    def _fetch(self, path: str, sha256: str, length: int) -> None:
        if not self._cache.lacks(BundleFile(sha256, length)):
            return
        with self._plainly():
            info = self._updater.get_targetinfo(path)
            assert info is not None
            with self._cache.temporary() as file:
                try:
                    with self.fetcher.expecting(sha256, length):
                        self._updater.download_target(info, str(file))
                except HeadstartError:
                    raise  # the network: what came is kept
                except Exception:
                    self._cache.drop(sha256)
                    raise
                self._cache.keep(file, sha256)
            self._cache.drop_part(sha256)

    def _signed(self, role: str) -> Any:
        """What a role's metadata says; it was judged when it was written. None where there is none."""
        from tuf.api.metadata import Metadata

        path = self._folder / f"{role}.json"
        return Metadata[Any].from_file(str(path)).signed if path.exists() else None

    def _plainly(self) -> Any:
        return plainly(self._where)


@contextmanager
def repository(
    client: Client, release: str, cache: Cache, root: bytes | None, known: str | None, told: Told
) -> Iterator[Repository]:
    """A repository of a service, refreshed.

    Args:
        client: of the service.
        release: whose repository.
        cache: where metadata and files are kept.
        root: root metadata to start trust from; None to start from what was trusted before, or else is seen first.
        known: SHA-256 of the root that a lock file starts from; nothing else is then trusted at first sight.
        told: what to say as it goes.

    Raises:
        HeadstartError: no such repository, or one that is not to be trusted; the message says why.
        MissingExtra: python-tuf is not installed.
    """
    try:
        from tuf.ngclient import Updater
    except ModuleNotFoundError:
        raise MissingExtra("pulling from a service", "client") from None
    base, where = at("repositories", release), f"{client.where}, repository {release}"
    whole = cache.folder / "repositories" / digest("r", f"{client.where} {release}")
    with cache.locked(whole, lambda: told.say("another pull from there is running; waiting for it")):
        fetcher = Fetcher(client, cache, whole, told.heard)
        with plainly(where, release):
            anchor = root or _anchor(whole, known) or _first(fetcher, base)
            fingerprint = hashlib.sha256(anchor).hexdigest()
            if known is not None and fingerprint != known:
                raise HeadstartError(
                    f"{where} starts from another root ({fingerprint}) than the lock file ({known}): refused. If its "
                    "keys were made anew, ask its operator, and give the new root with --root"
                )
            folder = whole / fingerprint[:16]
            folder.mkdir(exist_ok=True)
            fetcher.folder = folder
            updater = Updater(
                str(folder),
                f"{base}/metadata/",
                target_base_url=f"{base}/targets/",
                fetcher=_transport(fetcher),
                bootstrap=anchor,
            )
            updater.refresh()
            if root is None and known is None and _anchor(whole, None) is None:
                told.say(
                    f"trusting {where} on first use: its root has SHA-256 {fingerprint}; compare that with what its "
                    "operator says, or give the root with --root"
                )
            if _anchor(whole, None) != anchor:
                with whole_file(whole / "anchor.root.json") as file:
                    file.write_bytes(anchor)
        yield Repository(updater, fetcher, cache, folder, where, fingerprint, told)


def _anchor(folder: Path, known: str | None) -> bytes | None:
    """The root that was trusted before; None where there is none, or another than is known."""
    try:
        data = (folder / "anchor.root.json").read_bytes()
    except OSError:
        return None
    return data if known in (None, hashlib.sha256(data).hexdigest()) else None


def _first(fetcher: Fetcher, base: str) -> bytes:
    """The first root of a repository, by its own word."""
    data = b"".join(fetcher.fetch(f"{base}/metadata/1.root.json"))
    if len(data) > MAX_ROOT:
        raise HeadstartError("its root is too long")
    return data


def _transport(fetcher: Fetcher) -> FetcherInterface:
    """The fetcher as python-tuf takes one."""
    from tuf.ngclient import FetcherInterface

    class Transport(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            return fetcher.fetch(url)

    return Transport()


@contextmanager
def plainly(where: str, release: str = "") -> Iterator[None]:
    """What python-tuf refuses, in a line of plain words.

    Raises:
        HeadstartError: it does not trust something.
    """
    from tuf.api import exceptions

    try:
        yield
    except (HeadstartError, ServiceError):
        raise
    except exceptions.DownloadHTTPError as error:
        if release:
            raise HeadstartError(f"{where}: there is none that is open to you") from None
        raise HeadstartError(f"{where} lacks what it says that it has: {printable(str(error))}") from None
    except exceptions.DownloadLengthMismatchError as error:
        raise HeadstartError(f"{where} sends more than was signed: refused ({printable(str(error))})") from None
    except exceptions.LengthOrHashMismatchError as error:
        raise HeadstartError(f"{where} sends something else than was signed: refused ({one_line(error)})") from None
    except exceptions.ExpiredMetadataError as error:
        raise HeadstartError(
            f"{where}: what it signed has expired ({one_line(error)}): refused, since it may hide what is newer. Its "
            "operator has to sign again, unless the clock of this machine is wrong"
        ) from None
    except exceptions.BadVersionNumberError as error:
        raise HeadstartError(
            f"{where} went back to something older than was seen: refused ({one_line(error)})"
        ) from None
    except exceptions.UnsignedMetadataError as error:
        raise HeadstartError(
            f"{where} is not signed by the keys that it should be: refused ({one_line(error)})"
        ) from None
    except (exceptions.RepositoryError, exceptions.DownloadError, ValueError) as error:
        raise HeadstartError(f"{where} is not a repository as it should be: refused ({one_line(error)})") from None
