"""Trying to break out of the sandbox: what ``headstart referee --check`` shows is what was tried, not what is hoped.

Each probe runs in a sandbox as claims do, and does there what a hostile kernel might.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuner.child import WorkerLost
from tuner.referee.sandbox import Limits, Sandbox
from tuning_db.records import Status

SECRET = "HEADSTART_PROBE"


@dataclass(frozen=True)
class Held:
    """What came of a probe.

    Attributes:
        name: what must not be possible.
        holds: whether it was not.
        how: what happened.
    """

    name: str
    holds: bool
    how: str


def check(confined: bool = True) -> tuple[dict[str, bool], list[Held]]:
    """Try everything.

    Returns:
        By layer whether it is in force, and what came of each probe.

    Raises:
        HeadstartError: there is no sandbox to be had.
    """
    with _surroundings() as around, Sandbox([], [], Limits(), confined) as box:
        found = []
        for probe, name in NAMES.items():
            answer = box.request("probe", 30.0, probe=probe, around=around)
            found.append(Held(name, answer["holds"], answer["how"]))
        layers = box.layers
    return layers, [*found, _endless(confined)]


NAMES = {
    "connect": "no connection to this machine",
    "internet": "no connection to another machine",
    "unix": "no connection by a file",
    "allocate": "no memory beyond the limit",
    "write": "no file written outside the scratch folder",
    "scratch": "files in the scratch folder",
    "read": "no private file read",
    "environment": "no secret of the environment",
    "process": "no other process",
    "signal": "no signal to another process",
}


@contextmanager
def _surroundings() -> Iterator[dict[str, Any]]:
    """What there is to reach: sockets that listen, a private file, a folder, a secret."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(f"{folder}/socket")
        unix.listen()
        private = Path(folder) / "private"
        private.write_text("secret")
        private.chmod(0o600)
        os.environ[SECRET] = "secret"
        try:
            yield {"folder": folder, "port": tcp.getsockname()[1], "parent": os.getpid()}
        finally:
            del os.environ[SECRET]


def _endless(confined: bool) -> Held:
    """Whether a loop without end is ended, from outside by the clock."""
    with Sandbox([], [], replace(Limits(), run=1.0), confined) as box:
        try:
            box.request("probe", 1.0, probe="spin", around={})
        except WorkerLost as lost:
            return Held("no loop without end", lost.status is Status.TIMEOUT, str(lost))
    return Held("no loop without end", False, "it ended by itself")


def run(probe: str, around: dict[str, Any]) -> dict[str, Any]:
    """Do what a probe does, in the sandbox: whether it failed as it should, and how."""
    try:
        said = INSIDE[probe](around)
    except MemoryError:
        return {"holds": True, "how": "out of memory"}
    except OSError as error:
        return {"holds": True, "how": errno.errorcode.get(error.errno or 0, str(error))}
    expected = probe in ("scratch", "environment")
    return {"holds": expected and not said.startswith("found"), "how": said}


def _connect(around: dict[str, Any]) -> str:
    socket.create_connection(("127.0.0.1", around["port"]), 5).close()
    return "connected"


def _internet(around: dict[str, Any]) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        # A datagram to an address of RFC 5737, which nobody has: it is refused before it would leave.
        made.sendto(b"", ("192.0.2.1", 9))
    return "sent"


def _unix(around: dict[str, Any]) -> str:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect(f"{around['folder']}/socket")
    return "connected"


def _allocate(around: dict[str, Any]) -> str:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return "there is no limit"
    held = bytearray(limit)
    return f"{len(held)} bytes"


def _write(around: dict[str, Any]) -> str:
    Path(around["folder"], "written").write_text("here")
    return "written"


def _scratch(around: dict[str, Any]) -> str:
    Path("written").write_text("here")
    return "written"


def _read(around: dict[str, Any]) -> str:
    return "read: " + Path(around["folder"], "private").read_text()


def _environment(around: dict[str, Any]) -> str:
    if SECRET in os.environ:
        return "found in its own environment"
    with suppress(OSError):
        Path(f"/proc/{around['parent']}/environ").read_bytes()
        return "found that the referee's can be read"
    return "not there"


def _process(around: dict[str, Any]) -> str:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "started"


def _signal(around: dict[str, Any]) -> str:
    os.kill(around["parent"], 0)
    return "delivered"


def _reopen(around: dict[str, Any]) -> str:
    """Write to inputs, which are only for reading: by another descriptor of the same memory."""
    with open(f"/proc/self/fd/{around['descriptor']}", "r+b", buffering=0) as file:
        file.write(b"x")
    return "written"


def _spin(around: dict[str, Any]) -> str:
    while True:
        pass


INSIDE: dict[str, Callable[[dict[str, Any]], str]] = {
    "connect": _connect,
    "internet": _internet,
    "unix": _unix,
    "allocate": _allocate,
    "write": _write,
    "scratch": _scratch,
    "read": _read,
    "environment": _environment,
    "process": _process,
    "signal": _signal,
    "reopen": _reopen,
    "spin": _spin,
}
