"""Children and their end: every process that this session started dies with it.

Knows nothing of actions. Three nets, each for what slips through the one before:
1. a child leads a session and process group of its own, and the whole group is ended with it;
2. on Linux we are a subreaper: who left the group by `setsid` and lost its parent becomes our child, is found, killed;
3. a watcher, a shell that reads a pipe of ours, kills the groups and their descendants when we are gone, whatever
   ended us.

What remains: a child that daemonized (no ancestor of its own left) when we are killed by SIGKILL, and one whose start
the watcher had not yet been told. macOS has no subreaper: there the second net is missing.

Errors:  from `start`: OSError when the system refuses the program, DiskRefused when it is short of what any would need.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import ClassVar

from flowbuild.engine.spawn import Child, Start, await_death, spawn
from flowbuild.store.refusal import SHORTAGES, refused

# Builtins only, so that it needs no program. At the end of its input it finds who descends from a group that still
# lives, before killing makes them orphans, then kills both. In a stat line the state follows the
# name, then come parent, group and session.
WATCHER = """
trap '' HUP INT QUIT TERM PIPE TSTP TTIN TTOU
live=' '
while read -r op group; do
  case $op in
    +) live="$live$group " ;;
    -) live="${live%% $group *} ${live#* $group }" ;;
  esac
done
case $live in *[0-9]*) ;; *) exit 0 ;; esac
doomed=$live
grew=yes
while [ "$grew" ]; do
  grew=
  for stat in /proc/[0-9]*/stat; do
    read -r line < "$stat" || continue
    pid=${stat#/proc/}; pid=${pid%/stat}
    case $doomed in *" $pid "*) continue ;; esac
    set -- ${line##*) }
    case $doomed in *" $2 "* | *" $3 "* | *" $4 "*) doomed="$doomed$pid "; grew=yes ;; esac
  done
done
for group in $live; do kill -KILL "-$group"; done
for pid in $doomed; do kill -KILL "$pid"; done
"""


class Reaper:
    """The children of one session. Cheap to make: watcher and subreaper begin with the first child.

    Orphans come to the process, not to one of its reapers: so each knows the children of all.

    Whoever else in this program starts children in sessions of their own must name them to `adopt`: an unknown
    child outside our session counts as one that slipped away.
    """

    _family: ClassVar[dict[int, Child]] = {}  # the children of every reaper of this process
    _watchers: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._known: set[int] = set()
        # A stranger may belong to any child that ran when it was first seen; it goes with the last of them.
        self._strangers: dict[int, set[int]] = {}
        self._pipe: int | None = None
        self._watcher: int | None = None
        self._ready = False
        self._sees_all = False
        self._has_left = False

    def prepare(self) -> None:
        """Have orphans come to us, before anybody may leave one."""
        if not self._ready:
            self._sees_all = _prepare() and children() is not None
            self._ready = True

    def start(self, start: Start) -> Child:
        """Start a program, in a session of its own, with no descriptor but the named ones."""
        try:
            return self._start(start)
        except OSError as error:
            if error.errno not in {*SHORTAGES, errno.EIO}:
                raise
            with refused(start.program):  # no fault of the program: the host's
                raise

    def _start(self, start: Start) -> Child:
        self.prepare()
        if self._pipe is None:
            self._watch()
        out, err = os.pipe(), os.pipe()
        try:
            pid = spawn(start, {1: out[1], 2: err[1], **start.descriptors})
        except BaseException:
            os.close(out[0])
            os.close(err[0])
            raise
        finally:
            os.close(out[1])
            os.close(err[1])
        self._tell(b"+ %d\n" % pid)
        os.set_blocking(out[0], False)
        os.set_blocking(err[0], False)
        child = Child(pid, (out[0], err[0]))
        self._children[pid] = self._family[pid] = child
        return child

    def adopt(self, pid: int) -> None:
        """Count a child that others started as theirs, not as a stranger."""
        self._known.add(pid)

    def finish(self, child: Child) -> int:
        """End what is left of a child's group, and who slipped out of it; the exit status."""
        status = child.reap()
        self._tell(b"- %d\n" % child.pid)
        self._children.pop(child.pid, None)
        self._family.pop(child.pid, None)
        self._end_strangers(child.pid)
        return status

    @property
    def is_alone(self) -> bool:
        """Whether nobody lives who was left by a child that has ended, as far as this host lets us know."""
        return self._sees_all and not self._has_left

    def rest(self, child: Child) -> None:
        """A kept child has done its task: end who slipped out of it meanwhile."""
        child.idle = True
        self._end_strangers(child.pid)

    def interrupt(self) -> None:
        """Ask every child to end, all at once: ending them one by one then costs one grace, not one each."""
        for child in self._children.values():
            child.terminate()

    def close(self) -> None:
        """End everything now."""
        for child in list(self._children.values()):
            self.finish(child)
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        if self._watcher is not None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._watcher, signal.SIGKILL)
                os.waitpid(self._watcher, 0)
            self._watchers.discard(self._watcher)
            self._watcher = None

    def _watch(self) -> None:
        reading, writing = os.pipe()
        start = Start("/bin/sh", ("sh", "-c", WATCHER), Path("/"), {})
        try:
            null = os.open(os.devnull, os.O_RDWR)
            try:
                self._watcher = spawn(start, {0: reading, 1: null, 2: null})
                self._watchers.add(self._watcher)
            finally:
                os.close(null)
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._pipe = writing
        for pid in self._children:
            self._tell(b"+ %d\n" % pid)

    def _tell(self, line: bytes) -> None:
        if self._pipe is None:
            return
        try:
            os.write(self._pipe, line)
        except BrokenPipeError:  # someone killed the watcher: the next start makes another
            os.close(self._pipe)
            self._pipe = None
            self._watchers.discard(self._watcher or 0)

    def _end_strangers(self, ended: int) -> None:
        """Kill the orphans that came to us, but for those that a running child may still need."""
        for suspects in self._strangers.values():
            suspects.discard(ended)
        until = time.monotonic() + 1
        while time.monotonic() < until:  # a killed stranger leaves us its own children
            doomed, orphans = [], self._orphans()
            self._has_left = bool(orphans)
            for pid in orphans:
                if not self._strangers.setdefault(pid, self._suspects(pid, ended)):
                    doomed.append(pid)
            if not doomed:
                return
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                self._strangers.pop(pid, None)
                await_death(pid)

    def _suspects(self, pid: int, ended: int) -> set[int]:
        """Whose an orphan may be: the session says it, unless it made one of its own."""
        session = _session(pid)
        if session == ended:
            return set()
        busy = {child.pid for child in self._family.values() if not child.idle}
        return {session} if session in busy else busy

    def _orphans(self) -> list[int]:
        ours = {*self._family, *self._watchers, *self._known}
        return [pid for pid in children() or () if pid not in ours and _session(pid) != os.getsid(0)]


def _prepare() -> bool:
    """Once a session: no descriptor that we were started with reaches a child, and orphans come to us if they can."""
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
                os.set_inheritable(int(name), False)
    if sys.platform != "linux":
        return False
    import ctypes

    set_child_subreaper = 36  # prctl(2); a kernel that refuses leaves us without the second net
    return ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0) == 0  # type: ignore[no-any-return]


def children() -> list[int] | None:
    """Every child of this process, adopted ones too; None where the system does not list them."""
    found: list[int] = []
    try:
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    except FileNotFoundError:
        return None
    return found


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return os.getsid(0)
