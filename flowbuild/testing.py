"""For tests, ours and other people's: a workspace to write, run and read, and an engine that follows a script.

Knows nothing of pytest. `Space` runs the real program in a real directory; `ScriptedEngine` is an engine like any
other, whose outcomes are said beforehand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.engine.engine import Capabilities, Io, Performance


class Ran(NamedTuple):
    """What one command line came to."""

    code: int
    out: str
    err: str

    @property
    def performed(self) -> int | None:
        """How many states were performed: 0 when everything was up to date, None when it was not said."""
        for line in self.out.splitlines():
            if line.startswith("up to date"):
                return 0
            if " performed, " in line:
                return int(line.split()[0])
        return None


class Space:
    """A workspace in a directory of its own."""

    def __init__(self, root: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR", "PYTHONPATH")}
        self.environment |= {"LC_ALL": "C.UTF-8", **(environment or {})}
        if not (root / "flowbuild.yaml").exists():
            self.write("flowbuild.yaml", "")

    def write(self, path: str, text: str | bytes, *, executable: bool = False) -> Path:
        """Write a file, its parents included. Text is dedented."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else dedent(text).lstrip("\n").encode())
        if executable:
            target.chmod(0o755)
        return target

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def remove(self, path: str) -> None:
        target = self.root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """The program, running, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "flowbuild", *words],
            cwd=self.root,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, **variables: str) -> Ran:
        """Run `flowbuild` with these words to its end, two minutes at most."""
        process = self.start(*words, **variables)
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Ran(process.returncode, out, err)

    def build(self, *words: str, **variables: str) -> Ran:
        """Run to success, then run again: nothing may be performed."""
        first = self.run(*words, **variables)
        assert first.code == 0, first
        again = self.run(*words, **variables)
        assert (again.code, again.performed) == (0, 0), again
        return first

    def events(self, *words: str, **variables: str) -> list[dict[str, Any]]:
        """The JSON lines of a run."""
        return [json.loads(line) for line in self.run(*words, "--json", **variables).out.splitlines()]


@dataclass
class ScriptedEngine:
    """An engine whose outcomes are scripted: a map from label to what its action comes to.

    A scripted value is text for every output, an ErrorInfo, or a function from the action to an Outcome.
    """

    script: Mapping[str, str | ErrorInfo | Callable[[Action], Outcome]] = field(default_factory=dict)
    performed: list[str] = field(default_factory=list)
    step_kinds: tuple[str, ...] = ("exec", "python", "write", "probe")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("scripted", "1", self.step_kinds)

    def perform(self, action: Action, io: Io) -> Performance:
        """Come to what the script says, without waiting."""
        self.performed.append(action.label)
        said = self.script.get(action.label, action.label)
        if isinstance(said, ErrorInfo):
            return Outcome(error=said)
        if callable(said):
            return said(action)
        place = io.scratch(action)
        outputs = {}
        for name in action.outputs:
            (place / name).write_text(said)
            collected = io.collect(place / name)
            assert collected is not None
            outputs[name] = collected
        return Outcome(outputs=outputs)
        yield  # a generator that never waits

    def interrupt(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """Nothing is kept between actions."""
