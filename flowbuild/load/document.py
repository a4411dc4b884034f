"""Files to documents, through a cache that the caller may keep between runs.

Knows nothing of what a document means, nor of how a cache tells that a file has not changed.

Shapes:  Parsed, a document and the digest of the very bytes that it was read from.
Errors:  FileNotFoundError for the caller, who knows what it means; DiskRefused for any other refusal; BadYaml.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import DiskRefused
from flowbuild.load.source import JSON, MAX_BYTES, parse
from flowbuild.store.refusal import refused


class Parsed(NamedTuple):
    """A document, and the SHA-256 of the file that says it."""

    doc: JSON
    digest: Digest


class ParsedFiles(Protocol):
    """Documents of earlier runs, by the absolute path of their file; None for one that is not known to be the same."""

    def get(self, path: str) -> Parsed | None: ...

    def put(self, path: str, parsed: Parsed) -> None: ...

    def drop(self, path: str) -> None:
        """Forget a document: it holds what may not be written."""


def parse_file(file: Path, shown: str, cache: ParsedFiles | None = None) -> Parsed:
    """The document of a file; `shown` is how messages name it. What is wrong is never put into the cache."""
    known = cache.get(str(file)) if cache is not None else None
    if known is not None:
        return known
    data = read_bytes(file, shown)
    parsed = Parsed(parse(data, shown), sha256(data))
    if cache is not None:
        cache.put(str(file), parsed)
    return parsed


def read_bytes(file: Path, shown: str) -> bytes:
    """The bytes of a regular file, and one byte beyond the limit when it is larger."""
    with refused(file):
        try:
            # Opening a pipe would wait for its writer.
            if not stat.S_ISREG(os.stat(file).st_mode):
                raise DiskRefused(f"{shown} is not a file")
            with open(file, "rb") as opened:
                return opened.read(MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            pass  # the caller knows what that means
    raise FileNotFoundError(shown)
