"""Step kind `python`: a handler, called in a worker that stays for the next one.

Knows nothing of targets. A worker serves tasks of one package, one set of variables and one set of modules; what ends
a task by force (time-out, cancel, crash) ends the worker, and the next task gets a new one. In the channel `clean`
every task has a worker of its own, which the launcher confines before it begins.

Shapes:  with: {"source": path | null, "module": dotted | null, "function", "modules": {import name: path},
         "arguments": {name: {"path"} | {"paths"} | {"value"}}, "env", "returns"}. `source` and `modules` are paths
         from the workspace's root, and staged; argument paths are relative to the package's directory. `returns` is
         where the JSON object that it returns is written; without, a handler returns None.
         Outcome codes: `handler_raised`, `handler_returned`, `undeclared_module`, `worker_lost`, `channel_refused`,
         `timeout`, `heartbeat_timeout`, and those of `harvest`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.action import CATEGORIES, Action, ErrorInfo, Outcome
from flowbuild.core.errors import DiskRefused
from flowbuild.core.event import Event
from flowbuild.engine import clean, inline
from flowbuild.engine.capture import Capture
from flowbuild.engine.clock import Clock
from flowbuild.engine.command import cannot, failure, in_clean, seconds, streams, told
from flowbuild.engine.engine import Io, Performance, Ready, Wait
from flowbuild.engine.harvest import harvest
from flowbuild.engine.leak import is_secret, secret_result
from flowbuild.engine.place import Place, prepare
from flowbuild.engine.process import before, conclude, end, exited, until_said, while_alive
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.worker_process import FLAGS, Worker
from flowbuild.load.imports import import_name
from flowbuild.store.files import atomic_write, remove_tree
from flowbuild.store.refusal import refused as disk_refused

IDLE = 8  # workers that may wait for another task
TOLD = 4096  # bytes that any pipe has room for

Key = tuple[object, ...]


class _Asked(NamedTuple):
    """A task: its text, and the file that holds it where the text is too long to tell, or is wanted once more."""

    scratch: Path
    text: str

    @property
    def path(self) -> Path:
        return self.scratch / "request.json"

    def kept(self) -> Path:
        atomic_write(self.path, self.text.encode())
        return self.path

    def kept_again(self) -> Path:
        """As it was, whatever the handler left under its name; where it left no room for it, so be it."""
        with contextlib.suppress(DiskRefused):
            remove_tree(self.path)
            self.kept()
        return self.path


class _Called(NamedTuple):
    """What a task came to: its error, what a person should see of stderr if not its end, its changes of context."""

    error: ErrorInfo | None = None
    said: str | None = None
    context: Mapping[str, Any] | None = None
    lingers: bool = False
    """Whether somebody may still be there who can use the action's directory."""


class _Answers:
    """The answers to one task's questions, each left where the worker can read it."""

    def __init__(self, action: Action, io: Io, place: Place) -> None:
        self._action = action
        self._io = io
        self._scratch = place.scratch

    def answer(self, question: Mapping[str, Any]) -> Generator[Event | Wait, Ready, Path | Mapping[str, Any]]:
        answer = yield from self._io.ask(self._action, question)
        if "value" in answer and question["op"] == "read_secret":
            return answer
        file = self._scratch / "answer.json"
        with disk_refused(file):
            file.write_text(json.dumps(answer), encoding="utf-8")
        return file


