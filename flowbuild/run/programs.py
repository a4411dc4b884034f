"""Programs that optional parts want: whether this host has them and they start, and what installs those it lacks.

Knows nothing of how it is shown. A program is started, with arguments that change nothing; its first line is what is
told of it.

Errors:  none: a program that does not start is one that says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

_SECONDS = 10


class Program(NamedTuple):
    """A program, what wants it, arguments to try it with, and its package where that has another name."""

    name: str
    wanted_by: str
    arguments: tuple[str, ...] = ("--version",)
    packages: Mapping[str, str] = {}


class Start(NamedTuple):
    """What starting a program came to. `said` is its first line, or why there is none."""

    path: str | None
    works: bool
    said: str


PROGRAMS = (
    Program("git", "a checkout of flowbuild, and its tests"),
    Program("bwrap", "commands that sandbox what they start", ("--ro-bind", "/", "/", "true"), {"": "bubblewrap"}),
    Program("strace", "flowbuild's tests of crashes and of refusing disks"),
    Program("node", "handlers and executors in JavaScript", packages={"apt-get": "nodejs", "dnf": "nodejs"}),
)

# A package manager, and its command. What it has no package for stands in `_LACKS`.
_INSTALLS = {"apt-get": "apt-get install {}", "dnf": "dnf install {}", "brew": "brew install {}"}
_LACKS = {"brew": ("bwrap", "strace")}


def start(program: Program) -> Start:
    """Find a program in PATH, and start it."""
    path = shutil.which(program.name)
    if path is None:
        return Start(None, False, "")
    try:
        done = subprocess.run(
            [path, *program.arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Start(path, False, f"no answer within {_SECONDS} s")
    except OSError as error:
        return Start(path, False, str(error.strerror))
    said = (done.stdout if done.returncode == 0 else done.stderr).decode(errors="replace").strip()
    return Start(path, done.returncode == 0, said.partition("\n")[0])


def install(program: Program) -> str:
    """The command that installs a program here, by the package manager that this host has."""
    for manager, command in _INSTALLS.items():
        if shutil.which(manager) is None:
            continue
        if program.name in _LACKS.get(manager, ()):
            return f"{manager} has no package of it"
        package = program.packages.get(manager, program.packages.get("", program.name))
        sudo = "" if manager == "brew" or os.geteuid() == 0 else "sudo "
        return sudo + command.format(package)
    return f"install it; here is none of {', '.join(_INSTALLS)}"
