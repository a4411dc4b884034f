"""What this kernel lets a process take from itself: each mechanism tried alone, and a canary sent after it.

Knows nothing of restrictions or policies; the preflight says what those come to. Each trial is a child of its own,
which takes the restriction and ends, so the caller stays as it is. The caller has one thread.

Shapes:  Trial. enforced: the canary was refused; that of a namespace looks whether it is another one. unavailable: the
         kernel refused the mechanism, with an errno; or the canary got through, and then there is none.
Errors:  none: what the kernel says is the answer.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from flowbuild.engine import landlock, seccomp, syscalls
from flowbuild.engine.restrict import ENFORCED, UNAVAILABLE

_THROUGH, _BROKE = 254, 255  # no errno is as large


class Trial(NamedTuple):
    """What one mechanism came to."""

    name: str
    status: str
    errno_name: str | None = None
    abi: int | None = None


def trials() -> list[Trial]:
    """Every mechanism of this system; macOS has one, which the preflight tries."""
    return list(_linux()) if sys.platform.startswith("linux") else []


def _linux() -> Iterator[Trial]:
    try:
        abi = landlock.version()
    except OSError:
        abi = None
    yield _tried("landlock", lambda: _landlock(abi or 1), abi)
    yield _tried("seccomp", _seccomp)
    yield _tried("network-namespace", lambda: _namespace("net", syscalls.leave_network))
    yield _tried("user-namespace", lambda: _namespace("user", lambda: syscalls.unshare(syscalls.CLONE_NEWUSER)))


def _landlock(abi: int) -> Callable[[], object]:
    syscalls.forbid_new_privileges()
    landlock.restrict_self(landlock.Ruleset(files=landlock.READ_DIR), abi)
    return lambda: os.listdir("/")


def _seccomp() -> Callable[[], object]:
    syscalls.forbid_new_privileges()
    try:
        seccomp.install([seccomp.refuse("socket")])
    except seccomp.Unsupported:
        raise OSError(errno.ENOSYS, "no table of system calls") from None
    return lambda: socket.socket(socket.AF_UNIX)


def _namespace(kind: str, leave: Callable[[], None]) -> Callable[[], object]:
    before = os.readlink(f"/proc/self/ns/{kind}")
    leave()

    def canary() -> None:
        if os.readlink(f"/proc/self/ns/{kind}") != before:
            raise PermissionError

    return canary


def _tried(name: str, act: Callable[[], Callable[[], object]], abi: int | None = None) -> Trial:
    """Take a restriction in a child, then send the canary that it returns; both answers are errnos."""
    child = os.fork()
    if child == 0:
        os._exit(_answer(act))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    number = None if code in (0, _THROUGH, _BROKE) or code < 0 else code
    return Trial(name, UNAVAILABLE if code else ENFORCED, errno.errorcode.get(number or 0), abi)


def _answer(act: Callable[[], Callable[[], object]]) -> int:
    try:
        try:
            canary = act()
        except OSError as error:
            return error.errno or _BROKE
        try:
            canary()
        except OSError:
            return 0
        return _THROUGH
    except BaseException:
        return _BROKE
