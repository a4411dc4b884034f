"""One child from start to end, as a generator: it yields waits and returns how the child ended.

Knows nothing of actions or outputs. Both streams are pumped into captures, so no child waits for a full pipe. A child
that closed its streams is waited for; a grandchild that keeps them open is given a moment (bash's `> >(tee log)` is
such a one), then ends with the group.

Shapes:  `attend` yields Wait and returns Exit; closing the generator ends the child, its group and its strays. Streams
         that ended are closed: a descriptor of one wait may be gone by the next.
Errors:  DiskRefused when the log cannot be written.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple, TypeVar

from flowbuild.core.event import Event
from flowbuild.engine.capture import Capture
from flowbuild.engine.engine import Ready, Wait
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child

T = TypeVar("T")
Pump = Generator[Wait, Ready, T]

GRACE = 2.0  # seconds between SIGTERM and SIGKILL; `close` promises five for everything
LINGER = 0.25  # seconds for what still holds the streams after the child's exit
CHUNK = 1 << 16
BURST = 16  # chunks read from one stream before others get their turn
POLL = (0.001, 0.05)  # seconds between looks where exits can't be waited for: first, last


class Exit(NamedTuple):
    """How a child ended: by code or by signal, and whether its time was over."""

    code: int | None
    signal: int | None
    seconds: float
    timed_out: bool

    def __str__(self) -> str:
        what = f"killed by {signal.Signals(self.signal).name}" if self.signal else f"exit {self.code}"
        return f"{what} after {self.seconds:.2f} s"


def attend(reaper: Reaper, child: Child, captures: tuple[Capture, Capture], timeout: float | None = None) -> Pump[Exit]:
    """See a child through to its end. `captures` are for stdout and stderr, and closed at the end."""
    timed_out = False
    try:
        deadline = None if timeout is None else child.started + timeout
        if not (yield from until_exit(child, captures, deadline)):
            timed_out = True
            yield from end(child, captures)
        seconds = child.seconds
        yield from _drain(child, captures, time.monotonic() + LINGER)
    finally:
        status = conclude(reaper, child, captures)
    return exited(status, seconds, timed_out)


def exited(status: int, seconds: float, timed_out: bool = False) -> Exit:
    """What a status of waitpid says."""
    code = os.waitstatus_to_exitcode(status)
    return Exit(code if code >= 0 else None, -code if code < 0 else None, seconds, timed_out)


def until_exit(child: Child, captures: tuple[Capture, Capture], deadline: float | None) -> Pump[bool]:
    """Pump until the child has exited; False when the deadline came first."""
    yield from until_said(child, captures, deadline)
    return child.has_exited()


def until_said(
    child: Child,
    captures: tuple[Capture, Capture],
    deadline: float | None,
    descriptor: int | None = None,
    answer: Callable[[], T | None] = lambda: None,
) -> Pump[T | None]:
    """Pump until `answer`, which reads `descriptor`, has one; None when the child's end or the deadline came first."""
    also = () if descriptor is None else (descriptor,)
    pause = POLL[0]
    while True:
        # Looked at first: what a child said before its end is then there to be read.
        has_exited = child.has_exited()
        said = answer()
        pump(child, captures)
        now = time.monotonic()
        if said is not None or has_exited or (deadline is not None and now >= deadline):
            return said
        if child.pidfd is not None:
            yield Wait((*child.streams, *also, child.pidfd), deadline)
        else:
            until = now + pause
            yield Wait((*child.streams, *also), until if deadline is None else min(until, deadline))
            pause = min(pause * 2, POLL[1])


def end(child: Child, captures: tuple[Capture, Capture]) -> Pump[None]:
    """SIGTERM, a grace, SIGKILL. What it says meanwhile is kept."""
    child.terminate()
    assert child.term_at is not None
    if not (yield from until_exit(child, captures, child.term_at + GRACE)):
        child.signal(signal.SIGKILL)
        # Nobody outlives SIGKILL but a process that hangs inside the kernel: don't hang with it.
        yield from until_exit(child, captures, time.monotonic() + GRACE)


def conclude(reaper: Reaper, child: Child, captures: Iterable[Capture]) -> int:
    """End what is left, close the logs, and give the exit status. Blocks, but for a grace at most."""
    first, second = captures
    try:
        if not child.has_exited():
            drive(end(child, (first, second)))
        return reaper.finish(child)
    finally:
        try:
            first.close()
        finally:
            second.close()


def pump(child: Child, captures: tuple[Capture, Capture]) -> None:
    """Read what is there, without waiting. A stream that ended is closed and forgotten."""
    for descriptor in tuple(child.streams):
        capture = captures[descriptor != child.stdout]
        for _ in range(BURST):
            try:
                data = os.read(descriptor, CHUNK)
            except BlockingIOError:
                break
            if not data:
                os.close(descriptor)
                child.streams.remove(descriptor)
                break
            capture.feed(data)
            if len(data) < 4096:  # most likely all there was
                break


def _drain(child: Child, captures: tuple[Capture, Capture], until: float) -> Pump[None]:
    """Read on while something still holds the streams."""
    pump(child, captures)
    while child.streams and time.monotonic() < until:
        yield Wait(tuple(child.streams), until)
        pump(child, captures)


def before(
    deadline: float | None, steps: Generator[Event | Wait, Ready, T]
) -> Generator[Event | Wait, Ready, T | None]:
    """What a generator comes to, closed at the deadline; None if it was."""
    ready: Ready = None
    try:
        while deadline is None or time.monotonic() < deadline:
            step = steps.send(ready)
            if isinstance(step, Wait) and deadline is not None:
                step = step._replace(deadline=deadline if step.deadline is None else min(deadline, step.deadline))
            ready = yield step
        return None
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()


def while_alive(child: Child, steps: Generator[Event | Wait, Ready, T]) -> Generator[Event | Wait, Ready, T | None]:
    """What a generator comes to, closed when the child ends while it only waits for others; None if it was."""
    ready: Ready = None
    try:
        while True:
            step = steps.send(ready)
            if isinstance(step, Wait) and step.for_others:
                if child.has_exited():
                    return None
                step = _or_its_end(step, child)
            ready = yield step
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    finally:
        steps.close()


def _or_its_end(wait: Wait, child: Child) -> Wait:
    if child.pidfd is not None:
        return wait._replace(descriptors=(*wait.descriptors, child.pidfd))
    look = time.monotonic() + POLL[1]
    return wait._replace(deadline=look if wait.deadline is None else min(wait.deadline, look))


def drive(generator: Generator[Wait, Ready, T]) -> T:
    """Pump one generator to its end, blocking: for ends that may not be left to an evaluator."""
    ready: Ready = None
    watched: tuple[int, ...] | None = None
    while True:
        try:
            wait = generator.send(ready)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if wait.descriptors != watched:
            watched, poller = wait.descriptors, select.poll()
            for descriptor in watched:
                poller.register(descriptor, select.POLLIN)
        limit = None if wait.deadline is None else max(0.0, wait.deadline - time.monotonic()) * 1000
        ready = tuple([descriptor for descriptor, _ in poller.poll(limit)])
