"""One executor process that speaks REP: started once, asked many times, ended with its whole group.

Knows nothing of actions or flows. Several generators may ask at once; the wire is taken in turns, since REP knows one
request at a time. What it prints on stderr is drained whenever anybody waits for it, into a log and a bounded tail.

Shapes:  `yield from executor.ask(...)` yields waits and returns a Reply.
Errors:  RepTransport when it can't be started, ends, breaks the protocol, or says nothing until the deadline.
Source:  seed 000, REP v0.1, "Process lifecycle" and "Environment".
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbuild.core.action import ErrorInfo
from flowbuild.core.errors import RepTransport
from flowbuild.engine import rep
from flowbuild.engine.capture import Capture
from flowbuild.engine.command import find, refused
from flowbuild.engine.engine import Capabilities, Wait
from flowbuild.engine.process import BURST, CHUNK, Pump, conclude, drive, exited, until_exit
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child, Start
from flowbuild.engine.turns import Bell, Turns

RETRY = (0.001, 0.02)  # seconds between looks at a pipe that is full, or for an exit that can't be waited for
HEARTBEAT = 0.25  # seconds between looks for a reply that somebody else may have taken in
LAST_WORDS = 0.2  # seconds for the exit of who closed its output, so that the message can tell it
SHOWN = 200  # characters of its last words in a message
AT_EOF = 0.25  # seconds in which a well-behaved executor ends after its input did
AT_TERM = 0.5  # seconds between SIGTERM and SIGKILL for one that did not
PASSED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ")


def environment(
    run_id: str, trace_id: str, timeout: float, *, allows_shell: bool = False, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The variables of an executor: a few of the caller's, and those that REP names."""
    given = {name: os.environ[name] for name in PASSED if name in os.environ} if base is None else dict(base)
    return {
        **given,
        "TRACE_MIND_RUN_ID": run_id,
        "TRACE_MIND_TRACE_ID": trace_id,
        "TRACE_MIND_ENGINE_TIMEOUT": f"{timeout:g}",
        "TRACE_MIND_ALLOW_SHELL": "1" if allows_shell else "0",
        "TRACE_MIND_LOG_JSON": "1",
    }


