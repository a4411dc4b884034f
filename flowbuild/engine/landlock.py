"""Landlock: a process gives up file, port and signal rights for itself and its children, without privilege.

Knows nothing of profiles. It stops no stat, chmod, utime, xattr, chdir or path socket, and nothing that goes through a
descriptor opened before; its port rules see TCP only. Any Landlock domain also stops ptrace of processes outside it.

Shapes:  rights are bits, as the kernel numbers them. A grant reaches everything beneath its path.
Errors:  OSError: ENOSYS not built, EOPNOTSUPP not enabled, EPERM without no_new_privs, E2BIG a 17th layer.
Source:  landlock(7); `linux/landlock.h`.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import NamedTuple

from flowbuild.engine.syscalls import syscall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # the other rights exist on directories only

BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPE_SIGNAL = 1 << 1

TRUNCATE_SINCE, TCP_SINCE, SCOPE_SINCE = 3, 4, 6

_VERSION = 1
_PATH_BENEATH = 1
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}


class Grant(NamedTuple):
    """What stays allowed beneath a path."""

    path: str
    rights: int


class Ruleset(NamedTuple):
    """What a process gives up (`files`, `ports`, `scope`), but for the grants."""

    files: int = 0
    ports: int = 0
    scope: int = 0
    grants: tuple[Grant, ...] = ()


def version() -> int:
    """The Landlock ABI of this kernel, as far as this process may use it."""
    return syscall(CREATE_RULESET, None, 0, _VERSION)


def file_rights(abi: int) -> int:
    """Every file right that an ABI knows, of those that this module knows."""
    return _FILE_RIGHTS[min(abi, max(_FILE_RIGHTS))]


def restrict_self(ruleset: Ruleset, abi: int) -> None:
    """Apply a ruleset to the calling thread, for good."""
    words = (
        [ruleset.files]
        + ([ruleset.ports] if abi >= TCP_SINCE else [])
        + ([ruleset.scope] if abi >= SCOPE_SINCE else [])
    )
    attributes = struct.pack(f"={len(words)}Q", *words)
    descriptor = syscall(CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for grant in ruleset.grants:
            _grant(descriptor, grant, ruleset.files)
        syscall(RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _grant(ruleset: int, grant: Grant, handled: int) -> None:
    descriptor = os.open(grant.path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = grant.rights & handled
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ON_FILES
        if rights:  # an empty grant is refused, and grants nothing anyway
            syscall(ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)
