"""Programs without a network: the kernel takes it away before they start, and nothing of ours is asked to behave.

Knows nothing of what a test expects. In a namespace there is no interface but a loopback that is down; under a filter
no socket can be made at all, not even a local one. A third way runs as another user who owns nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import flowbuild
from flowbuild.testing import Ran

ROOT = Path(flowbuild.__file__).parents[1]
NOBODY = 65534
FILTER = """
import os, sys
from flowbuild.engine import seccomp, syscalls
syscalls.forbid_new_privileges()
seccomp.install([seccomp.refuse("socket"), seccomp.refuse("io_uring_setup")])
os.execv(sys.argv[1], sys.argv[1:])
"""
# The interpreter may lie where another user can't go: it is shown to him at another place.
AS_NOBODY = 'mount --bind "$1" "$2" && shift 2 && exec setpriv --reuid {0} --regid {0} --clear-groups "$@"'
WAYS = ("namespace", "filter")


def prefix(way: str) -> list[str]:
    """The words before a command that cut it off."""
    return ["unshare", "-rn"] if way == "namespace" else [sys.executable, "-c", FILTER]


def refusal(way: str) -> str | None:
    """Why this host can't cut in this way."""
    return tried([*prefix(way), sys.executable, "-c", ""])


def run(way: str, words: Sequence[str], directory: Path, variables: Mapping[str, str]) -> Ran:
    """A program of Python that is cut off, run to its end."""
    return _run([*prefix(way), sys.executable, *words], directory, variables)


class Stranger:
    """Another user, in a namespace of his own. `place` is an empty directory."""

    def __init__(self, place: Path) -> None:
        inside = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
        self._words = ["unshare", "-n", "-m", "/bin/sh", "-eu", "-c", AS_NOBODY.format(NOBODY), "sh"]
        self._words += [str(Path(sys.base_prefix).resolve()), str(place), str(place / inside)]
        self._path = f"{ROOT}:{sysconfig.get_path('purelib')}"

    def refusal(self) -> str | None:
        """Why nobody can be such a user here."""
        return tried([*self._words, "-c", f"import sys; sys.path[:0] = {self._path.split(':')}; import flowbuild.io"])

    def run(self, words: Sequence[str], directory: Path, variables: Mapping[str, str]) -> Ran:
        return _run([*self._words, *words], directory, {**variables, "PYTHONPATH": self._path})


def tried(words: Sequence[str]) -> str | None:
    """Why a command does not work here, if it doesn't."""
    if shutil.which(words[0]) is None:
        return f"{words[0]} is not installed"
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd="/")
    return None if ended.returncode == 0 else (ended.stderr.strip().splitlines() or ["it ended without a word"])[-1]


def _run(words: Sequence[str], directory: Path, variables: Mapping[str, str]) -> Ran:
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=directory, env=dict(variables))
    return Ran(ended.returncode, ended.stdout, ended.stderr)
