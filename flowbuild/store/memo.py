"""The memo: what is already known about an action key.

Knows nothing of labels, engines or policies, nor whether the outputs are still in the store. Derived: delete it and
it is folded anew from journals. Several processes append to one memo; each reads what the others added before it adds
its own.

The first intact record of a key wins: who comes later has made the same, and adds nothing. A record with
`"replaces":true` wins over those before it; it is written when what the earlier one names is gone from the store.
A line that is torn or damaged is skipped and counted, and the next record starts on a line of its own.

Shapes:  eight hex digits of the CRC-32 of the JSON, a space, and canonical JSON
         {"action","channel","outputs","replaces"?,"run_id","wall_ms"}, `outputs` being name: artifact.
Errors:  DiskRefused. A damaged record is an unknown one, never an error.
Source:  constructive traces (Mokhov, Mitchell, Peyton Jones 2018).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flowbuild.core.canonical import Digest, canonical
from flowbuild.core.errors import StoreCorrupt
from flowbuild.store.draft import Draft, write_all
from flowbuild.store.lock import hold, is_named
from flowbuild.store.refusal import refused
from flowbuild.store.tree import Artifact

# A line begins `xxxxxxxx {"action":"<64 hex>"`: "action" is the first key of the canonical form.
_JSON, _ACTION, _ACTION_END = 9, 20, 84
_REPLACES = b'"replaces":true,'  # can't stand inside a string, where its quotes would be escaped


@dataclass(frozen=True, slots=True)
class Record:
    """What an action came to: the outputs, and which run and channel made them, in how much time."""

    action: Digest
    channel: str
    outputs: Mapping[str, Artifact]
    run_id: str
    wall_ms: int
    replaces: bool = False

    def doc(self) -> dict[str, Any]:
        doc = {
            "action": self.action,
            "channel": self.channel,
            "outputs": {name: artifact.doc() for name, artifact in self.outputs.items()},
            "run_id": self.run_id,
            "wall_ms": self.wall_ms,
        }
        return doc | {"replaces": True} if self.replaces else doc

    @classmethod
    def from_doc(cls, doc: Any) -> Record:
        try:
            found = msgspec.convert(doc, _Record, strict=True)
        except msgspec.ValidationError as error:
            raise StoreCorrupt(f"not a memo record: {error}") from None
        outputs = {name: Artifact.from_doc(value) for name, value in found.outputs.items()}
        return cls(Digest(found.action), found.channel, outputs, found.run_id, found.wall_ms, found.replaces)


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    channel: str
    outputs: dict[str, Any]
    run_id: str
    wall_ms: int
    replaces: bool = False


class Memo:
    """The records of one memo file. A missing file is an empty memo."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._forget()
        with refused(path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return
            try:
                self._catch_up(descriptor)
            finally:
                os.close(descriptor)

    def _forget(self) -> None:
        self._lines: dict[bytes, bytes] = {}  # key to line: decoding waits for a lookup
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self.damaged = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Record]:
        """All records that count, in the order of their keys' first appearance."""
        for line in self._lines.values():
            record = self._decode(line)
            if record is not None:
                yield record

    def lookup(self, action: Digest) -> Record | None:
        """What is known about this key, as of the last time that this process read the file."""
        line = self._lines.get(action.encode())
        return None if line is None else self._decode(line)

    def learn(self, records: Sequence[Record]) -> None:
        """Know these too, where nothing else is known of their keys. Writes nothing."""
        for record in records:
            self._lines.setdefault(record.action.encode(), _line(record))

    def _decode(self, line: bytes) -> Record | None:
        try:
            return Record.from_doc(msgspec.json.decode(line[_JSON:]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, StoreCorrupt):
            return None  # of another version: unknown to us

    def append(self, records: Sequence[Record]) -> None:
        """Add records. Those that say nothing new are left out."""
        if not records:
            return
        with self._held() as descriptor:
            added: dict[bytes, bytes] = {}
            for record in records:
                key = record.action.encode()
                known = added.get(key) or self._lines.get(key)
                if known is None or (record.replaces and self._differs(record, known)):
                    added[key] = _line(record)
            if added:
                self._write(descriptor, list(added.values()))
                self._lines |= added

    def _differs(self, record: Record, known: bytes) -> bool:
        """Whether a record would change the answer. Made anew with the same bytes, the old one is true again; but
        what a stricter channel than `direct` has confirmed is worth more."""
        found = self._decode(known)
        if found is None or found.outputs != dict(record.outputs):
            return True
        return record.channel not in ("direct", found.channel)

    def _write(self, descriptor: int, lines: list[bytes]) -> None:
        size = os.fstat(descriptor).st_size
        # We hold the lock, so a line without an end is torn. It gets one, and stays a damaged line of its own.
        torn = b"\n" if size > self._offset else b""
        data = torn + b"".join(line + b"\n" for line in lines)
        write_all(descriptor, data)  # what a failed write leaves is whole records, which are true, or torn
        self.damaged += len(torn)
        self._offset = size + len(data)

    def compact(self, keep: Callable[[Record], bool] = lambda record: True) -> None:
        """Write the memo anew with the records that count and that `keep` wants: one a key, nothing damaged."""
        with self._held():
            kept = {}
            for key, line in self._lines.items():
                record = self._decode(line)
                if record is not None and keep(record):
                    kept[key] = line
            with Draft(os.path.dirname(self._path), self._path) as draft:
                data = b"".join(line + b"\n" for line in kept.values())
                draft.write(data)
                found = os.fstat(draft.descriptor)
                draft.install(self._path, mode=0o644)
        self._lines, self._offset, self.damaged = kept, len(data), 0
        self._file = (found.st_dev, found.st_ino)

    @contextmanager
    def _held(self) -> Iterator[int]:
        """The file, locked, and read to its end. Somebody may have compacted it while we waited: then again."""
        with refused(self._path):
            while True:
                descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    hold(descriptor)
                    if is_named(descriptor, self._path):
                        self._catch_up(descriptor)
                        yield descriptor
                        return
                finally:
                    os.close(descriptor)

    def _catch_up(self, descriptor: int) -> None:
        """Read what was appended since last time; all of it, if it is another file by now."""
        found = os.fstat(descriptor)
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._offset:
            self._forget()
            self._file = (found.st_dev, found.st_ino)
        parts, offset = [], self._offset
        while data := os.pread(descriptor, 1 << 22, offset):
            parts.append(data)
            offset += len(data)
        lines = b"".join(parts).split(b"\n")
        tail = lines.pop()  # empty, or a line that somebody is writing, or a torn one
        self._offset = offset - len(tail)
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if b"%08x" % zlib.crc32(line[_JSON:]) != line[:8] or line[8:_ACTION] != b' {"action":"':
            self.damaged += 1
            return
        key = line[_ACTION:_ACTION_END]
        if self._lines.setdefault(key, line) is not line and _REPLACES in line:
            self._lines[key] = line


def _line(record: Record) -> bytes:
    data = canonical(record.doc())
    return b"%08x %b" % (zlib.crc32(data), data)
