"""One run of a Flow IR in an executor: started, polled to its end, or cancelled.

Knows nothing of actions. Polls come at once and then ever more rarely; the first terminal status is the last word, so
an executor that thinks better of it later isn't heard.

Shapes:  `follow` yields waits and events, and returns Finished. `tell` makes events of what one Poll told.
Errors:  those of `executor`; RepTransport with the cause `Timeout` when the run doesn't end in time.
Source:  seed 000, REP v0.1, "Cancellation and timeouts".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, NamedTuple

from flowbuild.core.event import Event
from flowbuild.engine import rep
from flowbuild.engine.capture import Capture
from flowbuild.engine.engine import Ready, Wait
from flowbuild.engine.executor import Call, Executor
from flowbuild.engine.process import Pump
from flowbuild.engine.turns import Bell

PAUSE = (0.001, 0.1)  # seconds between polls: first, last
CANCEL_GRACE = 5.0  # seconds that REP gives a run to end after Cancel; the end of the process comes after them
LAST_ANSWER = 0.25  # seconds beyond them for the answer to a last Poll: who still answers is late, and not silent
STEP_GRACE = 1.0  # seconds that an executor has to tell of a step's time-out before we do

Told = tuple[Mapping[str, Any], ...]  # the events of one Poll


class Ids(NamedTuple):
    """How a run is called, and the command that it belongs to."""

    run_id: str
    trace_id: str


class Finished(NamedTuple):
    """How a run ended. `refusal` is what the executor says about a failure, in REP's form, if it does."""

    status: str
    summary: Mapping[str, Any]
    refusal: rep.Refusal | None = None
    timed_out: bool = False


class Remote:
    """A run to be."""

    def __init__(
        self,
        executor: Executor,
        ids: Ids,
        log: Capture,
        bell: Bell,
        tell: Callable[[Told], Iterable[Event]],
        *,
        timeout: float,
        step_timeout: float | None,
    ) -> None:
        self.run_id, self._trace_id = ids
        self._executor = executor
        self._log = log
        self._bell = bell
        self._tell = tell
        now = time.monotonic()
        self._deadline = now + timeout
        self._step_deadline = None if step_timeout is None else now + step_timeout + STEP_GRACE
        self._late: list[Mapping[str, Any]] = []  # what it told after Cancel
        self._call: Call | None = None
        self._is_started = self._is_terminal = False

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return not self._is_started or self._is_terminal or self._executor.is_over

    def follow(self, ir: Mapping[str, Any], inputs: Mapping[str, Any]) -> Generator[Event | Wait, Ready, Finished]:
        """Start it, and see it to its end."""
        self._is_started = True
        options = {"run_id": self.run_id, "trace_id": self._trace_id, "allow_shell": False}
        reply = yield from self._ask(rep.START, {"ir": ir, "inputs": inputs, "options": options})
        if reply.refusal is not None:
            return self._finished("failed", {}, reply.refusal)
        self._name(reply)
        pause = PAUSE[0]
        while True:
            reply = yield from self._ask(rep.POLL, {"run_id": self.run_id})
            if reply.refusal is not None:
                return self._finished("failed", {}, reply.refusal)
            assert reply.result is not None
            status, events, summary = rep.progress(reply.result)
            if events:
                yield from self._tell(events)
            if status in rep.TERMINAL:
                error = rep.refusal(summary.get("error")) if status == "failed" else None
                return self._finished(status, summary, error)
            now = time.monotonic()
            if self._step_deadline is not None and now >= self._step_deadline:
                yield from self.cancel(now + CANCEL_GRACE, self._executor.ask)
                yield from self._tell(tuple(self._late))
                return Finished("failed", summary, timed_out=True)
            yield Wait((), min(now + pause, self._deadline))
            pause = min(pause * 2, PAUSE[1])
            if time.monotonic() >= self._deadline:
                self._executor.kill()
                rep.broken(f"the run is still {status} after the engine's time-out", "Timeout")

    def cancel(self, until: float, ask: Callable[[Call, float, Capture], Pump[rep.Reply]]) -> Pump[None]:
        """Cancel it once, and see it end in time; else end the executor. `ask` says whether in turn or not.

        RepTransport when the executor says nothing at all.
        """
        call, executor, silent = self._call, self._executor, until + LAST_ANSWER
        if call is not None and call.is_sent and call.reply is None:
            yield from executor.settle(silent, self._log)
        if call is not None and call.method == rep.START:
            if call.reply is None or call.reply.refusal is not None:  # it never began
                self._is_terminal = True
                return
            self._name(call.reply)
        yield from ask(Call(rep.CANCEL, {"run_id": self.run_id}, self._bell), silent, self._log)
        pause = PAUSE[0]
        while not self._is_terminal:
            reply = yield from ask(Call(rep.POLL, {"run_id": self.run_id}, self._bell), silent, self._log)
            if reply.result is None:
                self._is_terminal = True
                return
            status, events, _ = rep.progress(reply.result)
            self._late += events
            self._is_terminal = status in rep.TERMINAL
            if not self._is_terminal:
                if time.monotonic() >= until:
                    executor.kill()
                    return
                yield Wait((), min(until, time.monotonic() + pause))
                pause = min(pause * 2, PAUSE[1])

    def _ask(self, method: str, params: Mapping[str, Any]) -> Pump[rep.Reply]:
        self._call = Call(method, params, self._bell)
        return self._executor.ask(self._call, self._deadline, self._log)

    def _name(self, reply: rep.Reply) -> None:
        """An executor may give a run another name than ours."""
        assert reply.result is not None
        self.run_id = rep.run_id(reply.result)

    def _finished(self, status: str, summary: Mapping[str, Any], refusal: rep.Refusal | None) -> Finished:
        self._is_terminal = True
        return Finished(status, summary, refusal)
