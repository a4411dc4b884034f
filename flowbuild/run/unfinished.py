"""Runs that were killed after they had asked or changed the outside: what another build of the same goes on with.

Knows nothing of what a run does. A run that only computed leaves nothing here: the memo has all that it came to. The
directory is derived: without it a killed run is not gone on with by itself, and `flowbuild runs resume` still does it.

Shapes:  <root>/.flowbuild/unfinished/<run id>: {"asked", "journal"}: the digest of what was asked, and a path from the
         root.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest, canonical, digest
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.ids import RunId
from flowbuild.run.story import Story, story
from flowbuild.store.files import atomic_write, ensure_directory
from flowbuild.store.journal import is_live, read

_AGAIN = "build its target again"


class Mark(NamedTuple):
    """One such run."""

    run_id: RunId
    journal: Path


class Going(NamedTuple):
    """A killed run to go on with, and what its journal tells."""

    run_id: RunId
    journal: Path
    story: Story


def killed(
    root: Path, manifest: Mapping[str, Any], say: Callable[[str], None], is_uncommitted: Callable[[Path], bool]
) -> Iterator[Going]:
    """The killed runs of which just this was asked, newest first. What is damaged is said, and left as it is.

    `is_uncommitted` says of a sealed journal whether its bundle is still to be.
    """
    marks = Unfinished(root)
    for mark in marks.of(manifest):
        if is_live(mark.journal):
            continue
        try:
            told = recorded(mark.journal, mark.run_id)
        except StoreCorrupt as error:
            say(f"run {mark.run_id[:8]} was killed, and nobody can go on with it: {error.message}")
            told = None
        if told is None or not told.head or (told.status is not None and not is_uncommitted(mark.journal)):
            marks.clear(mark.run_id)
        else:
            yield Going(mark.run_id, mark.journal, told)


def recorded(journal: Path, run_id: str) -> Story:
    """The story of a run that somebody may go on with; refuses the journal of another one."""
    told = story(read(journal))
    if told.head and told.run_id != run_id:
        raise StoreCorrupt(f"run_id_mismatch: {journal} is the journal of run {told.run_id:.80}", remedy=_AGAIN)
    return told


class Unfinished:
    """The marks of a workspace."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._directory = root / ".flowbuild/unfinished"

    def mark(self, run_id: RunId, manifest: Mapping[str, Any], journal: Path) -> None:
        """Say that a run has begun to deal with the outside."""
        ensure_directory(self._directory)
        doc = {"asked": asked(manifest), "journal": os.path.relpath(journal, self._root)}
        atomic_write(self._directory / run_id, canonical(doc))

    def clear(self, run_id: RunId) -> None:
        """Say that it has ended, or that nobody shall go on with it."""
        with suppress(OSError):
            (self._directory / run_id).unlink()

    def of(self, manifest: Mapping[str, Any]) -> list[Mark]:
        """The runs of which just this was asked, newest first."""
        wanted = asked(manifest)
        return [mark for found, mark in self._marks() if found == wanted]

    def journals(self) -> list[Path]:
        """Where the journals of all such runs lie."""
        return [mark.journal for _, mark in self._marks()]

    def _marks(self) -> list[tuple[str, Mark]]:
        found = []
        with suppress(OSError):
            for path in sorted(self._directory.iterdir(), key=lambda one: one.stat().st_mtime_ns, reverse=True):
                with suppress(OSError, ValueError, KeyError, TypeError):
                    doc = json.loads(path.read_bytes())
                    found.append((doc["asked"], Mark(RunId(path.name), self._root / doc["journal"])))
        return found


def asked(manifest: Mapping[str, Any]) -> Digest:
    """What two runs have in common of which the same was asked. How many states run at once is no part of it."""
    config = {name: value for name, value in manifest["run_config"].items() if name != "execution_mode"}
    return digest({"op_id": manifest["op_id"], "input_params": manifest["input_params"], "run_config": config})
