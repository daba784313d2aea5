"""What an attacker does: sends bytes. What must come of it: reasons, and nothing that runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.tuning_db.claims import VENDOR, batch, key, known
from tuning_db.batch_format import PAYLOAD_TYPE
from tuning_db.envelope import sign
from tuning_db.keys import PublicKey
from tuning_db.reasons import LONGEST, Reason, Refused
from tuning_db.screening import Known, screen
from tuning_db.submission import check_replay, is_retry, open_batch, sign_batch

# Events of Python's audit hooks by which code would start, or leave a trace outside of the process.
RUNNING = (
    "exec", "compile", "import", "marshal.loads", "pickle.find_class", "code.__new__", "ctypes.dlopen",
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "pty.spawn", "socket.__new__",
    "os.rename", "os.remove", "os.mkdir", "os.chmod", "shutil.rmtree", "sqlite3.connect",
)  # fmt: skip
_watching: list[str] = []
_active = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and (event in RUNNING or (event == "open" and arguments[1] not in ("r", "rb", None))):
        _watching.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_watch)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """A block in which no code may be compiled, loaded or started and no file written."""
    global _active  # noqa: PLW0603
    _watching.clear()
    _active = True
    try:
        yield
    finally:
        _active = False
    assert _watching == []


def receive(
    data: bytes,
    keys: Mapping[PublicKey, str],
    holds: Known,
    nonces: Mapping[str, str] | None = None,
    contents: frozenset[str] = frozenset(),
) -> set[Reason]:
    """What a server does with a body before anything of it is stored; the reasons for which it is refused."""
    try:
        got, _ = open_batch(data, keys)
        if is_retry(got, nonces or {}):
            return set()
        check_replay(got, contents)
    except Refused as error:
        assert str(error).isascii() and str(error).isprintable() and len(str(error)) <= LONGEST
        return {error.reason}
    findings = screen(got, holds)
    assert all(finding.said.isascii() and finding.said.isprintable() for finding in findings)
    return {finding.reason for finding in findings if finding.reason.refuses}


def attack(data: bytes, **given: Any) -> set[Reason]:
    """As ``receive``, by a server that knows one vendor, while nothing may run."""
    whole: dict[str, Any] = {"keys": {key().public: VENDOR}, "holds": known()} | given
    # What is loaded on first use is loaded by an honest batch.
    assert receive(sign_batch(batch(), key()).dumps(), {key().public: VENDOR}, known()) == set()
    with nothing_runs():
        return receive(data, **whole)


def signed(payload: bytes) -> bytes:
    """An envelope of these bytes, whatever they are, rightly signed."""
    return sign(PAYLOAD_TYPE, payload, [key()]).dumps()
