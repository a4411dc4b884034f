"""The content-addressed store: bytes under their SHA-256, written once, never changed.

Knows nothing of what the bytes mean, nor who needs them. An object is a read-only file with a fixed modification
time: whatever writes to it later moves that time, so that one stat tells whether it was touched. Bytes that leave the
store are hashed on the way; a damaged object is removed, so that it is made again, and never an error for ever.

Several processes and several checkouts may share one store. Objects that the host may have lost with the power are
hashed before they count (see boot.py): all of them together, once, at the first question.

Shapes:  <root>/<aa>/<sha256>, mode 0444; <root>/.tmp-* while written; <root>/unflushed/, see boot.py.
Errors:  StoreCorrupt for an object that is absent or damaged; DiskRefused.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import NotAnArtifact, StoreCorrupt
from flowbuild.store.boot import Unflushed
from flowbuild.store.draft import Draft, sweep, write_all
from flowbuild.store.files import created, remove_tree
from flowbuild.store.flush import flush_directory, flush_file, flush_filesystem
from flowbuild.store.refusal import refused
from flowbuild.store.stream import CHUNK, clone, copy, pour
from flowbuild.store.use import Use

if TYPE_CHECKING:
    from flowbuild.store.tree import Entry

SEALED_NS = 1_000_000_000 * 10**9  # 9 September 2001: no file is that old by accident
_DIGEST = re.compile("[0-9a-f]{64}")
_AGAIN = "run the same command again: it makes what is missing anew"


class Cas:
    """The objects under one root."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._unflushed = Unflushed(f"{self._root}/unflushed")
        self._is_settled = False
        self.use = Use(self._root)
        """Held from the first question on: what was found here stays, until whoever found it is done."""
        self.listings: dict[Digest, tuple[Entry, ...]] = {}
        """Listings that were read already, for tree.py: their bytes never change."""

    def path(self, digest: Digest) -> Path:
        """Where an object lies, or would lie."""
        return Path(self.place(digest))

    def place(self, digest: Digest) -> str:
        """The same as text, which is cheaper."""
        if not _DIGEST.fullmatch(digest):
            raise StoreCorrupt(f"{digest[:80]!r} is no SHA-256 digest", remedy=_AGAIN)
        return f"{self._root}/{digest[:2]}/{digest}"

    # Asking

    def intact(self, digest: Digest, size: int | None = None) -> bool:
        """Whether an object is here, untouched since it was stored. By stat alone."""
        if not self._is_settled:
            self._settle()
        place = self.place(digest)
        try:
            found = os.stat(place, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            with refused(place):
                raise
        return _is_sealed(found) and (size is None or found.st_size == size)

    def verify(self, digest: Digest) -> bool:
        """Whether an object is here and has its digest: reads all of it, removes nothing."""
        place = self.place(digest)
        with refused(place):
            try:
                descriptor = _open(place)
            except FileNotFoundError:
                return False
            try:
                return _is_sealed(os.fstat(descriptor)) and pour(descriptor)[0] == digest
            finally:
                os.close(descriptor)

    def __iter__(self) -> Iterator[Digest]:
        """The digests of all objects, sorted, damaged ones too."""
        with refused(self._root):
            for name in _names(self._root):
                if len(name) == 2:
                    yield from (Digest(found) for found in _names(f"{self._root}/{name}") if _DIGEST.fullmatch(found))

    # Storing

    def put(self, data: bytes) -> Digest:
        """Store bytes. A damaged object of the same digest is healed."""
        digest = sha256(data)
        if self.intact(digest, len(data)):
            return digest
        with self._draft() as draft:
            draft.write(data)
            self._install(draft, digest)
        return digest

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a file's bytes as they are read, once; what is stored is what was hashed."""
        with refused(path):
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang us
            try:
                found = os.fstat(source)
                if not stat.S_ISREG(found.st_mode):
                    raise NotAnArtifact(f"{path} is not a regular file")
                if found.st_size <= CHUNK:
                    data = os.read(source, CHUNK + 1)
                    if len(data) == found.st_size:
                        return self.put(data), len(data)
                    os.lseek(source, 0, os.SEEK_SET)  # it changes as we read
                return self._put_stream(source)
            finally:
                os.close(source)

    def _put_stream(self, source: int) -> tuple[Digest, int]:
        with self._draft() as draft:
            if clone(source, draft.descriptor):
                digest, size = pour(draft.descriptor)  # the clone, not the source, which may change
            else:
                digest, size = pour(source, draft.write)
            if not self.intact(digest, size):
                self._install(draft, digest)
            return digest, size

    def _draft(self) -> Draft:
        self._unflushed.enter()
        self.use.enter()
        return Draft(self._root, self._root)

    def _install(self, draft: Draft, digest: Digest) -> None:
        """Seal a draft, and give it its name, healing what is damaged there."""
        place = self.place(digest)
        if not os.path.isdir(os.path.dirname(place)):
            with refused(self._root):
                os.makedirs(os.path.dirname(place), exist_ok=True)
        if os.path.isdir(place):
            remove_tree(Path(place))
        draft.install(place, mode=0o444, mtime_ns=SEALED_NS)

    def flush(self) -> bool:
        """Everything stored so far is on the disk. False when this file system cannot say so."""
        return self._unflushed.leave(lambda: flush_filesystem(self._root))

    def flush_object(self, digest: Digest) -> None:
        """One object is on the disk, under its name."""
        place = self.place(digest)
        flush_file(place)
        flush_directory(os.path.dirname(place))

    def close(self) -> None:
        """Give up every lock. Flushes nothing; whoever asks or writes again takes them again."""
        self._unflushed.close()
        self.use.leave()

    # Taking out

    def read(self, digest: Digest) -> bytes:
        """The bytes of an object, checked."""
        place = self.place(digest)
        with refused(place):
            descriptor = self._open(digest)
            try:
                data = b"".join(iter(lambda: os.read(descriptor, CHUNK), b""))
                if sha256(data) != digest:
                    raise self._damaged(digest, descriptor)
            finally:
                os.close(descriptor)
        return data

    def copy_into(self, digest: Digest, target: Path | str, *, executable: bool) -> None:
        """As `copy_to`, where nothing is and nobody else looks: the file is written in place, which is cheaper."""
        with refused(self.place(digest)):
            descriptor = self._open(digest)
            try:
                with created(target, 0o755 if executable else 0o644) as writing:
                    found, _ = pour(descriptor, lambda data: write_all(writing, data))
                if found != digest:
                    raise self._damaged(digest, descriptor)
            finally:
                os.close(descriptor)

    def copy_to(self, digest: Digest, target: Path, *, executable: bool, verify: bool = True) -> None:
        """Give a file the bytes of an object, as a clone or a copy; what is there is replaced at once.

        The bytes are hashed as they leave. `verify=False` is for callers that hash them anyway.
        """
        with refused(self.place(digest)):
            descriptor = self._open(digest)
            try:
                with Draft(os.path.dirname(target), target) as draft:
                    if not verify:
                        copy(descriptor, draft.descriptor)
                    else:
                        is_cloned = clone(descriptor, draft.descriptor)
                        found, _ = pour(descriptor, None if is_cloned else draft.write)
                        if found != digest:
                            raise self._damaged(digest, descriptor)
                    draft.install(os.fspath(target), mode=0o755 if executable else 0o644)
            finally:
                os.close(descriptor)

    def _open(self, digest: Digest) -> int:
        place = self.place(digest)
        try:
            return _open(place)
        except FileNotFoundError:
            raise StoreCorrupt(f"object {digest} is not in the store ({self._root})", remedy=_AGAIN) from None

    def _damaged(self, digest: Digest, descriptor: int) -> StoreCorrupt:
        self._discard_this(digest, descriptor)
        return StoreCorrupt(f"object {digest} was damaged in the store ({self._root}), and is removed", remedy=_AGAIN)

    # Removing

    def discard(self, digest: Digest) -> None:
        """Remove an object, whatever lies under its name."""
        self.listings.pop(digest, None)
        remove_tree(self.path(digest))

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """Remove what killed writers left behind, and say how many."""
        with refused(self._root):
            return sweep(self._root, older_than_s=older_than_s)

    def _discard_this(self, digest: Digest, descriptor: int) -> None:
        """Remove an object only if it is still the file that was read: somebody may have healed it meanwhile."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(self.place(digest), follow_symlinks=False)):
                self.discard(digest)

    def _settle(self) -> None:
        """After an unclean boot, hash every object that may not have reached the disk, and remove the torn ones."""
        self.use.enter()
        marks = self._unflushed.doubts()
        if marks:
            since = min(mark.since_ns for mark in marks)
            for digest in self:
                self._check(digest, since)
            self._unflushed.settle(marks)
        self._is_settled = True

    def _check(self, digest: Digest, since_ns: int) -> None:
        place = self.place(digest)
        with refused(place), suppress(FileNotFoundError):
            found = os.stat(place, follow_symlinks=False)
            if not _is_sealed(found) or found.st_ctime_ns < since_ns:
                return  # what is not sealed counts as absent already
            descriptor = _open(place)
            try:
                if pour(descriptor)[0] != digest:
                    self._discard_this(digest, descriptor)
            finally:
                os.close(descriptor)


def _is_sealed(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_mtime_ns == SEALED_NS and not found.st_mode & 0o222


def _open(place: str) -> int:
    """Open an object. What is no regular file is no object: FileNotFoundError, as if it were not there."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return descriptor


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
