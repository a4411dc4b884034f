"""The CPU time of a program and of all that it starts.

Knows nothing of build systems. We become the reaper of orphans where the system lets us, so that a child which a tool
leaves behind is waited for, and counts.

Errors:  Failed, with what the program said, when it does not exit with 0.
Source:  wait4(2), prctl(2).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """A program that is being measured did not succeed."""


class Spent(NamedTuple):
    """What a program cost, with its children: user plus system time, and time on the wall."""

    cpu_s: float
    wall_s: float


def reap_orphans() -> bool:
    """Have orphans of our descendants become ours. False where the system can't."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def spend(argv: list[str], root: Path, log: Path) -> Spent:
    """Run a program to its end, and its children to theirs."""
    environment = {name: value for name, value in os.environ.items() if name not in _DISTORTING}
    here = os.getcwd()
    os.chdir(root)  # posix_spawn knows no directory
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        started = time.perf_counter()
        child = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    finally:
        os.chdir(here)
    _, status, usage = os.wait4(child, 0)
    wall_s = time.perf_counter() - started
    if status:
        raise Failed(f"{' '.join(argv)}: exit {os.waitstatus_to_exitcode(status)}\n{log.read_text()[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return Spent(cpu_s, wall_s)
        cpu_s += usage.ru_utime + usage.ru_stime


# Python would compile flowbuild anew each time; make would think itself a part of another make.
_DISTORTING = {"PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "MAKEFLAGS", "MAKELEVEL", "NINJA_STATUS"}
