"""What the processes of a host share that is neither file nor socket: System V memory, message queues, a key ring.

Knows nothing of channels. Something is planted in each, and reached from another process by its name.

Errors:  OSError as the kernel answers; ENOSYS where the system has no such thing, or its call has no number here.
Source:  shmget(2), mq_overview(7), keyrings(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator, Mapping

from flowbuild.engine import seccomp
from flowbuild.engine.syscalls import IS_LINUX, checked, libc, syscall

MEMORY, QUEUE, KEY = "memory-shared", "queue-message", "keyring"

_IPC_CREAT, _IPC_EXCL, _IPC_RMID = 0o1000, 0o2000, 0
_USER_KEYRING = -4
_SEARCH, _UNLINK = 10, 9


@contextlib.contextmanager
def planted() -> Iterator[Mapping[str, str]]:
    """The names of what is planted. What a host has not, it is not asked for: reaching it fails anyway."""
    number = int.from_bytes(os.urandom(3)) + 1
    names = {MEMORY: str(number), QUEUE: f"flowbuild-{number}", KEY: f"flowbuild:{number}"}
    with contextlib.ExitStack() as stack:
        for plant in (_memory, _queue, _key):
            with contextlib.suppress(OSError):
                stack.enter_context(plant(names))
        yield names


def reach(kind: str, name: str) -> None:
    """Get hold of what is planted."""
    if kind == MEMORY:
        checked(libc().shmget(ctypes.c_int(int(name)), ctypes.c_size_t(0), 0), "shmget")
    elif kind == QUEUE:
        os.close(_call("mq_open", name.encode(), os.O_RDONLY, 0, None))
    else:
        _call("keyctl", _SEARCH, _USER_KEYRING, b"user", name.encode(), 0)


@contextlib.contextmanager
def _memory(names: Mapping[str, str]) -> Iterator[None]:
    flags = ctypes.c_int(_IPC_CREAT | _IPC_EXCL | 0o600)
    found = checked(libc().shmget(ctypes.c_int(int(names[MEMORY])), ctypes.c_size_t(1), flags), "shmget")
    try:
        yield
    finally:
        libc().shmctl(found, _IPC_RMID, None)


@contextlib.contextmanager
def _queue(names: Mapping[str, str]) -> Iterator[None]:
    name = names[QUEUE].encode()
    os.close(_call("mq_open", name, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600, None))
    try:
        yield
    finally:
        _call("mq_unlink", name)


@contextlib.contextmanager
def _key(names: Mapping[str, str]) -> Iterator[None]:
    found = _call("add_key", b"user", names[KEY].encode(), b"planted", 7, _USER_KEYRING)
    try:
        yield
    finally:
        _call("keyctl", _UNLINK, found, _USER_KEYRING)


def _call(name: str, *arguments: int | bytes | None) -> int:
    try:
        if IS_LINUX:
            return syscall(seccomp.architecture().calls[name], *arguments)
    except seccomp.Unsupported:
        pass
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
