"""seccomp: a process installs a filter that answers some of its own system calls in the kernel's place.

Knows nothing of profiles. A filter sees numbers and plain arguments, never what a pointer points to. A call of a
foreign architecture (32-bit on 64-bit, x32) answers ENOSYS, so that no second entrance stays open.

Shapes:  a filter is classic BPF, 8 bytes an instruction, read from top to bottom.
Errors:  Unsupported for an architecture without a table here; OSError: EINVAL not built or refused by an outer filter,
         EACCES without no_new_privs.
Source:  seccomp(2); `linux/seccomp.h`, `linux/audit.h`, each architecture's `unistd.h`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from flowbuild.engine.syscalls import PR_SET_SECCOMP, prctl

_MODE_FILTER = 2
_ALLOW, _ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data; the low word of the argument
_LOAD, _RETURN, _IF_EQUAL, _IF_AT_LEAST = 0x20, 0x06, 0x15, 0x35
_X32 = 0x40000000


class Unsupported(Exception):
    """This architecture has no table of system call numbers here."""


class Architecture(NamedTuple):
    """An audit number and the numbers of the calls that our policies name. A test asserts that all rows are total."""

    audit: int
    calls: dict[str, int]


ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000003E,
        {
            **{"socket": 41, "socketpair": 53, "execve": 59, "execveat": 322},
            **{"kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297},
            **{"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_getfd": 438, "ptrace": 101},
            **{"prctl": 157, "unshare": 272, "truncate": 76},
            **{"shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220},
            **{"msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241},
            **{"add_key": 248, "request_key": 249, "keyctl": 250},
        },
    ),
    "aarch64": Architecture(
        0xC00000B7,
        {
            **{"socket": 198, "socketpair": 199, "execve": 221, "execveat": 281},
            **{"kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240},
            **{"pidfd_send_signal": 424, "io_uring_setup": 425, "pidfd_getfd": 438, "ptrace": 117},
            **{"prctl": 167, "unshare": 97, "truncate": 45},
            **{"shmget": 194, "shmat": 196, "shmctl": 195, "semget": 190, "semop": 193, "semctl": 191},
            **{"semtimedop": 192, "msgget": 186, "msgsnd": 189, "msgrcv": 188, "msgctl": 187},
            **{"mq_open": 180, "mq_unlink": 181, "add_key": 217, "request_key": 218, "keyctl": 219},
        },
    ),
}


class Rule(NamedTuple):
    """How one call is answered: for one first argument `only`, or for all but the one to `spare`; never both."""

    call: str | int
    answer: int
    only: int | None = None
    spare: int | None = None


def refuse(call: str | int, number: int = errno.EACCES, *, only: int | None = None, spare: int | None = None) -> Rule:
    """A rule that answers a call with an errno."""
    return Rule(call, _ERRNO | number, only, spare)


def architecture() -> Architecture:
    """The table of this process's own architecture."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES or sys.maxsize < 2**32:
        raise Unsupported(machine)
    return ARCHITECTURES[machine]


def require() -> None:
    """Raise unless a filter can be installed: the kernel looks at the (null) program only after it knows the mode."""
    architecture()
    try:
        prctl(PR_SET_SECCOMP, _MODE_FILTER, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise


def program(rules: Sequence[Rule], arch: Architecture) -> bytes:
    """The filter of some rules, as the kernel reads it. The first rule that fits a call answers it."""
    foreign = _step(_RETURN, _ERRNO | errno.ENOSYS)
    steps = [_step(_LOAD, _ARCHITECTURE), _step(_IF_EQUAL, arch.audit, 1, 0), foreign]
    steps += [_step(_LOAD, _NUMBER), _step(_IF_AT_LEAST, _X32, 0, 1), foreign]
    for rule in rules:
        answer = [_step(_RETURN, rule.answer)]
        argument = rule.spare if rule.only is None else rule.only
        if argument is not None:
            test = _step(_IF_EQUAL, argument, *((1, 0) if rule.only is None else (0, 1)))
            # the argument is loaded over the number, which has to come back for the next rule
            answer = [_step(_LOAD, _FIRST_ARGUMENT), test, *answer, _step(_LOAD, _NUMBER)]
        number = rule.call if isinstance(rule.call, int) else arch.calls[rule.call]
        steps += [_step(_IF_EQUAL, number, 0, len(answer)), *answer]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def install(rules: Sequence[Rule]) -> None:
    """Install a filter on the calling thread, for good. Needs no_new_privs, or privilege."""
    code = program(rules, architecture())
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
