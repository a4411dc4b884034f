"""Journals to damage: written by hand, line by line, each with a checksum that holds.

Knows nothing of pytest. What is damaged below the checksum is damaged with bytes; what is damaged above it, with these.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def line(envelope: dict[str, Any]) -> bytes:
    """One line of a journal. The checksum is made as docs/formats/journal.md tells it, not as the program does."""
    bare = {key: value for key, value in envelope.items() if key != "crc"}
    return _text({**bare, "crc": f"{zlib.crc32(_text(bare)):08x}"}) + b"\n"


def _text(doc: dict[str, Any]) -> bytes:
    """Sorted and without spaces, like the canonical form, whatever the numbers."""
    return json.dumps(doc, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def envelopes(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal as they stand there."""
    return [json.loads(one) for one in path.read_bytes().splitlines()]


def write(path: Path, found: Iterable[dict[str, Any]]) -> None:
    """Write a journal, each line with its checksum."""
    path.write_bytes(b"".join(map(line, found)))
