"""The kernel's door: system calls that Python's library lacks, through ctypes.

Knows nothing of policies: it calls, and a refusal is an OSError that holds the kernel's errno. Restricting calls bind
the calling thread, or only it; so they belong in a process that has one.

Errors:  OSError as the kernel answers; ENOSYS where the platform has no such call.
Source:  prctl(2), capabilities(7), unshare(2), user_namespaces(7); `linux/prctl.h`, `linux/capability.h`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from functools import cache

IS_LINUX = sys.platform.startswith("linux")

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_CAPABILITY_VERSION_3 = 0x20080522
_LAST_POSSIBLE_CAPABILITY = 63


@cache
def libc() -> ctypes.CDLL:
    """The C library that this interpreter is linked to."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, name: str) -> int:
    """The result of a call, or its errno as an OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """A raw system call. Integers are passed as full words, bytes as a pointer to them, None as a null pointer."""
    if not IS_LINUX:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), f"system call {number}")
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return checked(libc().syscall(ctypes.c_long(number), *words), f"system call {number}")


def prctl(option: int, *arguments: int) -> int:
    """prctl(2). Absent arguments are zero, as most options demand."""
    if not IS_LINUX:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), f"prctl {option}")
    words = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(libc().prctl(ctypes.c_int(option), *words), f"prctl {option}")


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which forked it, ends; at once if it has ended already.

    A fork forgets this, and so do some changes of credentials: arm it in the child, and again after those.
    """
    if IS_LINUX:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Have descendants whose parents end become children of this process, so that it can wait for all of them."""
    if IS_LINUX:
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    """From here on no exec of this process or its children gains a privilege."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability, for this process and what it execs."""
    for capability in range(_LAST_POSSIBLE_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # past the last one; or nothing may be dropped, and then the sets below are what counts
            break
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    checked(libc().capset(header, sets), "capset")


def unshare(flags: int) -> None:
    """unshare(2): leave namespaces and enter new ones."""
    checked(libc().unshare(ctypes.c_int(flags)), "unshare")


def leave_network() -> None:
    """Enter a network namespace whose only interface is a loopback that is down.

    With the privilege to do so, nothing else changes. Without it, a user namespace comes first, in which this user
    and group keep their numbers.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{user} {user} 1")
        _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def variable(name: str) -> bytes | None:
    """The value of an environment variable as the C library sees it, not Python's copy of it."""
    getenv = libc().getenv
    getenv.restype = ctypes.c_char_p
    found: bytes | None = getenv(name.encode())
    return found


def clear_environment() -> None:
    """Remove every variable from this process's environment, in Python's copy and in the C library's."""
    os.environ.clear()
    if IS_LINUX:
        checked(-1 if libc().clearenv() else 0, "clearenv")
