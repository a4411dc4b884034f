"""Committing a run: its files, then its index, then LATEST. Killed at any point, it leaves a whole bundle or none.

Knows nothing of what the files mean, and has no clock.

Approach: everything is written under a unique temporary name, flushed and renamed; then the directories are flushed;
then the index goes the same way, which is the commit; then LATEST. Many files are flushed by one syncfs, after their
renames: that is as safe, because without the index there is no bundle. Index and LATEST are written under one lock of
the output root, so that LATEST names the run that was committed last. The writer holds its run's directory until it
is done, so that others can tell a live run from a killed one.

Shapes:  durability `none` flushes nothing: a power cut may lose the run, or leave one that a strict load refuses.
         `commit` and `all` flush the bundle (they differ in what the store flushes).
Errors:  StoreConflict for a run id that is taken; StoreCorrupt for an object that is not what its digest says;
         DiskRefused. What the disk refuses after the commit is no error: the run is committed, and `warning` says
         that nobody knows whether it would survive a power cut.
Source:  DESIGN, section 5; RELIABILITY 1.3.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from flowbuild.bundle.held import Held
from flowbuild.bundle.index import Artifact, Index, index, safe_path, write_index
from flowbuild.bundle.layout import (
    INDEX,
    JOURNAL,
    LATEST,
    LATEST_LOCK,
    OBJECTS,
    RUN_STATUS,
    bundle_dir,
    outside_bundles,
)
from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import DiskRefused, StoreConflict, StoreCorrupt
from flowbuild.store.draft import Draft
from flowbuild.store.files import (
    Lock,
    atomic_write,
    ensure_directory,
    flush_directory,
    flush_file,
    flush_filesystem,
    refused,
    remove_tree,
)
from flowbuild.store.flush import flush_descriptor
from flowbuild.store.lock import hold, try_hold
from flowbuild.store.stream import copy

Durability = Literal["none", "commit", "all"]

_FEW = 16  # up to so many files, one flush each disturbs the host less than flushing the whole file system


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit came to. `is_durable`: a power cut now would not lose it."""

    run_id: str
    path: Path
    index: Index
    moved_latest: bool
    is_durable: bool
    warning: str | None


def begin(out_root: Path, run_id: str, run_status: bytes) -> Writer:
    """Open a run's directory. From here on others see a live run, whose status is the given one (`in_progress`)."""
    path = bundle_dir(outside_bundles(out_root), run_id)
    made = _absent(out_root)
    ensure_directory(out_root)
    with refused(path):
        try:
            os.mkdir(path)
        except FileExistsError:
            raise StoreConflict(f"{path}: this run id is taken", remedy="start a run with an id of its own") from None
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    writer = Writer(out_root, run_id, descriptor, made)
    try:
        with refused(path):
            hold(descriptor)
        atomic_write(path / RUN_STATUS, run_status)
    except BaseException:
        writer.close()
        raise
    return writer


