"""The real program, and what it took: the most memory of it or any child of its, and the processor's time."""

from __future__ import annotations

import subprocess
import sys

from flowbuild.testing import Ran, Space

RUNNER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime, file=open('../usage', 'w'))
sys.exit(code)
"""


def measured(space: Space, *words: str) -> tuple[Ran, int, float]:
    """A run, the most memory in MiB, and seconds."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, sys.executable, "-m", "flowbuild", *words],
        cwd=space.root, env=space.environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    most, seconds = (space.root.parent / "usage").read_text().split()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Ran(done.returncode, done.stdout, done.stderr), int(most) // unit, float(seconds)