def program(argv: Sequence[str], cwd: Path, search_path: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The file to start, and its words. A `.py` without the executable bit is run by this interpreter."""
    words = tuple(argv)
    if not words:
        raise RepTransport("the executor has no command", details={"code": 3001, "cause": "Launch"})
    path = cwd / words[0]
    if words[0].endswith(".py") and path.is_file() and not os.access(path, os.X_OK):
        return sys.executable, (sys.executable, str(path), *words[1:])
    found = find(words[0], cwd, search_path)
    if isinstance(found, ErrorInfo):
        raise RepTransport(f"executor: {found.message}", details={"code": 3001, "cause": "Launch"})
    return found, words


def started(reaper: Reaper, argv: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> tuple[Child, int]:
    """A new executor process, and the end of its input that is ours."""
    file, words = program(argv, cwd, tuple(variables.get("PATH", os.defpath).split(os.pathsep)))
    reading, writing = os.pipe()
    try:
        child = reaper.start(Start(file, words, cwd, variables, descriptors={0: reading}))
    except OSError as error:
        os.close(writing)
        message = f"executor: {refused(words[0], error).message}"
        raise RepTransport(message, details={"code": 3001, "cause": "Launch"}) from None
    finally:
        os.close(reading)
    os.set_blocking(writing, False)
    return child, writing


@dataclass(slots=True)
class Call:
    """One request, and what became of it."""

    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    bell: Bell = field(default_factory=Bell)  # of whoever asks, which closes it
    is_sent: bool = False
    reply: rep.Reply | None = None


class Executor:
    """A started executor."""

    def __init__(self, reaper: Reaper, argv: Sequence[str], cwd: Path, variables: Mapping[str, str]) -> None:
        self._child, stdin = started(reaper, argv, cwd, variables)
        self._reaper = reaper
        self._stdin: int | None = stdin
        self._unsent = memoryview(b"")
        self._session = rep.Session()
        self._call: Call | None = None  # the one that is not answered yet
        self._turn = Turns(1)
        self._watched = self._descriptors()
        # What comes after the last reply, which is for nobody; and what it printed, for messages.
        self._captures = Capture(Path(os.devnull), limit=2), Capture(Path(os.devnull), limit=8192)
        self._how: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was ended, by itself or by us."""
        return self._how is not None

    def is_there(self) -> bool:
        """Whether it can be asked. One that ended between two requests is ended for good, and broke no word."""
        if self._how is None and self._call is None and self._child.has_exited():
            self.kill()
        return self._how is None

    def handshake(self, deadline: float) -> Pump[Capabilities]:
        """Ask what it can do."""
        reply = yield from self.ask(Call(rep.CAPABILITIES), deadline)
        if reply.refusal is not None:
            rep.raise_refusal(reply.refusal)
            rep.broken(f"it has a step failure for {rep.CAPABILITIES}: {reply.refusal.message}")
        assert reply.result is not None
        return rep.capabilities(reply.result)

    def ask(self, call: Call, deadline: float, log: Capture | None = None) -> Pump[rep.Reply]:
        """One request, when it is our turn, and its reply."""
        if not self._turn.take_now():
            yield from self._turn.take(call.bell)
        try:
            if self._call is not None:
                yield from self.settle(deadline, log)
            return (yield from self._await(self._begun(call), deadline, log))
        finally:
            self._turn.give()

    def interject(self, call: Call, deadline: float, log: Capture | None = None) -> Pump[rep.Reply]:
        """One request out of turn: for whoever is being closed, and so can't wait for others."""
        yield from self.settle(deadline, log)
        return (yield from self._await(self._begun(call), deadline, log))

    def settle(self, deadline: float, log: Capture | None = None) -> Pump[None]:
        """See to the reply that is still to come, whoever asked."""
        if self._call is not None:
            yield from self._await(self._call, deadline, log)

    def kill(self) -> str:
        """End it and its group, at once or nearly; how it ended. Blocks for less than a second."""
        if self._how is None:
            self._close_stdin()
            if not self._child.has_exited():
                self._child.terminate()
                drive(until_exit(self._child, self._captures, time.monotonic() + AT_TERM))
                self._child.signal(signal.SIGKILL)
            self._how = str(exited(conclude(self._reaper, self._child, self._captures), self._child.seconds))
        return self._how

    def close(self) -> None:
        """End it kindly: by the end of its input, then as `kill` does."""
        if self._how is None:
            self._close_stdin()
            drive(until_exit(self._child, self._captures, time.monotonic() + AT_EOF))
            self.kill()

    def _begun(self, call: Call) -> Call:
        """The call, whose request is there to be sent."""
        self._unsent = memoryview(self._session.ask(call.method, call.params))
        self._call = call
        call.is_sent = True
        return call

    def _await(self, call: Call, deadline: float, log: Capture | None) -> Pump[rep.Reply]:
        """Send what is to be sent, and read until the call has its reply.

        Approach: its exit is looked at before its words are, so that what it said before its end counts. What can't be
        waited for (room in its input, an exit without a pidfd, a reply that somebody else took in) is looked for again
        after a while.
        """
        pause = RETRY[0]
        try:
            while True:
                if self._how is not None:
                    rep.broken(f"it was ended before {call.method} was answered ({self._how})")
                if self._unsent:
                    self._send()
                until = min(deadline, time.monotonic() + HEARTBEAT)
                if self._unsent or self._child.pidfd is None:
                    until, pause = min(until, time.monotonic() + pause), min(pause * 2, RETRY[1])
                ready = yield Wait(self._watched, until)
                if self._how is None and call.reply is None:
                    self._take_in(ready or (), log)
                if call.reply is not None:
                    return call.reply
                if time.monotonic() >= deadline:
                    rep.broken(f"no reply to {call.method} in time", "Timeout")
        except RepTransport as error:
            raise self._told(error) from None

    def _take_in(self, ready: tuple[int, ...], log: Capture | None) -> None:
        """Read what is there, and hand a reply to who asked. Mostly its output is all that is ready."""
        assert self._call is not None
        is_all = ready == (self._child.stdout,)
        has_exited = not is_all and self._child.has_exited()
        if not is_all:
            self._drain(log)
        reply = self._read()
        if reply is not None:
            self._call.reply = reply
            self._call = None
        elif has_exited:
            self._session.ended()

    def _told(self, error: RepTransport) -> RepTransport:
        """The same with its last words, after its end."""
        wait = 0.0 if error.details["cause"] == "Timeout" else LAST_WORDS
        drive(until_exit(self._child, self._captures, time.monotonic() + wait))
        ended_itself = self._child.has_exited()
        how = self.kill()
        words = self._captures[1].tail.strip().splitlines()
        return RepTransport(
            f"{error.message} ({how})" if ended_itself else error.message,
            remedy=f"its last words: {words[-1][:SHOWN]}" if words else "",
            details=error.details,
        )

    def _descriptors(self) -> tuple[int, ...]:
        also = () if self._child.pidfd is None else (self._child.pidfd,)
        return (*self._child.streams, *also)

    def _send(self) -> None:
        """Write as much as there is room for."""
        while self._unsent and self._stdin is not None:
            try:
                sent = os.write(self._stdin, self._unsent)
            except BlockingIOError:
                return
            except BrokenPipeError:  # it is ending, or will not listen: its output or its silence tells
                self._unsent = memoryview(b"")
                return
            self._unsent = self._unsent[sent:]

    def _read(self) -> rep.Reply | None:
        """The reply, once it is whole. No burst is too long: the session ends it at the longest frame."""
        while True:
            try:
                data = os.read(self._child.stdout, CHUNK)
            except BlockingIOError:
                return None
            if not data:
                self._session.ended()
            reply = self._session.feed(data)
            if reply is not None:
                return reply

    def _drain(self, log: Capture | None) -> None:
        """Read what it printed on stderr. All that waits for it gets its turn, however much it prints."""
        for descriptor in self._child.streams[1:]:
            for _ in range(BURST):
                try:
                    data = os.read(descriptor, CHUNK)
                except BlockingIOError:
                    break
                if not data:
                    os.close(descriptor)
                    self._child.streams.remove(descriptor)
                    self._watched = self._descriptors()
                    break
                self._captures[1].feed(data)
                if log is not None:
                    log.feed(data)

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
