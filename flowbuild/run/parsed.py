"""Parsed files, kept between runs: a file whose bytes are the same is not parsed again.

Knows nothing of what documents mean. A file's digest comes from the stamps, so an unchanged one costs a stat.

Shapes:  one table, `<magic> <xxh3 of the body>` and a newline, then marshal of {path: (digest, document)}.
"""

from __future__ import annotations

import marshal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import xxhash

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import FlowError
from flowbuild.load.document import Parsed
from flowbuild.store.files import atomic_write, ensure_directory
from flowbuild.store.stamps import Stamps
from flowbuild.version import __version__

_MAGIC = f"flowbuild packages {__version__} {sys.implementation.cache_tag} ".encode()


class ParsedTable:
    """See `load.document.ParsedFiles`."""

    def __init__(self, path: Path, stamps: Stamps) -> None:
        self._path = path
        self._stamps = stamps
        self._rows: dict[str, tuple[str, Any]] = {}
        self._is_changed = False
        with suppress(OSError, ValueError, EOFError, TypeError):  # derived: a bad table is an empty one
            head, _, body = path.read_bytes().partition(b"\n")
            if head == _MAGIC + xxhash.xxh3_64_hexdigest(body).encode():
                self._rows = marshal.loads(body)

    def get(self, path: str) -> Parsed | None:
        row = self._rows.get(path)
        try:
            if row is not None and self._stamps.digest(Path(path))[0] == row[0]:
                return Parsed(row[1], Digest(row[0]))
        except FlowError:  # whoever reads it says what it is now
            pass
        return None

    def put(self, path: str, parsed: Parsed) -> None:
        self._rows[path] = (parsed.digest, parsed.doc)
        self._is_changed = True

    def drop(self, path: str) -> None:
        self._is_changed |= self._rows.pop(path, None) is not None

    def clear(self) -> None:
        """Forget every document."""
        self._rows, self._is_changed = {}, True

    def save(self) -> None:
        if self._is_changed:
            body = marshal.dumps({path: row for path, row in self._rows.items() if Path(path).exists()})
            ensure_directory(self._path.parent)
            atomic_write(self._path, _MAGIC + xxhash.xxh3_64_hexdigest(body).encode() + b"\n" + body)
