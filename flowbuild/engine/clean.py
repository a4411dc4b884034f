"""The channel `clean`, from outside: what an action may reach, and how its start becomes a confined one.

Knows nothing of mechanisms (`confine`, `enforcement`). An action reaches its own scratch directory, the system's
programs and libraries, and the interpreter if it is a handler; nothing of the workspace, even where that lies below
one of those.

Shapes:  a confined start has the launcher as its program, and the action's own variables.
Errors:  outcome code `channel_refused`: this host can't hold an action, or the action can't be held.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import flowbuild
from flowbuild.core.action import ErrorInfo
from flowbuild.engine import probe
from flowbuild.engine.confine import COVERS, Confinement
from flowbuild.engine.engine import Io
from flowbuild.engine.guard import INSTALLED
from flowbuild.engine.place import Place
from flowbuild.engine.spawn import Start

CODE = "channel_refused"
REPLY = 1 << 16

_ETC = (
    *("alternatives", "ca-certificates", "crypto-policies", "fonts", "fonts.conf", "group", "host.conf", "hosts"),
    *("java", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "locale.alias", "locale.conf"),
    *("localtime", "magic", "mime.types", "nsswitch.conf", "os-release", "passwd", "perl", "pki", "python3"),
    *("R", "ssl", "texmf", "timezone"),
)
# What every action may read and run, where it is there. None of it belongs to a person.
SYSTEM: Mapping[str, tuple[str, ...]] = {
    "linux": (
        *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"),
        *(f"/etc/{name}" for name in _ETC),
        *("/proc/cpuinfo", "/proc/filesystems", "/proc/meminfo", "/proc/stat", "/proc/version"),
        "/sys/devices/system/cpu",
    ),
    "darwin": ("/usr", "/bin", "/sbin", "/System", "/Library", "/opt", "/dev", "/private/etc", "/private/var/db"),
}


def confinement(
    place: Place, io: Io, more: Iterable[str] = (), exact: Iterable[str] = (), leaves: tuple[str, ...] = ()
) -> Confinement:
    """What an action in a place may reach: `more` paths around the workspace, and `exact` ones wherever they are."""
    wanted = (*SYSTEM.get(sys.platform, ()), *io.search_path, *more)
    found = [*around(wanted, os.path.realpath(io.workspace)), *(path for path in exact if os.path.exists(path))]
    return Confinement(str(place.scratch), tuple(dict.fromkeys(found)), leaves)


def around(paths: Iterable[str], hidden: str) -> Iterator[str]:
    """The paths that are there, each once; instead of one that holds `hidden`, what lies beside the way to it."""
    seen = set()
    todo = list(reversed(list(paths)))
    while todo:
        path = os.path.realpath(todo.pop())
        if path in seen or not os.path.exists(path) or _lies(path, hidden):
            continue
        seen.add(path)
        if _lies(hidden, path):
            todo += [os.path.join(path, name) for name in sorted(os.listdir(path), reverse=True)]
        else:
            yield path


def for_program(place: Place, io: Io, program: str) -> Confinement:
    """What a command may reach. Its program is in the action's key, so it may lie anywhere."""
    return confinement(place, io, exact=[program])


def for_python(place: Place, io: Io, search: Iterable[str] = ()) -> Confinement:
    """What a handler may reach: what its interpreter needs, and the distributions of a search path."""
    entries = [os.path.realpath(entry) for entry in search if os.path.isabs(entry)]
    distributions = [entry for entry in entries if os.path.basename(entry) in INSTALLED]
    more = (sys.base_prefix, sys.base_exec_prefix, *entries)
    return confinement(place, io, more, [*_interpreter(), *distributions])


def for_probe(place: Place, io: Io, operation: str, target: str) -> Confinement:
    """What a probe may reach: beside the harness, the very thing that it declares to try.

    So the channel answers for nothing that the probe asks: what is denied is denied by the platform or the profile.
    On macOS a sandbox does not nest, and the profile's is the one that counts.
    """
    leaves = ("network:none",) if operation in COVERS["network:none"] else ()
    if sys.platform == "darwin":
        leaves = tuple(COVERS)
    tried = ["/proc"] if operation == "process-info" else [target] if os.path.isabs(target) else []
    return confinement(place, io, (sys.base_prefix, sys.base_exec_prefix), [*_interpreter(), *tried], leaves)


def _interpreter() -> Iterator[str]:
    """The parts of this interpreter's environment, which may stand among other things, and flowbuild's modules."""
    for prefix in {sys.prefix, sys.exec_prefix}:
        yield from (os.path.join(prefix, name) for name in ("bin", "lib", "pyvenv.cfg"))
    yield from flowbuild.__path__


class Launch:
    """A start by way of the launcher, and the pipe on which it says that it could not begin. Use it as a context."""

    def __init__(self, start: Start, what: Confinement) -> None:
        names = json.dumps(sorted(start.environment))
        argv = (*probe.command("launch"), start.program, what.text, names, *start.argv)
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.start = replace(start, program=argv[0], argv=argv, descriptors={**start.descriptors, 3: self._writing})

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._reading)
        os.close(self._writing)

    def said(self) -> dict[str, Any] | None:
        """What the launcher said; None when the program was begun."""
        with suppress(BlockingIOError):
            said: dict[str, Any] = json.loads(os.read(self._reading, REPLY))
            return said
        return None


def in_place() -> ErrorInfo:
    """The fault of an action that asks to run where everything is in sight."""
    return cannot(
        "`stage: false` runs in the workspace itself, where channel clean can hide nothing; "
        "leave it out, or build with --channel direct"
    )


def cannot(message: str) -> ErrorInfo:
    """The fault of an action that was not begun, since it could not be held."""
    return ErrorInfo(CODE, message, details={"channel": "clean"})


def told(error: ErrorInfo | None, said: str) -> ErrorInfo | None:
    """An error of a confined action, with the channel named: what it missed may be what it did not declare.

    `said` is what the action said last, in which a refusal of the kernel would stand.
    """
    if error is None or error.code == CODE:
        return error
    hint = ""
    if any(word in f"{error.message}{said}" for word in ("ermission denied", "not permitted", "EACCES", "EPERM")):
        hint = ": it reaches no file that it does not declare, no socket, and no process of others"
    return replace(error, message=f"{error.message}; it ran in channel clean{hint}")


def _lies(path: str, root: str) -> bool:
    """Whether a path is this one or lies below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")
