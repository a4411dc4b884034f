"""A small real Io over a temporary directory, and a driver: what the engine's tests stand on."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, Outcome, Staged
from flowbuild.core.canonical import digest
from flowbuild.core.mask import Mask
from flowbuild.engine.engine import Performance, Wait
from flowbuild.engine.process import drive

PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class TinyIo:
    def __init__(self, root: Path, variables: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.variables = dict(variables or {})
        self.search_path: tuple[str, ...] = PATH
        self.kept: dict[str, bytes] = {}
        self.vacated: list[str] = []
        self._count = 0
        self.mask = Mask()
        (root / "ws").mkdir()

    @property
    def workspace(self) -> Path:
        return self.root / "ws"

    def write(self, path: str, text: str) -> Staged:
        place = self.workspace / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return Staged(path, None)

    def scratch(self, action: Action, directories: Iterable[str] = ()) -> Path:
        self._count += 1
        path = self.workspace / ".flowbuild" / "scratch" / str(self._count)
        path.mkdir(parents=True)
        for directory in directories:
            (path / directory).mkdir()
        return path

    def vacate(self, action: Action) -> None:
        self.vacated.append(action.state_id)

    def stage(self, staged: tuple[Staged, ...], root: Path) -> None:
        for path, _ in staged:
            source = self.workspace / path
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, root / path)

    def collect(self, path: Path) -> Mapping[str, Any] | None:
        if path.is_dir():
            return {"listing": sorted(os.listdir(path))}
        return {**self.keep(path.read_bytes()), "executable": os.access(path, os.X_OK)}

    def keep(self, data: bytes) -> Mapping[str, Any]:
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[sha256] = data
        return {"sha256": sha256, "size": len(data), "executable": False}

    def log(self, action: Action, stream: str) -> Path:
        return self.root / "logs" / f"{action.state_id}.{self._count}.{stream}"

    def environment(self, action: Action) -> Mapping[str, str]:
        fixed = {"PATH": ":".join(PATH), "LANG": "C.UTF-8", "TZ": "UTC"}
        return {**fixed, **self.variables, **action.with_.get("env", {})}

    def text(self, outcome: Outcome, name: str) -> str:
        return self.kept[outcome.outputs[name]["sha256"]].decode()


def action(
    kind: str,
    with_: Mapping[str, Any],
    staged: tuple[Staged, ...] = (),
    outputs: Mapping[str, str] | None = None,
    timeout_ms: int | None = None,
    package: str = "words",
) -> Action:
    doc = {"step_kind": kind, "with": dict(with_)}
    return Action(digest(doc), doc, "//words:it", "words_it.main.it", package, staged, outputs or {}, timeout_ms)


def perform(performance: Performance) -> Outcome:
    """The outcome of one performance. It yields nothing but waits here."""
    return drive(performance)  # type: ignore[arg-type]


def step(performance: Performance, seconds: float) -> None:
    """Pump a performance for some time, then leave it open."""
    until = time.monotonic() + seconds

    def bounded() -> Any:
        ready: tuple[int, ...] | None = None
        while time.monotonic() < until:
            wait = performance.send(ready)
            assert isinstance(wait, Wait)
            ready = yield Wait(wait.descriptors, until if wait.deadline is None else min(until, wait.deadline))

    drive(bounded())


def is_alive(pid: int) -> bool:
    """Whether a process runs. Zombies do not: init reaps slowly."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Any, seconds: float = 2.0) -> bool:
    """Whether something comes true within a time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())
