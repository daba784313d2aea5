"""Landlock: from here on this process, and whatever it starts, reaches only some folders; Linux 5.13 and later.

https://docs.kernel.org/userspace-api/landlock.html; the numbers are those of ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION, PATH_BENEATH = 1, 1
O_PATH = getattr(os, "O_PATH", 0)

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# What a version of it can forbid about files and folders: a bit each.
FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
# Version 4: to bind and to connect TCP sockets. Version 6: abstract sockets of, and signals to, who is outside.
NETWORK, SCOPES = 0b11, 0b11
# Of these rights, those that a single file can have.
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15


def version() -> int:
    """What the kernel has of it; 0 where it has nothing, or it is switched off."""
    return max(0, _call(CREATE_RULESET, None, 0, ASK_VERSION))


def restrict(readable: Sequence[str], writable: Sequence[str], listed: Sequence[str] = ()) -> bool:
    """Give up everything but reading (and loading libraries from) some paths, and reading and writing others.

    Of ``listed`` only the names of files can be read.

    Also TCP, and signals to processes outside, as far as the kernel can. ``no_new_privs`` must be set. Paths that are
    not there are left out.

    Returns:
        Whether it is in force.
    """
    found = version()
    if not found:
        return False
    handled = (1 << FILES.get(found, 16)) - 1
    fields = [handled, NETWORK if found >= 4 else 0, SCOPES if found >= 6 else 0]
    given = struct.pack("<3Q", *fields)[: 8 if found < 4 else 16 if found < 6 else 24]
    ruleset = _call(CREATE_RULESET, given, len(given), 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(ruleset, path, handled & (EXECUTE | READ_FILE | READ_DIR))
        for path in listed:
            _allow(ruleset, path, READ_DIR)
        for path in writable:
            _allow(ruleset, path, handled & ~EXECUTE)
        return _call(RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & OF_A_FILE
        _call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: bytes | int | None) -> int:
    """A system call of Landlock; -1 where it fails, or there is none such."""
    if not hasattr(os, "O_PATH"):
        return -1
    given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *given))
