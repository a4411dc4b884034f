"""A check-up of this host: what it can isolate, flush, lock and watch, and which programs it has.

Knows nothing of how it is shown. Every row asks the machine: a restriction is applied, a lock is taken, a file is
flushed, a program is started. Nothing that it makes stays.

Shapes:  Row. Its status is enforced, degraded or unavailable for what isolates; works, degraded or unavailable for
         what else a host does; missing for what could be installed; said for what is only told. A row that a plain
         build needs and that is `unavailable` is why it won't work.
Errors:  none: what can't be found out is a row that says so.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.world import world_id
from flowbuild.engine import mechanisms
from flowbuild.engine.restrict import DEGRADED, UNAVAILABLE
from flowbuild.engine.watching import watches
from flowbuild.run.programs import PROGRAMS, install, start
from flowbuild.store import trial
from flowbuild.version import __version__

_CLEAN = "channel clean"
WORKS, MISSING, SAID = "works", "missing", "said"
_SECONDS = 60

_MECHANISMS = {
    "landlock": "Linux 5.13 or newer, with `landlock` in the kernel's lsm= list; in a container, its seccomp profile",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64",
    "network-namespace": "allow user namespaces, or run as root",
    "user-namespace": "sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 or "
    "kernel.apparmor_restrict_unprivileged_userns=0, where the kernel has them; in a container, its seccomp profile",
}
# What is tried on a disk: what it is for, whether a plain build needs it, what follows when the answer is no.
_DISK = {
    "write": ("files written whole, then renamed", True, "make room, or give yourself the right to write there"),
    "fsync": ("results survive a power cut", False, "a power cut may take what was built last"),
    "syncfs": ("many results flushed by one call", False, "each file is flushed by itself, which is slower"),
    "lock": ("several builds at once", True, "keep the workspace and its cache on a local file system"),
    "clone": ("copies that cost nothing", False, "outputs are copied; btrfs, xfs and apfs clone"),
}


class Row(NamedTuple):
    """One thing that was found out, and what can be done about it."""

    group: str
    name: str
    status: str
    detail: str = ""
    remedy: str = ""
    needed: bool = False

    @property
    def is_fatal(self) -> bool:
        return self.needed and self.status == UNAVAILABLE


def checkup(place: Path, cache: Path | None, record: Mapping[str, Any] | None) -> Iterator[Row]:
    """Everything about this host. `place` is where a workspace keeps its state, or a directory to try things in.

    `record` is that of the preflight for channel `clean`; None when that broke.
    """
    yield from _host(cache)
    yield from _isolation(record)
    yield from _disk("disk", place)
    if cache is not None and _standing(cache).stat().st_dev != _standing(place).stat().st_dev:
        yield from _disk("cache disk", cache)
    yield from _watch(place)
    yield from _programs()


def _host(cache: Path | None) -> Iterator[Row]:
    yield Row("host", "flowbuild", SAID, __version__)
    status = WORKS if sys.version_info >= (3, 11) else UNAVAILABLE
    python = f"{platform.python_version()} at {sys.executable}"
    yield Row("host", "python", status, python, "Python 3.11 or newer", needed=True)
    shell = _started(["/bin/sh", "-c", "echo started"])
    status = WORKS if shell == b"started\n" else UNAVAILABLE
    yield Row("host", "/bin/sh", status, "runs scripts", "install a shell there", needed=True)
    yield Row("host", "world", SAID, world_id())
    if cache is not None:
        yield Row("host", "cache", SAID, f"{_size(cache)} in {cache}")


def _size(cache: Path) -> str:
    count = size = 0
    for directory, _, names in os.walk(cache / "cas"):
        for name in names:
            with suppress(OSError):  # somebody may be cleaning up
                size += os.stat(f"{directory}/{name}").st_size
                count += 1
    return f"{count} object{'' if count == 1 else 's'}, {size / 2**20:.1f} MiB"


def _isolation(record: Mapping[str, Any] | None) -> Iterator[Row]:
    for one in mechanisms.trials():
        failure = one.errno_name or "the canary got through"
        detail = failure if one.status == UNAVAILABLE else f"ABI {one.abi}" if one.abi else ""
        yield Row("isolation", one.name, one.status, detail, _MECHANISMS[one.name])
    if record is None:
        yield Row("isolation", "preflight", UNAVAILABLE, "the host check broke", "run it again, then report it")
        return
    for name, entry in record["operations"].items():
        yield Row("isolation", name, entry["status"], _achieved(entry))
    said = {True: "yes", False: "no", None: "can't be told"}[record["sandbox_check_self"]["sandboxed"]]
    yield Row("isolation", "in a sandbox", SAID, said)
    channel = record["isolation"]
    for name, entry in channel["operations"].items():
        yield Row(_CLEAN, name, entry["status"], _achieved(entry))
    works = WORKS if channel["works"] else UNAVAILABLE
    yield Row(_CLEAN, "what is declared", works, "is still read, run and written there")


def _achieved(entry: dict[str, Any]) -> str:
    """What a restriction came to: by which mechanism, or why by none."""
    answer = entry["errno_name"] or "no errno"
    if entry["status"] == UNAVAILABLE:
        return str(answer)
    parts = [f"by {entry['mechanism']}: {answer}"]
    parts += [f"lets through {', '.join(entry['leaves'])}"] * bool(entry["leaves"])
    parts += [f"refused here anyway: {', '.join(entry['untested'])}"] * bool(entry["untested"])
    return "; ".join(parts)


def _started(command: list[str]) -> bytes:
    """What a program of every host says; nothing if it can't be started, or fails."""
    try:
        return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


