"""Files and directories as artifacts: a directory is the sorted list of the files in it.

Knows nothing of who made them. Stored are a file's bytes and its executable bit. A directory's digest is that of its
listing, which is an object of the store itself; empty directories in it are not kept, like in git. What is neither
file nor directory is no artifact: a symbolic link would mean other bytes on another host, a FIFO or device has none.

Shapes:  a listing: canonical JSON, a list of {"executable","path","sha256"} sorted by path; paths use `/`.
         a file: {"executable","path","sha256","size"}; a directory: {"listing","path","size"}, the size of all files.
Errors:  NotAnArtifact for what cannot be stored; StoreCorrupt for a listing or document that is none; DiskRefused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import NotAnArtifact, StoreCorrupt
from flowbuild.core.text import is_unicode
from flowbuild.store.cas import Cas
from flowbuild.store.draft import unique_name
from flowbuild.store.files import ensure_directory, remove_tree
from flowbuild.store.refusal import refused


class Entry(NamedTuple):
    """One file of a listing."""

    path: str
    sha256: Digest
    executable: bool


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or a directory in the store. `sha256` is the digest of the file, or of the directory's listing.

    `path` is the declared one, under which people and other actions meet it; empty where none was given.
    """

    sha256: Digest
    size: int
    executable: bool = False
    is_directory: bool = False
    path: str = ""

    @property
    def listing(self) -> Digest | None:
        return self.sha256 if self.is_directory else None

    def doc(self, path: str | None = None) -> dict[str, Any]:
        """The artifact as JSON, under its own path or a given one."""
        path = self.path if path is None else path
        if self.is_directory:
            return {"listing": self.sha256, "path": path, "size": self.size}
        return {"executable": self.executable, "path": path, "sha256": self.sha256, "size": self.size}

    @classmethod
    def from_doc(cls, doc: Any) -> Artifact:
        try:
            if "listing" in doc:
                found = msgspec.convert(doc, _Directory, strict=True)
                return cls(Digest(found.listing), found.size, False, True, found.path)
            file = msgspec.convert(doc, _File, strict=True)
        except (msgspec.ValidationError, TypeError) as error:
            raise StoreCorrupt(f"not an artifact: {error}") from None
        return cls(Digest(file.sha256), file.size, file.executable, False, file.path)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    executable: bool
    path: str
    sha256: str
    size: int


class _Directory(msgspec.Struct, forbid_unknown_fields=True):
    listing: str
    path: str
    size: int


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    executable: bool
    path: str
    sha256: str


_rows = msgspec.json.Decoder(list[_Row])


def listing_bytes(entries: Iterable[Entry]) -> bytes:
    """The canonical form of a listing."""
    return canonical([entry._asdict() for entry in sorted(entries)])


def listing(entries: Iterable[Entry]) -> Digest:
    """The digest of a listing."""
    return sha256(listing_bytes(entries))


def entries(cas: Cas, digest: Digest) -> tuple[Entry, ...]:
    """The files of a stored listing. Read once a process."""
    found = cas.listings.get(digest)
    if found is None:
        found = cas.listings[digest] = _parse(cas.read(digest), digest)
    return found


def _parse(data: bytes, digest: Digest) -> tuple[Entry, ...]:
    try:
        rows = _rows.decode(data)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"object {digest} is not a listing: {error}") from None
    found = tuple(Entry(row.path, Digest(row.sha256), row.executable) for row in rows)
    paths = {entry.path for entry in found}
    for path in paths:
        parts = path.split("/")
        above = {"/".join(parts[:n]) for n in range(1, len(parts))}
        # `..` and absolute paths would write outside the target; a file can't be a directory as well.
        if "\0" in path or not all(parts) or ".." in parts or "." in parts or above & paths:
            raise StoreCorrupt(f"object {digest} is not a listing: it names {path!r}")
    if len(paths) != len(found):
        raise StoreCorrupt(f"object {digest} is not a listing: it names a path twice")
    return found


def collect(cas: Cas, path: Path, *, declared: str = "") -> Artifact:
    """Store a file, or a directory and all files under it."""
    with refused(path):
        mode = os.lstat(path).st_mode
    if not stat.S_ISDIR(mode):
        digest, size = _put(cas, os.fspath(path), mode)
        return Artifact(digest, size, bool(mode & stat.S_IXUSR), False, declared)
    found, total = [], 0
    for file, mode in _files(os.fspath(path)):
        digest, size = _put(cas, file, mode)
        found.append(Entry(os.path.relpath(file, path), digest, bool(mode & stat.S_IXUSR)))
        total += size
    data = listing_bytes(found)
    digest = cas.put(data)
    cas.listings[digest] = tuple(sorted(found))
    return Artifact(digest, total, False, True, declared)


def _put(cas: Cas, path: str, mode: int) -> tuple[Digest, int]:
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a directory"
        raise NotAnArtifact(f"{path} is {kind}", remedy="write a file there: an output's bytes are all that is kept")
    if not is_unicode(path):
        raise NotAnArtifact(f"{os.fsencode(path)!r} is not UTF-8", remedy="choose a name in UTF-8")
    return cas.put_file(Path(path))


def _files(top: str) -> Iterator[tuple[str, int]]:
    """Everything under a directory that is no directory, with its mode, in a stable order."""
    pending = [top]
    while pending:
        directory = pending.pop()
        with refused(directory), os.scandir(directory) as names:
            found = sorted((name.path, name.stat(follow_symlinks=False).st_mode) for name in names)
        pending += [path for path, mode in reversed(found) if stat.S_ISDIR(mode)]
        yield from ((path, mode) for path, mode in found if not stat.S_ISDIR(mode))


def intact(cas: Cas, artifact: Artifact) -> bool:
    """Whether every byte of an artifact is in the store, as far as stat can tell."""
    if not artifact.is_directory:
        return cas.intact(artifact.sha256, artifact.size)
    if not cas.intact(artifact.sha256):
        return False
    try:
        found = entries(cas, artifact.sha256)
    except StoreCorrupt:  # damaged behind stat's back: absent, as it is now
        return False
    return all(cas.intact(entry.sha256) for entry in found)


def materialize(cas: Cas, artifact: Artifact, target: Path) -> None:
    """Write an artifact where people or actions find it, in place of what is there. Parents are made.

    A directory is written beside its place first, so that nobody sees half of it.
    """
    ensure_directory(target.parent)
    if not artifact.is_directory:
        if target.is_dir() and not target.is_symlink():
            remove_tree(target)
        cas.copy_to(artifact.sha256, target, executable=artifact.executable)
        return
    found = entries(cas, artifact.sha256)
    draft = target.parent / unique_name()
    ensure_directory(draft)
    try:
        for directory in sorted({os.path.dirname(entry.path) for entry in found} - {""}):
            ensure_directory(draft / directory)
        for entry in found:
            cas.copy_to(entry.sha256, draft / entry.path, executable=entry.executable)
        remove_tree(target)
        with refused(target):
            os.rename(draft, target)
    except BaseException:
        remove_tree(draft)
        raise
