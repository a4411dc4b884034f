"""What executors offered when they were last asked, so that a build which performs no step need not start them.

Knows nothing of REP, or of what else is in a key. It is presumed and never believed: before an executor performs
anything it is asked, and what it says then counts. Without the table it is asked at once.

Shapes:  JSON, `{"version": 1, "offers": {digest of the engine and the executor's files: capabilities}}`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import DiskRefused
from flowbuild.engine.engine import Capabilities
from flowbuild.store.files import atomic_write, ensure_directory

VERSION = 1
KEPT = 64  # offers, the newest


class _Table(msgspec.Struct):
    version: int
    offers: dict[str, Capabilities]


class Offers:
    """The table of one checkout. One that is not kept changes nothing on the disk."""

    def __init__(self, path: Path, *, is_kept: bool = True) -> None:
        self._path = path
        self._is_kept = is_kept
        self._offers: dict[str, Capabilities] = {}
        with suppress(OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError):  # derived: then it is empty
            found = msgspec.json.decode(path.read_bytes(), type=_Table)
            self._offers = found.offers if found.version == VERSION else {}

    def get(self, asked: Digest) -> Capabilities | None:
        """What was offered last."""
        return self._offers.get(asked)

    def note(self, asked: Digest, offer: Capabilities) -> None:
        """Remember what is offered now."""
        if self._offers.get(asked) == offer:
            return
        self._offers.pop(asked, None)
        self._offers = dict([*self._offers.items(), (asked, offer)][-KEPT:])
        if self._is_kept:
            with suppress(DiskRefused):  # derived
                ensure_directory(self._path.parent)
                atomic_write(self._path, msgspec.json.encode(_Table(VERSION, self._offers)) + b"\n")