def _disk(group: str, place: Path) -> Iterator[Row]:
    made = [above for above in (place, *place.parents) if not os.path.lexists(above)]
    try:
        place.mkdir(parents=True, exist_ok=True)
        found = trial.trials(place)
    except OSError as error:
        found = [trial.Trial("write", False, errno.errorcode.get(error.errno or 0))]
    for one in found:
        use, needed, without = _DISK[one.name]
        answer = one.errno_name or "not on this file system"
        if one.works:
            yield Row(group, one.name, WORKS, f"{use}{_room(place) if one.name == 'write' else ''}", needed=needed)
        elif needed:
            yield Row(group, one.name, UNAVAILABLE, f"{answer} in {place}", without, needed)
        else:
            yield Row(group, one.name, UNAVAILABLE if one.errno_name else DEGRADED, f"{answer}: {without}")
    for directory in made:
        with suppress(OSError):  # somebody put something there
            directory.rmdir()


def _room(place: Path) -> str:
    """How much a disk still takes."""
    with suppress(OSError):
        return f"; {shutil.disk_usage(place).free / 2**30:.1f} GiB free"
    return ""


def _standing(path: Path) -> Path:
    """A directory, or the nearest one above that is there."""
    return next(above for above in (path, *path.parents) if os.path.isdir(above))


def _watch(place: Path) -> Iterator[Row]:
    if sys.platform.startswith("linux"):
        failure, limits = watches(_standing(place))
        detail = ", ".join(f"{name} {value}" for name, value in limits.items())
        status = UNAVAILABLE if failure else WORKS
        remedy = "raise fs.inotify.max_user_instances and max_user_watches by sysctl"
        yield Row("watch", "inotify", status, f"{failure}; {detail}" if failure else detail, remedy)
    if find_spec("watchfiles") is None:
        remedy = f"{sys.executable} -m pip install watchfiles"
        yield Row("watch", "watchfiles", MISSING, "told of changes as they happen", remedy)
    else:
        yield Row("watch", "watchfiles", WORKS, "told of changes as they happen")


def _programs() -> Iterator[Row]:
    for program in PROGRAMS:
        found = start(program)
        if found.path is None:
            yield Row("programs", program.name, MISSING, f"wanted by {program.wanted_by}", install(program))
        elif found.works:
            yield Row("programs", program.name, WORKS, found.said or found.path)
        else:
            yield Row("programs", program.name, UNAVAILABLE, f"{found.path}: {found.said}")
