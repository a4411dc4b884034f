"""The `proc` engine: actions are performed by an executor in any language, over REP.

Knows nothing of flows: a step comes with its references resolved. One executor process is kept for action after action,
and never given more runs at a time than its limit says.

Shapes:  any step kind that the executor offers: `with` becomes a Flow IR of one node without retries, and the one
         output is the JSON document that the node came to: `summary.result`, or else the summary without the run's id.
         Step kind `ir`: with {"ir": Flow IR, "inputs": {}}; the one output is {"status", "summary"}.
         Every event of a Poll is yielded as `executor_event`: {"event", "label", "state_id"}.
         Outcome codes: `step_failed`, `timeout`, `result_refused`.
Errors:  CapabilitiesMismatch before anything is sent; RepRefused, RepTransport and RepInternal by the executor's code.
Source:  seed 000, REP v0.1.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadAttribute, CapabilitiesMismatch, EngineError
from flowbuild.core.event import Domain, Event
from flowbuild.core.mask import Mask
from flowbuild.engine import rep
from flowbuild.engine.capture import Capture
from flowbuild.engine.command import seconds
from flowbuild.engine.engine import Capabilities, Io, Performance, Ready, Wait
from flowbuild.engine.executor import Executor, environment
from flowbuild.engine.leak import is_secret, secret_result
from flowbuild.engine.negotiated import leave
from flowbuild.engine.place import shown
from flowbuild.engine.process import Pump, drive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.remote import CANCEL_GRACE, Finished, Ids, Remote, Told
from flowbuild.engine.turns import Bell, Turns


class ProcEngine:
    """Performs actions in one kept executor. The first look at `capabilities` starts it."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        timeout: float,
        reaper: Reaper | None = None,
    ) -> None:
        self._argv = tuple(argv)
        self._cwd = cwd
        self._timeout = timeout
        self._reaper = reaper or Reaper()
        self._owns_reaper = reaper is None
        self._trace_id = str(uuid.uuid4())
        self._numbers = itertools.count(1)
        self._run_id: str | None = None  # what the executor's environment says, for the first run in it
        self._executor: Executor | None = None
        self._offer: Capabilities | None = None
        self._offered: frozenset[str] = rep.CONTROL  # what may be asked for
        self._starting = Turns(1)
        self._slots = Turns(1)
        self._hurry: float | None = None  # when the grace of all that is under way ends

    @property
    def capabilities(self) -> Capabilities:
        """What the executor offers, and `ir`."""
        if self._offer is None:
            drive(self._kept(Bell()))  # nobody else can be starting it: then there would be an offer, or an error
        assert self._offer is not None
        return replace(self._offer, step_kinds=(*self._offer.step_kinds, "ir"))

    def perform(self, action: Action, io: Io) -> Performance:
        """Perform one action. Closing the generator cancels its run; an executor that goes on with it is ended."""
        bell, log = Bell(), Capture(partial(io.log, action, "stderr"), mask=io.mask)
        try:
            finished = yield from self._in_turn(action, log, bell)
        finally:
            bell.close()
            log.close()
        if finished.refusal is not None:
            rep.raise_refusal(finished.refusal)
        outcome = _outcome(action, io, finished)
        return outcome if log.log is None else replace(outcome, stderr_tail=log.tail, log=shown(log.log, io.workspace))

    def interrupt(self) -> None:
        """From now on the grace of every run that is cancelled is one and the same."""
        self._hurry = time.monotonic() + CANCEL_GRACE

    def close(self) -> None:
        """End the executor."""
        if self._executor is not None:
            self._executor.close()
            self._executor = None
        if self._owns_reaper:
            self._reaper.close()

    def _in_turn(self, action: Action, log: Capture, bell: Bell) -> Generator[Event | Wait, Ready, Finished]:
        """One run, when the executor has room for it."""
        ir, inputs = _asked(action)
        executor = self._executor
        if executor is None or not executor.is_there():
            executor = yield from self._kept(bell)
        missing = kinds(ir) - self._offered
        if missing:
            assert self._offer is not None
            leave(self._offer)
            lacks = ", ".join(map(repr, sorted(missing)))
            raise CapabilitiesMismatch(
                f"{action.label}: the executor {self._argv[0]} has no step kind {lacks}",
                details={"missing": sorted(missing)},
            )
        has_waited = not self._slots.take_now()
        if has_waited:
            yield from self._slots.take(bell)
        try:
            if has_waited and not executor.is_there():
                executor = yield from self._kept(bell)
            return (yield from self._run(executor, action, log, bell, ir, inputs))
        finally:
            self._slots.give()

    def _run(
        self,
        executor: Executor,
        action: Action,
        log: Capture,
        bell: Bell,
        ir: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> Generator[Event | Wait, Ready, Finished]:
        """One run in the executor; whatever ends it early, nothing of it goes on."""
        run_id, self._run_id = self._run_id or self._next_id(), None
        ids = Ids(run_id, self._trace_id)
        tell = partial(_events, action=action, mask=log.mask)
        remote = Remote(executor, ids, log, bell, tell, timeout=self._timeout, step_timeout=seconds(action))
        try:
            return (yield from remote.follow(ir, inputs))
        except EngineError:
            executor.kill()
            raise
        finally:
            if not remote.is_over:
                with suppress(EngineError):  # then it is at its end, too
                    drive(remote.cancel(self._hurry or time.monotonic() + CANCEL_GRACE, executor.interject))

    def _next_id(self) -> str:
        """The id of another run: that of the command, and a number in place of its last digits."""
        return f"{self._trace_id[:24]}{next(self._numbers):012x}"

    def _kept(self, bell: Bell) -> Pump[Executor]:
        """The executor: the one that runs, or a new one that offers what the first one did."""
        yield from self._starting.take(bell)
        try:
            if self._executor is None or not self._executor.is_there():
                self._executor = yield from self._started()
            return self._executor
        finally:
            self._starting.give()

    def _started(self) -> Pump[Executor]:
        self._run_id = self._next_id()
        variables = environment(self._run_id, self._trace_id, self._timeout)
        executor = Executor(self._reaper, self._argv, self._cwd, variables)
        try:
            offer = yield from executor.handshake(time.monotonic() + self._timeout)
            if self._offer is None:
                self._offer = offer
                self._offered = rep.CONTROL | set(offer.step_kinds)
                self._slots = Turns(offer.concurrency or 1)
            elif offer != self._offer:
                raise CapabilitiesMismatch("the executor was started again, and offers something else than before")
        except BaseException:  # closing counts: nobody has seen its answer
            executor.kill()
            raise
        return executor


def negotiate(argv: Sequence[str], *, cwd: Path, timeout: float) -> Capabilities:
    """What an executor offers. It is started for that, and ended."""
    engine = ProcEngine(argv, cwd=cwd, timeout=timeout)
    try:
        return engine.capabilities
    finally:
        engine.close()


def kinds(ir: Mapping[str, Any]) -> set[str]:
    """The step kinds that a Flow IR names."""
    return {node["type"] for node in ir["graph"]["nodes"]}


def one_node(kind: str, with_: Mapping[str, Any], timeout_ms: int = 0) -> dict[str, Any]:
    """A Flow IR of one step. It says nothing that the action's key does not cover, so all that could vary is fixed."""
    node = {"id": "step", "type": kind, "with": with_, "timeout_ms": timeout_ms, "retry": {"max": 0, "backoff_ms": 0}}
    return {
        "version": "1.0.0",
        "flow": {"name": "step", "timeout_ms": 0},
        "constants": {"policyRef": "none", "policy": {}},
        "inputs_schema": {},
        "graph": {"nodes": [node], "edges": []},
        "metadata": {"generated_at": "1970-01-01T00:00:00Z", "source_file": "flowbuild"},
    }


def _asked(action: Action) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The Flow IR of an action, and its inputs."""
    if action.kind == "ir":
        return action.with_["ir"], action.with_.get("inputs") or {}
    with_, inputs = dict(action.with_), {}
    for number, (name, value) in enumerate(action.with_.items()):
        if _refers(value):
            with_[name], inputs[f"v{number}"] = f"$input.v{number}", value
    return one_node(action.kind, with_, action.timeout_ms or 0), inputs


def _refers(value: Any) -> bool:
    """Whether a resolved value looks like a reference; as an input it can't be taken for one and resolved again."""
    if isinstance(value, str):
        return value.lstrip().startswith("$")
    if isinstance(value, list | tuple):
        return any(map(_refers, value))
    return isinstance(value, dict) and any(map(_refers, value.values()))


def _events(told: Told, action: Action, mask: Mask) -> Iterator[Domain]:
    """What one Poll told, for the journal; of an event that holds a secret only that there was one."""
    try:
        holds = is_secret(told, action, mask)
    except BadAttribute as error:
        rep.broken(f"an event of {rep.POLL} can't be kept: {error.message}")
    for event in told:
        shown = {"refused": "secrets_detected"} if holds and is_secret(event, action, mask) else event
        yield Domain("executor_event", {"event": shown, "label": action.label, "state_id": action.state_id})


def _outcome(action: Action, io: Io, finished: Finished) -> Outcome:
    """What a finished run means for its action."""
    if finished.timed_out:
        message = f"timed out after {action.timeout_ms} ms"
        return Outcome(error=ErrorInfo("timeout", message, details={"summary": _plain(finished.summary)}))
    if finished.status == "failed":
        return Outcome(error=_failure(finished))
    try:
        result = _result(action, finished.summary)
        data = canonical(result)
    except BadAttribute as error:
        return Outcome(error=ErrorInfo("result_refused", f"the result can't be kept: {error.message}"))
    if is_secret(result, action, io.mask, data):
        return Outcome(error=secret_result())
    return Outcome({name: io.keep(data) for name in action.outputs})


def _result(action: Action, summary: Mapping[str, Any]) -> Any:
    """The output's document. A run's id differs from run to run, and is no part of it."""
    if action.kind != "ir" and "result" in summary:
        return summary["result"]
    plain = {name: value for name, value in summary.items() if name != "run_id"}
    return {"status": "completed", "summary": plain} if action.kind == "ir" else plain


def _failure(finished: Finished) -> ErrorInfo:
    found = finished.refusal
    if found is None:
        said = finished.summary.get("error")
        message = said if isinstance(said, str) else "the executor does not say why"
        return ErrorInfo("step_failed", message, details={"summary": _plain(finished.summary)})
    details = {"code": found.code, "data": _plain(found.data), "summary": _plain(finished.summary)}
    return ErrorInfo("step_failed", found.message, retryable=found.is_retriable, details=details)


def _plain(doc: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A document for the journal, if it can be there."""
    with suppress(BadAttribute):
        canonical(doc)
        return doc
    return None
