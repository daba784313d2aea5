"""A filter of system calls: no sockets, no processes, nothing that reaches into other processes or the kernel.

What a kernel and its compiler need is memory, threads, and reading files; of the rest, what could carry something out
or bring harm is refused with EPERM. The filter holds for every thread that is started afterwards, and cannot be taken
back. It is classic BPF, see the kernel's ``Documentation/userspace-api/seccomp_filter.rst``; numbers of calls are
those of ``asm/unistd_64.h`` for x86-64 and ``asm-generic/unistd.h`` for AArch64 and RISC-V.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# Refused whatever their arguments: x86-64, then the others.
CALLS: dict[str, tuple[int, int]] = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "recvfrom": (45, 207), "recvmsg": (47, 212), "recvmmsg": (299, 243),
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, -1), "vfork": (58, -1),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "process_madvise": (440, 440),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "tkill": (200, 130),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "mknod": (133, -1), "mknodat": (259, 33),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "seccomp": (317, 277),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "personality": (135, 92),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
# Signals and limits are for this process only, which their first argument names.
OWN = {"kill": (62, 129), "tgkill": (234, 131)}
LIMITS = (302, 261)
CLONE, CLONE3 = (56, 220), (435, 435)
CLONE_THREAD = 0x10000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
# Calls of x86-64 with this bit are those of the x32 interface.
X32 = 0x40000000

LOAD, EQUAL, AT_LEAST, ANY, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16
SET_FILTER = 1


def program(machine: str, process: int) -> list[tuple[int, int, int, int]] | None:
    """The filter, an instruction ``(code, jump if true, jump if false, operand)`` each; None for an unknown machine.

    Args:
        machine: as ``platform.machine`` has it.
        process: id of the process that it is for.
    """
    if machine not in ARCHITECTURES or sys.byteorder != "little":
        return None
    at = 0 if machine == "x86_64" else 1
    refuse = (RETURN, 0, 0, ERROR | errno.EPERM)
    made = [
        *[(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURES[machine]), (RETURN, 0, 0, KILL)],
        (LOAD, 0, 0, NUMBER),
    ]
    if machine == "x86_64":
        made += [(AT_LEAST, 0, 1, X32), refuse]
    for numbers in CALLS.values():
        if numbers[at] >= 0:
            made += [(EQUAL, 0, 1, numbers[at]), refuse]
    # The C library falls back to the older call, whose flags can be looked at.
    made += [(EQUAL, 0, 1, CLONE3[at]), (RETURN, 0, 0, ERROR | errno.ENOSYS)]
    made += [(EQUAL, 0, 4, CLONE[at]), (LOAD, 0, 0, FIRST), (ANY, 1, 0, CLONE_THREAD), refuse, (RETURN, 0, 0, ALLOW)]
    for numbers in OWN.values():
        made += [(EQUAL, 0, 4, numbers[at]), (LOAD, 0, 0, FIRST), (EQUAL, 1, 0, process), refuse, (RETURN, 0, 0, ALLOW)]
    # Of limits, process 0 is one's own too.
    found = LIMITS[at]
    made += [(EQUAL, 0, 5, found), (LOAD, 0, 0, FIRST), (EQUAL, 2, 0, 0), (EQUAL, 1, 0, process), refuse]
    made += [(RETURN, 0, 0, ALLOW)]
    return [*made, (RETURN, 0, 0, ALLOW)]


def restrict() -> bool:
    """Put the filter in force for this process, which has one thread; ``no_new_privs`` must be set.

    Returns:
        Whether it is.
    """
    made = program(platform.machine(), os.getpid()) if platform.system() == "Linux" else None
    if made is None:
        return False
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in made)
    held = ctypes.create_string_buffer(code, len(code))
    whole = struct.pack("<HxxxxxxQ", len(made), ctypes.addressof(held))
    prctl_seccomp, filter_mode = 22, 2
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return int(prctl(prctl_seccomp, ctypes.c_ulong(filter_mode), ctypes.c_char_p(whole), 0, 0)) == 0