class Workers:
    """The workers of an engine, and which of them wait."""

    def __init__(self, reaper: Reaper, is_clean: bool = False) -> None:
        self._reaper = reaper
        self._is_clean = is_clean
        self._idle: list[tuple[Key, Worker]] = []

    def perform(self, action: Action, io: Io) -> Performance:
        """Call the handler of an action and take what it made."""
        if self._is_clean and action.with_.get("inline"):
            return Outcome(error=cannot(_INLINE))
        declared: Mapping[str, str] = action.with_.get("env") or {}
        place = prepare(action, io)
        given = {**io.environment(action), "PYTHONHASHSEED": "0"}
        environment = place.environment(given, declared)
        asked = _request(action, io, place, environment)
        request = _Asked(place.scratch, json.dumps(asked))
        captures = streams(action, io)
        if action.with_.get("inline"):
            self._reaper.prepare()
            called = yield from _inline(action, io, asked, environment, captures)
            called = called._replace(lingers=called.lingers or not self._reaper.is_alone)
        else:
            if self._is_clean:
                key, worker = None, Worker(self._reaper, environment, clean.for_python(place, io, sys.path))
            else:
                key = _key(action, given)
                worker = self._take(key, environment)
            clock = Clock(seconds(action), None if action.heartbeat_ms is None else action.heartbeat_ms / 1000)
            called = yield from self._call(worker, key, request, captures, clock, _Answers(action, io, place))
        error = in_clean(called.error, called.said or "") if self._is_clean else called.error
        if error is None and _returns_secret(action, io, place):
            error = secret_result()
        outputs = harvest(action, io, place) if error is None else {}
        if isinstance(outputs, ErrorInfo):
            error, outputs = outputs, {}
        reproduce = None
        if error is None:
            if not called.lingers:
                io.vacate(action)
        else:
            path = os.path.relpath(request.kept_again(), place.cwd)
            argv = (sys.executable, *FLAGS, "-m", "flowbuild.engine.worker_main", path)
            reproduce = place.reproduce(io.workspace, environment, declared, argv)
        outcome = told(Outcome(outputs, error, reproduce=reproduce, context=called.context), captures, io)
        return outcome if called.said is None else replace(outcome, stderr_tail=called.said)

    def close(self) -> None:
        """End those that wait."""
        while self._idle:
            self._end(self._idle.pop()[1])

    def _call(
        self,
        worker: Worker,
        key: Key | None,
        request: _Asked,
        captures: tuple[Capture, Capture],
        clock: Clock,
        answers: _Answers,
    ) -> Generator[Event | Wait, Ready, _Called]:
        """One task of one worker, which rests under its key if it has one."""
        child, reply = worker.child, None
        child.begin()
        clock.begin(child.started)
        timed_out = False
        try:
            worker.tell(request.text if len(request.text) < TOLD else request.kept())
            reply = yield from _until_replied(worker, captures, clock, answers)
            shown = _said(reply, captures) if reply is not None else None
            timed_out = reply is None and not child.has_exited()
            silent = clock.silent if timed_out else None
            if timed_out:
                yield from end(child, captures)
            spent, refused = child.seconds, worker.refusal() if reply is None else None
        finally:
            if reply is not None and not reply["retire"] and key is not None:
                self._rest(worker, key, captures)
            else:
                status = self._lose(worker, captures)
        if reply is None:
            refused = refused or child.refused  # which is known now
            return _Called(cannot(refused) if refused else silent or _lost(status, spent, timed_out))
        return _called(reply, shown, not self._reaper.is_alone)

    def _take(self, key: Key, environment: Mapping[str, str]) -> Worker:
        """A worker that waits for such a task, or a new one."""
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][0] == key:
                worker = self._idle.pop(index)[1]
                if not worker.child.has_exited():
                    return worker
                self._end(worker)
        return Worker(self._reaper, environment)

    def _rest(self, worker: Worker, key: Key, captures: tuple[Capture, Capture]) -> None:
        for capture in captures:
            capture.close()
        self._reaper.rest(worker.child)
        self._idle.append((key, worker))
        if len(self._idle) > IDLE:
            self._end(self._idle.pop(0)[1])

    def _lose(self, worker: Worker, captures: tuple[Capture, Capture]) -> int:
        worker.close()
        return conclude(self._reaper, worker.child, captures)

    def _end(self, worker: Worker) -> None:
        worker.close()
        self._reaper.finish(worker.child)


_INLINE = (
    "`inline: true` runs in the build's own process, which nothing confines; "
    "leave it out, or build with --channel direct"
)


def _inline(
    action: Action, io: Io, asked: dict[str, Any], variables: Mapping[str, str], captures: tuple[Capture, Capture]
) -> Generator[Event | Wait, Ready, _Called]:
    """A task of our own process. Events of the handler come when it has returned: nobody takes them before."""
    events: list[Event | Wait] = []

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        # As a pipe would bring it: a list for a tuple, and nothing that the handler may change afterwards.
        answering = io.ask(action, json.loads(json.dumps(question)))
        while True:
            try:
                events.append(next(answering))
            except StopIteration as answer:
                return dict(answer.value)

    reply = inline.perform(asked, variables, captures, ask)
    try:
        yield from events
        shown = _said(reply, captures)
    finally:
        for capture in captures:
            capture.close()
    return _called(reply, shown, reply["lingers"])


