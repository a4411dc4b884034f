"""Does an executor keep to REP v0.1? Each clause of the contract is tried on a fresh process.

Knows nothing of terminals. A check returns what it saw, or raises what is wrong; who writes an executor reads both.

Shapes:  `checked(...)` yields Finding(name, verdict, detail, seconds); verdicts are `ok`, `failed` and `skipped`.
Source:  seed 000, REP v0.1; docs/executors.md lists the checks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.errors import FlowError
from flowbuild.engine import rep
from flowbuild.engine.bareline import BareLine
from flowbuild.engine.executor import environment
from flowbuild.engine.proc import one_node
from flowbuild.engine.reaper import Reaper

QUIET = 0.5  # seconds that an executor must be able to say nothing
ENDING = 5.0  # seconds that it has to end after its input did, or to end a run after Cancel
UNKNOWN_KIND = "no.such.kind"


class Finding(NamedTuple):
    """What one check came to."""

    name: str
    verdict: str
    detail: str
    seconds: float


class Skipped(Exception):
    """There is nothing to try."""


class Wrong(Exception):
    """The contract is not kept."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: a step that should complete, and one that should fail, if its author named one."""

    argv: tuple[str, ...]
    cwd: Path
    timeout: float = 10.0
    kind: str | None = None
    with_: Mapping[str, Any] | None = None
    failing: Mapping[str, Any] | None = None


