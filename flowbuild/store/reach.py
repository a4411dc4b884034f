"""What a store must keep: everything that is reached from what somebody names.

Knows nothing of journals or records but that digests stand in them as JSON texts. Approach: whatever looks like a
digest is one. Action documents, listings and snapshots are followed, and so is any other JSON object that an action
left. This keeps an object too many now and then, and never one too few; a new field of a document is followed without
anybody having thought of it.

Errors:  DiskRefused. An object that is damaged, or not there, leads nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from flowbuild.core.canonical import Digest
from flowbuild.store.cas import Cas
from flowbuild.store.refusal import refused

_DIGEST = re.compile(rb'"([0-9a-f]{64})"')
_BEGINNINGS = (b'{"', b'[{"')  # of canonical JSON that may name something


def named(data: bytes) -> set[Digest]:
    """The digests that a text names."""
    return {Digest(found.decode()) for found in _DIGEST.findall(data)}


def named_in(path: Path) -> set[Digest]:
    """The digests that a file names; none without the file."""
    with refused(path):
        try:
            return named(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return set()


def reached(cas: Cas, roots: Iterable[Digest]) -> set[Digest]:
    """The roots, and every object that they lead to."""
    found, todo = set[Digest](), set(roots)
    while todo:
        digest = todo.pop()
        found.add(digest)
        todo |= _below(cas, digest) - found
    return found


def _below(cas: Cas, digest: Digest) -> set[Digest]:
    """What an object names, if it is a document."""
    path = cas.path(digest)
    with refused(path):
        try:
            with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
                head = file.read(4)
                return named(head + file.read()) if head.startswith(_BEGINNINGS) else set()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return set()
