"""A bundle's directory, held open while it is read: nothing outside it can be reached by any name in it.

Knows nothing of what the files say. Each part of a path is opened from the one above it, in exactly its own spelling;
a link on the way, and whatever is no regular file, is refused.

Errors:  NotCommitted when there is no directory; StoreCorrupt naming the file; DiskRefused.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from flowbuild.bundle.index import MAX_PARSED, Artifact, schema_version
from flowbuild.core.canonical import sha256
from flowbuild.core.errors import NotCommitted, StoreCorrupt
from flowbuild.store.files import refused
from flowbuild.store.stream import pour

_AGAIN = "build the target again"
_LOST = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENAMETOOLONG})


class Held:
    """`with Held(path) as held:` every file below `path`, by its path in the bundle."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directories: dict[str, int] = {}
        self._names: dict[str, frozenset[str]] = {}

    def __enter__(self) -> Held:
        with refused(self.path):
            try:
                self._directories[""] = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise NotCommitted(f"{self.path}: no bundle is there") from None
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._directories.values():
            os.close(descriptor)
        self._directories.clear()

    def has(self, path: str) -> bool:
        """Whether this name is there, in this spelling: some file systems would take others for it."""
        parent, _, name = path.rpartition("/")
        if parent not in self._names:
            with refused(self.path / parent):
                self._names[parent] = frozenset(os.listdir(self._directory(parent)))
        return name in self._names[parent]

    def entries(self, path: str) -> list[tuple[str, int]]:
        """The names in a directory, each with its kind as `stat.S_IFMT` gives it, in a stable order."""
        with refused(self.path / path):
            directory = self._directory(path)
            names = sorted(os.listdir(directory))
            return [(name, stat.S_IFMT(os.lstat(name, dir_fd=directory).st_mode)) for name in names]

    def stamp(self, path: str) -> tuple[int, int]:
        """Size and ctime of a file, in bytes and nanoseconds."""
        descriptor = self._file(path)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return found.st_size, found.st_ctime_ns

    def read(self, path: str, most: int) -> bytes:
        """The bytes of a file that has at most so many."""
        descriptor = self._file(path)
        with refused(self.path / path), open(descriptor, "rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise StoreCorrupt(f"{self.path / path}: more than {most} bytes")
        return data

    def artifact(self, path: str) -> Artifact:
        """The entry of a file as it stands there; large ones are not held in memory."""
        descriptor = self._file(path)
        try:
            with refused(self.path / path):
                digest, size = pour(descriptor, None)
                # Large files are data, but for the first of their JSON lines.
                is_document = size <= MAX_PARSED or path.endswith(".jsonl")
                head = os.pread(descriptor, MAX_PARSED, 0) if is_document else b""
        finally:
            os.close(descriptor)
        return Artifact(path, size, digest, schema_version(path, head))

    def check(self, entry: Artifact) -> None:
        """Nothing, when the file is what its entry says."""
        if self.stamp(entry.path)[0] != entry.file_size:
            raise self._differs(entry, "file_size")
        found = self.artifact(entry.path)
        for field in ("file_size", "sha256", "schema_version"):
            if getattr(found, field) != getattr(entry, field):
                raise self._differs(entry, field)

    def checked(self, entry: Artifact) -> bytes:
        """The bytes of a file that is what its entry says."""
        data = self.read(entry.path, entry.file_size)
        if len(data) != entry.file_size or sha256(data) != entry.sha256:
            raise self._differs(entry, "sha256")
        return data

    def _differs(self, entry: Artifact, what: str) -> StoreCorrupt:
        return StoreCorrupt(f"{self.path / entry.path}: {what} mismatch", remedy=_AGAIN, details={"path": entry.path})

    def _file(self, path: str) -> int:
        """A descriptor of a regular file. A pipe or a device is not waited for."""
        if not self.has(path):
            raise StoreCorrupt(f"{self.path / path}: missing", remedy=_AGAIN, details={"path": path})
        parent, _, name = path.rpartition("/")
        descriptor = self._open(path, name, parent, os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise StoreCorrupt(f"{self.path / path}: not a regular file", details={"path": path})
        return descriptor

    def _directory(self, path: str) -> int:
        if path not in self._directories:
            parent, _, name = path.rpartition("/")
            self._directories[path] = self._open(path, name, parent, os.O_DIRECTORY)
        return self._directories[path]

    def _open(self, path: str, name: str, parent: str, flags: int) -> int:
        with refused(self.path / path):
            try:
                return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=self._directory(parent))
            except OSError as error:
                if error.errno not in _LOST:
                    raise
                what = "a link" if error.errno in (errno.ELOOP, errno.EMLINK) else "missing, or not a regular file"
        raise StoreCorrupt(f"{self.path / path}: {what}", remedy=_AGAIN, details={"path": path})
