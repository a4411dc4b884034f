"""A handler called in the build's own process, where its target says `inline: true`. The process is then as it was.

Knows nothing of actions. What Python can put back is put back: directory, variables, search path, finders, modules,
streams, signals, umask, settings of the interpreter. What a distribution or the handler does to the state of other
modules stays, and a process that ends itself ends the build. Nobody can end a call, so nothing else goes on until it
returns.

Shapes:  a request as in `worker_main`; a reply too, with code `thread_left` where a thread still runs afterwards.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import ModuleType
from typing import Any

from flowbuild.engine.capture import Capture
from flowbuild.engine.door import Ask
from flowbuild.engine.reaper import children
from flowbuild.engine.worker_main import Reply, Request, once, set_variables

# Those that programs handle; asking for each of the 64 costs more than a small handler.
_HANDLED = ("INT", "TERM", "HUP", "QUIT", "ALRM", "CHLD", "PIPE", "USR1", "USR2", "WINCH", "TSTP", "CONT")
_SIGNALS = tuple(getattr(signal, f"SIG{name}") for name in _HANDLED)


def perform(request: Request, variables: Mapping[str, str], captures: tuple[Capture, Capture], ask: Ask) -> Reply:
    """Call one handler, and put everything back."""
    pid, threads, family = os.getpid(), set(threading.enumerate()), _children()
    with ExitStack() as stack:
        for keep in (_process(), _interpreter(), _signals(), _modules(request), _streams(captures)):
            stack.enter_context(keep)
        reply = once(request, dict(variables), [], ask)
        if os.getpid() != pid:  # the handler forked, and this is the child: nothing here is its own
            os._exit(0)
    lingers = _end_children(family)
    left = [thread.name for thread in threading.enumerate() if thread not in threads]
    if left and "code" not in reply:
        said = f"the handler left a thread behind ({left[0]}), and it runs inline; join it, or leave out `inline`"
        return {"ok": False, "code": "thread_left", "message": said, "traceback": "", "lingers": True}
    return {"ok": "code" not in reply, **reply, "lingers": lingers}


def _children() -> set[int] | None:
    """Our children, without asking for a list where there is none; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    found = children()
    return None if found is None else set(found)


def _end_children(before: set[int] | None) -> bool:
    """End the children that the handler left, as a worker's end would. Whether there were any, or may be."""
    after = _children()
    if before is None or after is None:
        return True
    for pid in after - before:
        with suppress(ProcessLookupError, ChildProcessError):
            if before and os.getsid(pid) != os.getsid(0):  # maybe of an action at work: the reaper sees to it
                continue
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return after != before


class _Said(io.RawIOBase):
    """What is written to a stream of Python goes to a log."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._capture.feed(bytes(data))
        return len(data)


@contextmanager
def _streams(captures: tuple[Capture, Capture]) -> Iterator[None]:
    """Standard streams of Python, as a worker has them; descriptors 0 to 2 stay the build's."""
    before = sys.stdin, sys.stdout, sys.stderr
    stdout, stderr = (io.BufferedWriter(_Said(one)) for one in captures)
    sys.stdin = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    sys.stdout = io.TextIOWrapper(stdout, encoding="utf-8", errors="surrogateescape")
    sys.stderr = io.TextIOWrapper(stderr, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def _process() -> Iterator[None]:
    """Directory, variables, paths of imports, words, umask, time zone."""
    here, umask, tempdir = os.open(".", os.O_RDONLY), os.umask(0o077), tempfile.tempdir
    os.umask(umask)
    environ, variables = os.environ, dict(os.environ)
    lists = (sys.path, sys.meta_path, sys.path_hooks, sys.argv)
    held = [list(one) for one in lists]
    os.environ["TZ"] = "UTC"  # which is what every handler has
    time.tzset()
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        os.umask(umask)
        tempfile.tempdir = tempdir
        os.environ = environ  # noqa: B003 - the handler may have put another in its place
        set_variables(variables)
        time.tzset()
        sys.path, sys.meta_path, sys.path_hooks, sys.argv = lists
        for one, kept in zip(lists, held, strict=True):
            one[:] = kept  # type: ignore[index]


@contextmanager
def _interpreter() -> Iterator[None]:
    """Settings that would change what the next handler comes to, or how the build itself runs."""
    import decimal

    trace, profile = sys.gettrace(), sys.getprofile()
    depth, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    collects, dumps = gc.isenabled(), faulthandler.is_enabled()
    try:
        with warnings.catch_warnings(), decimal.localcontext():
            yield
    finally:
        if sys.gettrace() is not trace:
            sys.settrace(trace)
        if sys.getprofile() is not profile:  # one that was set in C can't be set from here
            sys.setprofile(profile)
        sys.setrecursionlimit(depth)
        sys.set_int_max_str_digits(digits)
        (gc.enable if collects else gc.disable)()
        faulthandler.cancel_dump_traceback_later()
        if not dumps:
            faulthandler.disable()


@contextmanager
def _signals() -> Iterator[None]:
    """What signals do and which wait, and no alarm after the call. Only the first thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, held in before.items():
            if held is not None and signal.getsignal(number) is not held:
                signal.signal(number, held)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _modules(request: Request) -> Iterator[None]:
    """Modules of ours that have the names of declared ones make room: a workspace may have a `yaml.py`."""
    names = {*request["modules"], *([request["module"]] if request["source"] is not None else [])}
    tops = ({name.partition(".")[0] for name in names} & sys.modules.keys()) - {"flowbuild"}
    found: dict[str, ModuleType] = {}
    if tops:
        found = {name: one for name, one in sys.modules.items() if name.partition(".")[0] in tops}
    for name in found:
        del sys.modules[name]
    try:
        yield
    finally:
        if tops:
            for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
                del sys.modules[name]
        sys.modules.update(found)
