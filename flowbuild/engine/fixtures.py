"""What a probe finds when it looks: a tree, a listener, a process, a variable; all made here, and all gone at the end.

Knows nothing of policies. Fixtures are made without restriction, before the probing process is forked.

Processes end with the harness however it ends; a harness that is killed outright leaves its small tree in TMPDIR.

Shapes:  a tree has `staged/` and `outside/`, each with `file` and `directory/`. `place` says where a target is.
Errors:  OSError when the host can't make one.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

from flowbuild.engine.operations import FIXTURE_ROOTS, OPERATIONS, Place
from flowbuild.engine.syscalls import die_with


class Fixtures(NamedTuple):
    """Where the fixtures of one probe are."""

    tree: str
    port: int = 0
    victim: int = 0

    @property
    def staged(self) -> str:
        return f"{self.tree}/staged"

    def place(self, target: str) -> Place:
        """A target's place: paths of the tree in full, all else by its own name."""
        in_tree = target.split("/")[0] in FIXTURE_ROOTS
        return Place(f"{self.tree}/{target}" if in_tree else target, self.port, self.victim)


@contextlib.contextmanager
def standing(operation: str, target: str) -> Iterator[Fixtures]:
    """The fixtures that an operation needs, for as long as the block lasts."""
    kind = OPERATIONS[operation].target
    with contextlib.ExitStack() as stack:
        tree = stack.enter_context(_tree())
        port = stack.enter_context(_listener(operation)) if kind == "loopback" else 0
        victim = stack.enter_context(_victim()) if kind == "process" else 0
        if kind == "variable":
            os.environ.setdefault(target, "planted")
        yield Fixtures(tree, port, victim)


@contextlib.contextmanager
def _tree() -> Iterator[str]:
    root = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")
    tree = f"{root}/flowbuild-probe-{os.urandom(8).hex()}"
    try:
        for name in FIXTURE_ROOTS:
            os.makedirs(f"{tree}/{name}/directory", mode=0o700)
            with open(f"{tree}/{name}/file", "w") as file:
                file.write("known\n")
        yield tree
    finally:
        _remove(tree)


def _remove(tree: str) -> None:
    """Remove a tree. What a probe took away itself is not missed."""
    for place, directories, files in os.walk(tree, topdown=False):
        for name in files:
            os.unlink(f"{place}/{name}")
        for name in directories:
            os.rmdir(f"{place}/{name}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(tree)


@contextlib.contextmanager
def _listener(operation: str) -> Iterator[int]:
    """A socket on the loopback that takes what a probe sends. The kernel answers for it: nobody need accept."""
    import socket

    kind = socket.SOCK_DGRAM if operation == "network-outbound-udp" else socket.SOCK_STREAM
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.socket(socket.AF_INET, kind))
            listener.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                listener.listen(8)
            port: int = listener.getsockname()[1]
        except OSError:
            port = 9  # a host without a network at all: the probe itself finds that out, and says so
        yield port


@contextlib.contextmanager
def _victim() -> Iterator[int]:
    """A process that does nothing and minds no SIGUSR1, and ends when the pipe from its parent closes."""
    parent = os.getpid()
    staying, leaving = os.pipe()
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            die_with(parent)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            os.close(leaving)
            os.write(done, b".")
            while os.read(staying, 1):
                pass
        finally:
            os._exit(0)
    os.close(done)
    os.close(staying)
    try:
        os.read(ready, 1)
        yield child
    finally:
        os.close(ready)
        os.close(leaving)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
