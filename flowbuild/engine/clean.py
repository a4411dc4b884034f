"""The channel `clean`, from outside: what an action may reach, and how its start becomes a confined one.

Knows nothing of mechanisms (`confine`, `enforcement`). An action reaches its own scratch directory, the system's
programs and libraries, and the interpreter if it is a handler; nothing of the workspace, even where that lies below
one of those.

Shapes:  a confined start has the launcher as its program, and the action's own variables.
         Standard library only: the preflight uses it too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flowbuild
from flowbuild.engine import landlock, probe
from flowbuild.engine.confine import COVERS, Confinement
from flowbuild.engine.guard import INSTALLED
from flowbuild.engine.spawn import Start

if TYPE_CHECKING:
    from flowbuild.engine.engine import Io
    from flowbuild.engine.place import Place

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
    scratch: str,
    hidden: str,
    more: Iterable[str] = (),
    exact: Iterable[str] = (),
    leaves: tuple[str, ...] = (),
) -> Confinement:
    """A directory to work in, the system, `more` paths around what is hidden, and `exact` ones wherever they are."""
    found = around((*SYSTEM.get(sys.platform, ()), *more), os.path.realpath(hidden))
    there = (path for path in exact if os.path.exists(path))
    return Confinement(scratch, tuple(dict.fromkeys([*found, *there])), leaves)


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
    """What a command may reach. Its program is in the action's key, so it may lie anywhere, beside its libraries."""
    file = os.path.realpath(program)
    return confinement(
        str(place.scratch), str(io.workspace), libraries([*io.search_path, os.path.dirname(file)]), [file]
    )


def for_python(place: Place, io: Io, search: Sequence[str] = ()) -> Confinement:
    """What a handler may reach: what its interpreter needs, and the distributions of a search path."""
    distributions = [entry for entry in search if os.path.basename(entry) in INSTALLED]
    more = (*libraries(io.search_path), *library(), *editable(distributions, search))
    return confinement(str(place.scratch), str(io.workspace), more, [*interpreter(), *distributions])


def libraries(directories: Iterable[str]) -> Iterator[str]:
    """Directories of programs, and what stands beside each for them. Not `share`: in a home it holds other things."""
    for directory in directories:
        yield directory
        if os.path.basename(directory) in ("bin", "sbin"):
            yield from (os.path.join(os.path.dirname(directory), name) for name in ("lib", "lib64", "libexec"))


def editable(distributions: Iterable[str], search: Sequence[str]) -> Iterator[str]:
    """The directories that editable installs add to a search path; those that a person adds are not installed."""
    for directory in distributions:
        with suppress(OSError):
            for file in sorted(Path(directory).glob("*.pth")):
                yield from (line for line in file.read_text("utf-8", "replace").splitlines() if line in search)


def for_probe(place: Place, io: Io, operation: str, target: str) -> Confinement:
    """What a probe may reach: beside the harness, the very thing that it declares to try.

    So the channel answers for nothing that the probe asks: what is denied is denied by the platform or the profile.
    The harness ends what it started, for which it needs signals where they can't be told apart. On macOS a sandbox does
    not nest, and the profile's is the one that counts.
    """
    leaves: tuple[str, ...] = ("network:none",) if operation in COVERS["network:none"] else ()
    if not has_scope():
        leaves += ("signals:deny",)
    if sys.platform == "darwin":
        leaves = tuple(COVERS)
    tried = ["/proc"] if operation == "process-info" else [target] if os.path.isabs(target) else []
    return confinement(str(place.scratch), str(io.workspace), library(), [*interpreter(), *tried], leaves)


def has_scope() -> bool:
    """Whether the kernel tells a process's own children from others when it signals."""
    try:
        return landlock.version() >= landlock.SCOPE_SINCE
    except OSError:
        return False


def library() -> Iterator[str]:
    """Where the interpreter itself is installed. Its prefix may be somebody's home, so not all of it."""
    for prefix in dict.fromkeys((sys.base_prefix, sys.base_exec_prefix)):
        yield from (os.path.join(prefix, name) for name in ("bin", "lib", "lib64", "libexec", "share", "ssl"))


def interpreter() -> Iterator[str]:
    """The parts of this interpreter's environment, which may stand among other things, and flowbuild's modules."""
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix)):
        yield from (os.path.join(prefix, name) for name in ("bin", "lib", "pyvenv.cfg"))
    yield from flowbuild.__path__


class Launch:
    """A start by way of the launcher, and the pipe on which it says that it could not begin. Use it as a context.

    Descriptors up to `keeps` are the program's. Its variables have other names on the way: a loader heeds some of them,
    and would do as they say before anything is confined.
    """

    def __init__(self, start: Start, what: Confinement, keeps: int = 2) -> None:
        names = sorted(start.environment)
        argv = (*probe.command("launch"), start.program, what.text, json.dumps(names), str(keeps + 1), *start.argv)
        environment = {f"_{number}": start.environment[name] for number, name in enumerate(names)}
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._said = b""
        descriptors = {**start.descriptors, keeps + 1: self._writing}
        self.start = replace(start, program=argv[0], argv=argv, environment=environment, descriptors=descriptors)

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more of it."""
        os.close(self._reading)
        os.close(self._writing)

    def report(self) -> list[dict[str, Any]]:
        """What each mechanism came to."""
        return [step for line in self._lines() for step in line.get("report", ())]

    def refusal(self) -> dict[str, Any] | None:
        """Why the program was not begun; None when it was."""
        return next((line for line in self._lines() if "stage" in line), None)

    def _lines(self) -> list[dict[str, Any]]:
        with suppress(BlockingIOError):
            self._said += os.read(self._reading, REPLY)
        return [json.loads(line) for line in self._said.splitlines()]


def _lies(path: str, root: str) -> bool:
    """Whether a path is this one or lies below it."""
    return path == root or path.startswith(root.rstrip("/") + "/")
