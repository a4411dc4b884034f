"""The stamps of source files: which of them need no reading, because nothing about them moved.

Knows nothing of targets or of who asks. A stamp is a hint and never an identity: identity is SHA-256 of the bytes,
which is remembered beside the stat data that it was taken under. Any difference there means reading again.

A file that is as new as its record could change once more without a trace in its times, so such a record is not
believed in the next session. What "new" means is asked of the file system, not of our clock: a probe file is written
before a file is hashed, and the record is believed only if the file's times lie before the probe's. A file of
another file system has another clock, and gets an hour of distance.

Shapes:  one line naming the version, 8 bytes XXH3 of the rest, MessagePack {path: row}. A table that does not fit is
         dropped without a word: it is derived.
Errors:  BadPath for a file that is gone or is none; DiskRefused for one that can't be read.
Source:  git's racy index; EXAMPLES, "Racy files".
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import xxhash

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import BadPath
from flowbuild.core.text import is_unicode
from flowbuild.store.draft import unique_name
from flowbuild.store.files import atomic_write
from flowbuild.store.refusal import refused
from flowbuild.store.stream import pour

_MAGIC = b"flowbuild stamps 1\n"
_BODY = len(_MAGIC) + 8
_ELSEWHERE_NS = 3600 * 10**9
_LOOKED_AT = 1000


class Seen(NamedTuple):
    """What a file was when somebody asked."""

    sha256: Digest
    executable: bool


class _Row(msgspec.Struct, array_like=True, frozen=True):
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: int
    sha256: str
    is_settled: bool  # the file was older than the record, so the record may be believed later

    def fits(self, found: os.stat_result) -> bool:
        return (
            self.mtime_ns == found.st_mtime_ns
            and self.size == found.st_size
            and self.ctime_ns == found.st_ctime_ns
            and self.inode == found.st_ino
            and self.mode == found.st_mode
        )

    @property
    def seen(self) -> Seen:
        return Seen(Digest(self.sha256), bool(self.mode & stat.S_IXUSR))


_rows = msgspec.msgpack.Decoder(dict[str, _Row])


class Stamps:
    """The stamps of one checkout, for one session: `load`, `digest` and `moved`, `save`."""

    def __init__(self, path: Path, rows: dict[str, _Row]) -> None:
        self._path = path
        self._rows = rows  # of earlier sessions, and of this one
        self._seen: set[str] = set()
        self._is_changed = False
        self._probe_ns = -1
        self._device = -1

    @classmethod
    def load(cls, path: Path) -> Stamps:
        """The table of the last session; an empty one if there is none that can be believed."""
        try:
            data = path.read_bytes()
        except OSError:  # derived: what can't be read is an empty one
            return cls(path, {})
        if data.startswith(_MAGIC) and xxhash.xxh3_64_digest(data[_BODY:]) == data[len(_MAGIC) : _BODY]:
            try:
                return cls(path, _rows.decode(data[_BODY:]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        return cls(path, {})

    def digest(self, file: Path | str) -> Seen:
        """A file's digest and executable bit, reading it only if something about it moved."""
        key = os.fspath(file)
        row = self._rows.get(key)
        if row is not None and row.is_settled and row.fits(_stat(file)):
            self._seen.add(key)
            return row.seen
        row = self._hash(file)
        self._is_changed |= self._rows.get(key) != row
        self._rows[key] = row
        self._seen.add(key)
        return row.seen

    def moved(self, file: Path | str, saw: Seen | None = None) -> bool:
        """Whether a file is other than what this session saw last, or than `saw`. One that is gone has moved."""
        key = os.fspath(file)
        if saw is None:
            row = self._rows.get(key)
            if row is None or key not in self._seen:
                return True
            saw = row.seen
        try:
            return self.digest(file) != saw
        except BadPath:
            return True

    def _hash(self, file: Path | str) -> _Row:
        """Hash a file, again if it is written to meanwhile; what is still moving after that is not settled."""
        with refused(file):
            descriptor = _open(file)
            try:
                for _ in range(3):
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    before = os.fstat(descriptor)
                    is_settled = self._is_older(before)
                    sha256, _size = pour(descriptor)
                    row = _Row(
                        before.st_size,
                        before.st_mtime_ns,
                        before.st_ctime_ns,
                        before.st_ino,
                        before.st_mode,
                        sha256,
                        is_settled,
                    )
                    if row.fits(os.fstat(descriptor)):
                        return row
                return msgspec.structs.replace(row, is_settled=False)
            finally:
                os.close(descriptor)

    def _is_older(self, found: os.stat_result) -> bool:
        """Whether a file was last touched before now, by its file system's clock. To be asked before hashing."""
        touched = max(found.st_mtime_ns, found.st_ctime_ns)
        if self._device == -1 or (self._device == found.st_dev and touched >= self._probe_ns):
            self._write_probe()
        distance_ns = 0 if self._device == found.st_dev else _ELSEWHERE_NS
        return touched < self._probe_ns - distance_ns

    def _write_probe(self) -> None:
        """Ask the file system for the time. Where we may not write, no record is settled, and nothing else changes."""
        probe = self._path.parent / unique_name()
        with suppress(OSError):
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                found = os.fstat(descriptor)
            finally:
                os.close(descriptor)
                os.unlink(probe)
            self._probe_ns, self._device = found.st_mtime_ns, found.st_dev

    def save(self) -> None:
        """Write the table, if it changed."""
        if not self._is_changed:
            return
        self._prune()
        rows = {path: row for path, row in self._rows.items() if is_unicode(path)}
        body = msgspec.msgpack.encode(rows)
        atomic_write(self._path, _MAGIC + xxhash.xxh3_64_digest(body) + body)
        self._is_changed = False

    def _prune(self) -> None:
        """Forget files that are gone: of those that nobody asked for, a thousand from a place that wanders."""
        unseen = [path for path in self._rows if path not in self._seen]
        start = time.monotonic_ns() % max(1, len(unseen) - _LOOKED_AT + 1)
        for path in islice(unseen, start, start + _LOOKED_AT):
            if not os.path.exists(path):
                del self._rows[path]


def _stat(file: Path | str) -> os.stat_result:
    with refused(file):
        try:
            return os.stat(file)
        except (FileNotFoundError, NotADirectoryError):
            raise BadPath(f"{file} does not exist") from None


def _open(file: Path | str) -> int:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise BadPath(f"{file} does not exist") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadPath(f"{file} is not a regular file")
    return descriptor