def _said(reply: Mapping[str, Any], captures: tuple[Capture, Capture]) -> str | None:
    """What a person should see of a failure; the log tells the whole story, the handler's last word included."""
    if reply["ok"]:
        return None
    shown: str = reply["traceback"] or captures[1].tail
    last = (reply["traceback"] or reply["message"]).rstrip("\n")
    captures[1].feed(f"{last}\n".encode("utf-8", "backslashreplace"))
    return shown


def _called(reply: Mapping[str, Any], shown: str | None, lingers: bool) -> _Called:
    if reply["ok"]:
        return _Called(context=reply.get("context"), lingers=lingers)
    return _Called(_failure(reply), shown, reply.get("context"))


def _failure(reply: Mapping[str, Any]) -> ErrorInfo:
    """What a handler says of its failure, as far as it is said in words that others know."""
    code, category = reply["code"], reply.get("category")
    return ErrorInfo(
        code if isinstance(code, str) and code else "handler_failed",
        reply["message"],
        category if category in CATEGORIES else "Unknown",
        reply.get("retryable") is True,
    )


def _returns_secret(action: Action, io: Io, place: Place) -> bool:
    """Whether the object that a step's handler returned holds a secret."""
    if not action.with_.get("returns"):
        return False
    path = place.cwd / action.with_["returns"]
    return path.is_file() and is_secret(json.loads(path.read_bytes()), action, io.mask)


def _until_replied(
    worker: Worker, captures: tuple[Capture, Capture], clock: Clock, answers: _Answers
) -> Generator[Event | Wait, Ready, dict[str, Any] | None]:
    """Answer questions until the reply is there; None when the worker's end or a deadline came first."""
    while True:
        said = yield from until_said(worker.child, captures, clock.deadline, worker.replies, worker.answer)
        if said is None or "ask" not in said:
            return said
        answer = yield from before(clock.end, while_alive(worker.child, answers.answer(said["ask"])))
        if answer is None:
            return None
        worker.tell(answer)
        clock.hear()  # while others worked for it, it could not say anything


def _key(action: Action, given: Mapping[str, str]) -> Key:
    """What a worker must have in common with a task. Homes differ from task to task, and are set by each."""
    variables = tuple(sorted(item for item in given.items() if item[0] not in ("HOME", "TMPDIR")))
    return action.package, variables, tuple(sorted(action.with_["modules"])), action.with_.get("module")


def _request(action: Action, io: Io, place: Place, environment: Mapping[str, str]) -> dict[str, Any]:
    """A task as the worker reads it. No variable but the homes: values may be secret, and this is a file."""
    with_ = action.with_
    modules = {name: f"{place.root}/{path}" for name, path in with_["modules"].items()}
    source, module = with_.get("source"), with_.get("module")
    if source is not None:
        module = import_name(source, action.package)
        modules[module] = f"{place.root}/{source}"
    return {
        "arguments": with_["arguments"],
        "context": dict(action.context),
        "doors": with_.get("doors", []),
        "cwd": str(place.cwd),
        "environment": {name: environment[name] for name in ("HOME", "TMPDIR")},
        "function": with_["function"],
        "keeps_failed": action.keeps_failed,
        "module": module,
        "modules": modules,
        "package": action.package,
        "reads": with_.get("reads", []),
        "returns": with_.get("returns"),
        "root": str(place.root),
        "search": [entry for entry in dict.fromkeys(sys.path) if os.path.isabs(entry)],
        "source": source,
        "workspace": str(io.workspace),
        "writes": with_.get("writes", []),
    }


def _lost(status: int, spent: float, timed_out: bool) -> ErrorInfo:
    exit_ = exited(status, spent, timed_out)
    if timed_out:
        error = failure(exit_)
        assert error is not None
        return error
    hint = " (out of memory?)" if exit_.signal == 9 else ""
    return ErrorInfo(
        "worker_lost",
        f"the handler ended its worker: {exit_}{hint}",
        details={"exit_code": exit_.code, "signal": exit_.signal},
    )