def reopen(out_root: Path, run_id: str) -> Writer:
    """Go on with a run whose writer was killed: its directory is there, and nobody holds it."""
    path = bundle_dir(out_root, run_id)
    with refused(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not try_hold(descriptor):
            os.close(descriptor)
            raise StoreConflict(f"{path}: another process is at work on this run", remedy="wait for it to end")
        if (path / INDEX).exists():
            os.close(descriptor)
            raise StoreConflict(f"{path}: this run is committed")
        _clear(path)
    return Writer(out_root, run_id, descriptor, ())


class Writer:
    """A run on its way to being a bundle. Left without `commit`, its directory stays, and is never loaded."""

    def __init__(self, out_root: Path, run_id: str, descriptor: int, made: Sequence[Path]) -> None:
        self.out_root = out_root
        self.run_id = run_id
        self.path = out_root / run_id
        self._descriptor = descriptor
        self._made = tuple(made)  # directories that had to be made for it: their names need flushing too
        self._documents: dict[str, bytes] = {}
        self._objects: dict[Digest, Path | bytes] = {}
        self._adopted: set[str] = set()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, path: str, data: bytes) -> None:
        """A document, by its path in the bundle. The last one given under a path counts."""
        self._documents[safe_path(path, self.run_id)] = data

    def add_object(self, digest: Digest, source: Path | bytes) -> None:
        """What the journal names, under its digest: a copy, never a link."""
        self._objects[digest] = source

    def adopt(self, path: str) -> None:
        """A file that already stands in the directory, such as the journal. Nobody writes to it any more."""
        self._adopted.add(safe_path(path, self.run_id))

    def commit(
        self,
        status: Literal["ok", "failed"],
        *,
        world_id: str,
        missing: Iterable[str] = (),
        move_latest: bool,
        durability: Durability = "commit",
    ) -> Committed:
        """Make the run a bundle. LATEST follows only when asked to, and never to a failed run.

        Documents, objects and adopted files are the bundle, and nothing else in the directory is.
        """
        if RUN_STATUS not in self._documents:
            raise ValueError("a bundle needs its final run_status.json")
        is_flushed = durability != "none"
        sound = self._write(is_flushed)
        found = index(self.run_id, world_id, self._artifacts(), missing, status)
        data = write_index(found)
        with Lock(self.out_root / LATEST_LOCK):
            atomic_write(self.path / INDEX, data, flush=is_flushed)
            result = Committed(self.run_id, self.path, found, False, is_flushed and sound, None)
            result = _flushed(result, self.path) if is_flushed else result
            if move_latest and found.status != "failed" and result.warning is None:
                atomic_write(self.out_root / LATEST, f"{self.run_id}\n".encode(), flush=is_flushed)
                result = replace(result, moved_latest=True)
                result = _flushed(result, self.out_root) if is_flushed else result
        self.close()
        return result

    def abandon(self) -> None:
        """Leave nothing of this run behind. Only for one that is not committed."""
        if (self.path / INDEX).exists():
            raise StoreConflict(f"{self.path}: this run is committed")
        remove_tree(self.path)
        self.close()

    def close(self) -> None:
        """Let go of the directory."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, is_flushed: bool) -> bool:
        """Everything but the index, on the disk. False when the file system cannot promise that."""
        paths = self._expected()
        is_few = len(paths) <= _FEW
        for directory in sorted({self.path / os.path.dirname(path) for path in paths}):
            ensure_directory(directory)
        for path, data in self._documents.items():
            atomic_write(self.path / path, data, flush=is_flushed and is_few)
        for digest, source in self._objects.items():
            _copy(source, self.path / OBJECTS / digest, flush=is_flushed and is_few)
        if not is_flushed:
            return True
        if not is_few and flush_filesystem(self.path):
            return True
        return self._flush([*self._adopted] if is_few else [*paths], {os.path.dirname(path) for path in paths})

    def _flush(self, paths: Sequence[str], parents: set[str]) -> bool:
        """Files, then the directories that name them, up to the first that was there before this run."""
        directories = {self.path / parent for parent in parents} | {self.path, self.out_root}
        directories |= {made.parent for made in self._made}
        answers = [flush_file(self.path / path) for path in paths]
        answers += [flush_directory(directory) for directory in sorted(directories, reverse=True)]
        return all(answers)

    def _expected(self) -> dict[str, Digest | None]:
        """Every file of the bundle, with its digest where that is known already."""
        found: dict[str, Digest | None] = dict.fromkeys(sorted(self._adopted))
        found |= {f"{OBJECTS}/{digest}": digest for digest in self._objects}
        return found | {path: sha256(data) for path, data in self._documents.items()}

    def _artifacts(self) -> list[Artifact]:
        """Each file as it can be read back: a disk that lies, or a damaged store, is found now and not later."""
        found = []
        with Held(self.path) as held:
            for path, digest in self._expected().items():
                entry = held.artifact(path)
                if digest not in (None, entry.sha256):
                    raise StoreCorrupt(
                        f"{self.path / path}: its bytes are not what was to be written",
                        remedy="run the same command again: what is damaged is made anew",
                    )
                found.append(entry)
        return found


def _copy(source: Path | bytes, target: Path, *, flush: bool) -> None:
    if isinstance(source, bytes):
        return atomic_write(target, source, flush=flush)
    with refused(source):
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Draft(os.path.dirname(target), target) as draft, refused(target):
            copy(reading, draft.descriptor)
            if flush:
                flush_descriptor(draft.descriptor)
            draft.install(os.fspath(target), mode=0o644)
    finally:
        os.close(reading)


def _clear(path: Path) -> None:
    """Take away what a writer that was killed had begun to commit."""
    for entry in sorted(path.iterdir()):
        if entry.name not in (RUN_STATUS, JOURNAL):
            remove_tree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _flushed(result: Committed, directory: Path) -> Committed:
    """The result after flushing a directory; the disk may refuse, which does not undo the commit."""
    try:
        sound = flush_directory(directory)
    except DiskRefused as error:
        warning = f"committed, but not known to be durable: {error.message}"
        return replace(result, is_durable=False, warning=warning)
    return replace(result, is_durable=result.is_durable and sound)


def _absent(path: Path) -> list[Path]:
    """The directories of a path that are not there yet."""
    absent = []
    while not path.exists() and path != path.parent:
        absent.append(path)
        path = path.parent
    return absent
