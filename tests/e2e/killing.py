"""Where the program can be killed, and killing it there: see `killed.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flowbuild.testing import Space


def killed(space: Space, where: str, number: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run these words, to be killed at one point."""
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), where, str(number), *words]
    return subprocess.run(program, cwd=space.root, env=space.environment, capture_output=True, text=True, timeout=120)


def points(space: Space, *words: str) -> list[tuple[str, int]]:
    """Where to kill: before each write, after each event, and in the middle and at the end of each barrier.

    Runs the words once, undisturbed.
    """
    done = killed(space, "count", 0, *words)
    assert done.returncode == 0, done
    found: list[tuple[str, int]] = []
    for line in done.stderr.splitlines():
        _, first, last, word = line.split()
        found.append(("before", int(first)))
        found += [("after", number) for number in range(int(first), int(last) + 1)]
        if word == "barrier":
            found += [("torn", int(last)), ("flushed", int(last))]
    return found