class Tried:
    """One check under way: a fresh executor, asked as a client asks."""

    def __init__(self, trial: Trial, reaper: Reaper) -> None:
        self.trial = trial
        variables = environment("check", "check", trial.timeout)
        self.line = BareLine(reaper, trial.argv, trial.cwd, variables)
        self._session = rep.Session()
        self._runs = 0

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> rep.Reply:
        """One request and its reply, checked as our engine checks it."""
        self.line.write(self._session.ask(method, params or {}), self.trial.timeout)
        until = time.monotonic() + self.trial.timeout
        while True:
            data = self.line.read(until - time.monotonic())
            if data is None:
                raise Wrong(f"no reply to {method} within {self.trial.timeout:g} s")
            if not data:
                raise Wrong(f"it ended without a reply to {method} ({self.line.how()})")
            reply = self._session.feed(data)
            if reply is not None:
                return reply

    def result(self, method: str, params: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The result of a request that may not be refused."""
        reply = self.ask(method, params)
        if reply.refusal is not None:
            raise Wrong(f"{method} is refused: {reply.refusal.message} ({reply.refusal.code})")
        assert reply.result is not None
        return reply.result

    def refused(self, ir: Mapping[str, Any], code: int) -> str:
        """StartRun with an IR that must be refused."""
        reply = self.ask(rep.START, self._params(ir))
        if reply.refusal is None:
            raise Wrong(f"StartRun takes it; it must be refused with {code}")
        if reply.refusal.code != code:
            raise Wrong(f"StartRun is refused with {reply.refusal.code}, not {code}: {reply.refusal.message}")
        return f"{code} {reply.refusal.message}"

    def start(self, with_: Mapping[str, Any] | None = None) -> str:
        """Start a run of one step; its id."""
        given = self.trial.with_ if with_ is None else with_
        return rep.run_id(self.result(rep.START, self._params(one_node(self.kind(), given or {}))))

    def finish(self, run_id: str, seconds: float) -> tuple[rep.Progress, list[Mapping[str, Any]]]:
        """Poll a run to its end; its last words, and all of its events."""
        until = time.monotonic() + seconds
        events: list[Mapping[str, Any]] = []
        while True:
            reply = self.ask(rep.POLL, {"run_id": run_id})
            if reply.refusal is not None:
                error = {"code": reply.refusal.code, "message": reply.refusal.message}
                return rep.Progress("failed", (), {"error": error}), events
            assert reply.result is not None
            progress = rep.progress(reply.result)
            events += progress.events
            if progress.status in rep.TERMINAL:
                return progress, events
            if time.monotonic() > until:
                raise Wrong(f"the run is still {progress.status} after {seconds:g} s")
            time.sleep(0.01)

    def kind(self) -> str:
        """The step kind to try."""
        offered = rep.capabilities(self.result(rep.CAPABILITIES)).step_kinds
        if self.trial.kind is not None and self.trial.kind not in offered:
            raise Wrong(f"it does not offer {self.trial.kind!r}, but {', '.join(offered)}")
        if not offered:
            raise Wrong("it offers no step kind")
        return self.trial.kind or offered[0]

    def _params(self, ir: Mapping[str, Any]) -> dict[str, Any]:
        self._runs += 1
        options = {"run_id": f"check-{self._runs}", "trace_id": "check", "allow_shell": False}
        return {"ir": ir, "inputs": {}, "options": options}


def checked(trial: Trial, names: Collection[str] | None = None) -> Iterator[Finding]:
    """Every check, or those that are named, in the order of the table."""
    reaper = Reaper()
    try:
        for name, check in CHECKS.items():
            if names is not None and name not in names:
                continue
            started, tried = time.monotonic(), None
            try:
                tried = Tried(trial, reaper)
                verdict, detail = "ok", check(tried)
            except (Wrong, FlowError) as wrong:
                message = wrong.message if isinstance(wrong, FlowError) else str(wrong)
                verdict, detail = "failed", message.removeprefix("executor: ")
            except Skipped as skipped:
                verdict, detail = "skipped", str(skipped)
            finally:
                if tried is not None:
                    tried.line.close()
            yield Finding(name, verdict, detail, time.monotonic() - started)
    finally:
        reaper.close()


def _handshake(tried: Tried) -> str:
    offer = rep.capabilities(tried.result(rep.CAPABILITIES))
    return f"version {offer.version}, {', '.join(offer.step_kinds)}; {offer.concurrency} at a time"


def _completion(tried: Tried) -> str:
    name = tried.start()
    progress, events = tried.finish(name, tried.trial.timeout)
    if progress.status != "completed":
        hint = "" if tried.trial.with_ else "; --with gives the step what it needs"
        raise Wrong(f"the run has {progress.status}: {progress.summary.get('error', 'no error told')}{hint}")
    if not all(isinstance(event.get("timestamp"), str) for event in events):
        raise Wrong("an event has no timestamp")
    again = rep.progress(tried.result(rep.POLL, {"run_id": name}))
    if again.status != "completed" or again.events:
        raise Wrong(f"another Poll says {again.status} with {len(again.events)} events; a run that ended stays so")
    return f"completed, {len(events)} events"


def _kept(tried: Tried) -> str:
    for _ in range(10):
        tried.finish(tried.start(), tried.trial.timeout)
    return "10 runs, one after the other"


def _failure(tried: Tried) -> str:
    if tried.trial.failing is None:
        raise Skipped("--failing says with what a step fails")
    reply = tried.ask(rep.START, tried._params(one_node(tried.kind(), tried.trial.failing)))
    if reply.refusal is not None:
        found: rep.Refusal | None = reply.refusal
    else:
        assert reply.result is not None
        progress, _ = tried.finish(rep.run_id(reply.result), tried.trial.timeout)
        if progress.status != "failed":
            raise Wrong(f"the run has {progress.status}")
        found = rep.refusal(progress.summary.get("error"))
    if found is None:
        raise Wrong("the run failed, and its summary has no error with code and message")
    if not found.is_step_failure:
        raise Wrong(f"the code is {found.code}; a step's failure is one of 2000 to 2999")
    return f"{found.code} {found.message}"


def _cancel(tried: Tried) -> str:
    name = tried.start()
    said = tried.result(rep.CANCEL, {"run_id": name})
    if not isinstance(said.get("ok"), bool):
        raise Wrong(f"the result of Cancel needs a boolean `ok`: {said}")
    first, _ = tried.finish(name, ENDING)
    time.sleep(0.2)  # a run that thinks better of it needs a moment
    second, _ = tried.finish(name, ENDING)
    if first.status != second.status:
        raise Wrong(f"the run was {first.status}, and then {second.status}; the first is final")
    return f"{first.status}, and stays so"


def _unknown_method(tried: Tried) -> str:
    reply = tried.ask("Runtime.NoSuchMethod")
    if reply.refusal is None:
        raise Wrong("it has a result for a method that there is not")
    tried.result(rep.CAPABILITIES)
    return f"{reply.refusal.code} {reply.refusal.message}"


def _health(tried: Tried) -> str:
    reply = tried.ask(rep.HEALTH)
    if reply.refusal is not None:
        return f"not there, as it may be: {reply.refusal.code}"
    if reply.result is None or reply.result.get("ok") is not True:
        raise Wrong(f"`ok` is not true: {reply.result}")
    return "ok"


def _nonsense(data: bytes) -> Callable[[Tried], str]:
    """Something that is no request: an error or an end is fine, silence is not."""

    def check(tried: Tried) -> str:
        tried.line.write(data, tried.trial.timeout)
        said = tried.line.read(tried.trial.timeout)
        if said is None:
            raise Wrong("silence, so that a client waits until its time-out")
        if not said:
            return f"it ends ({tried.line.how()})"
        if b'"error"' not in said:
            raise Wrong(f"it answers without an error: {said[:80]!r}")
        return "an error"

    return check


def _silence(tried: Tried) -> str:
    tried.result(rep.CAPABILITIES)
    said = tried.line.read(QUIET)
    if said is not None:
        raise Wrong(f"unasked, it says {said[:80]!r}" if said else f"unasked, it ends ({tried.line.how()})")
    tried.result(rep.CAPABILITIES)
    return f"nothing for {QUIET:g} s, and then an answer"


def _end(tried: Tried) -> str:
    tried.result(rep.CAPABILITIES)
    if not tried.line.ends(ENDING):
        raise Wrong(f"it goes on for {ENDING:g} s after its input ended, and has to be killed")
    return tried.line.how()


CHECKS: Mapping[str, Callable[[Tried], str]] = {
    "handshake": _handshake,
    "completion": _completion,
    "one process for many runs": _kept,
    "failure": _failure,
    "cancel": _cancel,
    "unsupported version": lambda tried: tried.refused({**one_node(tried.kind(), {}), "version": "2.0.0"}, 1001),
    "unknown step kind": lambda tried: tried.refused(one_node(UNKNOWN_KIND, {}), 1002),
    "invalid IR": lambda tried: tried.refused({"version": "1.0.0"}, 1003),
    "unknown method": _unknown_method,
    "health": _health,
    "bad JSON": _nonsense(b"this is no JSON\n"),
    "batch": _nonsense(b'[{"jsonrpc": "2.0", "id": 1, "method": "Runtime.Health"}]\n'),
    "huge frame": _nonsense(b"x" * (rep.MAX_FRAME + 1) + b"\n"),
    "silence": _silence,
    "end of input": _end,
}
