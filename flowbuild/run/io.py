"""The door of an engine to the outside: scratch directories, staging, collecting, logs, the environment.

Knows nothing of what is performed or why. Inputs are copied (or reflinked), never linked: nothing an action does can
reach a source file or the store.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, Staged
from flowbuild.core.errors import DiskRefused
from flowbuild.core.mask import Mask
from flowbuild.engine.engine import Answering
from flowbuild.engine.leak import leaks
from flowbuild.run.door import Door
from flowbuild.run.scratch import ScratchPool
from flowbuild.store.cas import Cas
from flowbuild.store.files import copy_file, ensure_directory, refused, remove_tree
from flowbuild.store.tree import Artifact, collect, materialize


class RunIo:
    """One run's door. `directory` is the run's own place under `.flowbuild/runs`."""

    def __init__(
        self, workspace: Path, search_path: tuple[str, ...], cas: Cas, directory: Path, door: Door | None = None
    ) -> None:
        self.workspace = workspace
        self.search_path = search_path
        self._cas = cas
        self._directory = directory
        self._pool = ScratchPool(f"{directory}/stage")
        self._vacated: set[str] = set()
        self._has_logs = False
        self._door = door or Door(cas, None)

    @property
    def mask(self) -> Mask:
        return self._door.secrets.mask

    def scratch(self, action: Action, directories: Iterable[str] = ()) -> Path:
        name = _place(action)
        self._vacated.discard(name)  # of an attempt that was refused afterwards
        return Path(self._pool.take(name, directories))

    def vacate(self, action: Action) -> None:
        self._vacated.add(_place(action))

    def release(self, action: Action) -> None:
        """Have done with what `scratch` made, once nobody needs it."""
        name = _place(action)
        if name in self._vacated:
            self._vacated.remove(name)
            self._pool.vacate(name)
        else:
            self._pool.remove(name)

    def tidy(self) -> None:
        """Remove the directories that no action uses any more, nor will."""
        self._pool.tidy()

    def scrub(self, action: Action) -> None:
        """Remove what holds the value of a secret from what is left of an action; all where that can't be told."""
        if not self.mask:
            return
        try:
            found = list(leaks(self.mask, Path(self._scratch(action))))
        except (OSError, DiskRefused):  # a directory that the action locked
            self._pool.remove(_place(action))
            return
        for path in found:
            remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

    def stage(self, staged: tuple[Staged, ...], root: Path) -> None:
        base = os.fspath(root)
        made: set[str] = {base}
        if base not in self._pool.given:
            ensure_directory(root)
        for item in {item.path.rstrip("/"): item for item in staged}.values():  # one file may have two names
            target = f"{base}/{item.path.rstrip('/')}"
            if os.path.dirname(target) not in self._pool.given:
                _make(os.path.dirname(target), made)
            if item.artifact is None:
                copy_file(f"{self.workspace}/{item.path}", target, fresh=True)
                continue
            artifact = Artifact.from_doc(item.artifact)
            if artifact.is_directory:
                materialize(self._cas, artifact, Path(target))
            else:
                self._cas.copy_into(artifact.sha256, target, executable=artifact.executable)

    def collect(self, path: Path) -> Mapping[str, Any] | None:
        if not os.path.lexists(path):
            return None
        return collect(self._cas, path).doc()

    def keep(self, data: bytes) -> Mapping[str, Any]:
        return Artifact(self._cas.put(data), len(data)).doc()

    def log(self, action: Action, stream: str) -> Path:
        if not self._has_logs:
            ensure_directory(self._directory / "logs")
            self._has_logs = True
        return Path(f"{self._directory}/logs/{_place(action)}.{stream}")

    def _scratch(self, action: Action) -> str:
        return f"{self._directory}/stage/{_place(action)}"

    def ask(self, action: Action, question: Mapping[str, Any]) -> Answering:
        return self._door.ask(action, question)

    def environment(self, action: Action) -> Mapping[str, str]:
        """The declared variables and secrets, and the fixed few; HOME and TMPDIR are the engine's to choose."""
        declared: Mapping[str, str] = action.with_.get("env", {})
        return {
            "PATH": ":".join(self.search_path),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **declared,
            **self._door.secrets.given(action),
        }


def _make(directory: str, made: set[str]) -> None:
    """Make a directory and its parents, but for those that were made already."""
    if directory in made:
        return
    _make(os.path.dirname(directory), made)
    made.add(directory)
    with refused(directory), suppress(FileExistsError):
        os.mkdir(directory)


def _place(action: Action) -> str:
    """An action's own name among those of a run: its state's id, shorter where the step is the only one."""
    return action.own_id.replace(".main.", ".")
