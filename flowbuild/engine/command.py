"""Step kind `exec`: a command or a script over declared inputs and outputs.

Knows nothing of targets: words come rendered. Staged, it runs in a fresh directory of its declared inputs; in place, in
the workspace, as make would.

Shapes:  with: {"command": [word, ...] | "script": text, "env": {name: value}, "stage": bool}. Outcome codes: `exit`,
         `timeout`, `program_not_found`, `program_refused`, `channel_refused`, and those of `harvest`.
Source:  RELIABILITY O1, S2, S3.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.engine import clean
from flowbuild.engine.capture import Capture
from flowbuild.engine.confine import Confinement
from flowbuild.engine.engine import Io, Performance
from flowbuild.engine.harvest import harvest
from flowbuild.engine.place import Place, prepare, shown
from flowbuild.engine.process import Exit, Pump, attend
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Start
from flowbuild.store.refusal import refused as disk_refused


def perform(action: Action, io: Io, reaper: Reaper, is_clean: bool = False) -> Performance:
    """Run the command of an action and take what it made."""
    declared: Mapping[str, str] = action.with_.get("env") or {}
    is_staged = bool(action.with_.get("stage", True))
    if is_clean and not is_staged:
        return Outcome(error=_in_place())
    place = prepare(action, io, staged=is_staged)
    environment = place.environment(io.environment(action), declared)
    argv = _words(action, place)
    captures = streams(action, io)
    program = "/bin/sh" if "script" in action.with_ else find(argv[0], place.cwd, io.search_path)
    if isinstance(program, ErrorInfo):
        return Outcome(error=program)
    what = clean.for_program(place, io, program) if is_clean else None
    start = Start(program, argv, place.cwd, environment)
    error = yield from run(reaper, start, captures, seconds(action), what)
    outputs = harvest(action, io, place) if error is None else {}
    if isinstance(outputs, ErrorInfo):
        error, outputs = outputs, {}
    if error is None and reaper.is_alone:
        io.vacate(action)
    reproduce = place.reproduce(io.workspace, environment, declared, argv) if error else None
    return told(Outcome(outputs, error, reproduce=reproduce), captures, io)


def run(
    reaper: Reaper,
    start: Start,
    captures: tuple[Capture, Capture],
    timeout: float | None,
    what: Confinement | None = None,
) -> Pump[ErrorInfo | None]:
    """A program from start to end, confined if it is said how. What was wrong, if anything."""
    if what is None:
        return (yield from _run(reaper, start, captures, timeout))
    with clean.Launch(start, what) as launch:
        error = yield from _run(reaper, launch.start, captures, timeout)
        said = launch.refusal()
    if said is None:
        return in_clean(error, captures[1].tail)
    if said["stage"] == "exec":
        return in_clean(refused(start.argv[0], OSError(said["errno"], said["message"])))
    return cannot(said["message"])


def _run(
    reaper: Reaper, start: Start, captures: tuple[Capture, Capture], timeout: float | None
) -> Pump[ErrorInfo | None]:
    try:
        child = reaper.start(start)
    except OSError as refusal_:
        return refused(start.argv[0], refusal_)
    exit_ = yield from attend(reaper, child, captures, timeout)
    return cannot(child.refused) if child.refused else failure(exit_)


def streams(action: Action, io: Io) -> tuple[Capture, Capture]:
    """The logs of an action."""
    return tuple(Capture(partial(io.log, action, name), mask=io.mask) for name in ("stdout", "stderr"))  # type: ignore[return-value]


def told(outcome: Outcome, captures: tuple[Capture, Capture], io: Io) -> Outcome:
    """The outcome with what was said on the way."""
    stdout, stderr = captures
    log = stderr.log or stdout.log
    return replace(
        outcome,
        stdout_tail=stdout.tail,
        stderr_tail=stderr.tail,
        log=shown(log, io.workspace) if log else None,
    )


def seconds(action: Action) -> float | None:
    """The time that an action has."""
    return None if action.timeout_ms is None else action.timeout_ms / 1000


def refused(word: str, error: OSError) -> ErrorInfo:
    """Why a program that is there does not start."""
    why = "the interpreter in its first line is not there" if error.errno == errno.ENOENT else error.strerror
    return ErrorInfo("program_refused", f"cannot start {word}: {why}")


def failure(exit_: Exit) -> ErrorInfo | None:
    """What an exit says about the action; None for success."""
    details = {"exit_code": exit_.code, "signal": exit_.signal}
    if exit_.timed_out:
        return ErrorInfo("timeout", f"timed out after {exit_.seconds:.2f} s", retryable=True, details=details)
    is_retryable = exit_.code == os.EX_TEMPFAIL
    return None if exit_.code == 0 else ErrorInfo("exit", str(exit_), retryable=is_retryable, details=details)


def in_clean(error: ErrorInfo | None, said: str = "") -> ErrorInfo | None:
    """An error of a confined action, with the channel named: what it missed may be what it did not declare.

    `said` is what the action said last, in which a refusal of the kernel would stand.
    """
    if error is None or error.code == "channel_refused":
        return error
    hint = ""
    if any(word in f"{error.message}{said}" for word in ("ermission denied", "not permitted", "EACCES", "EPERM")):
        hint = ": it reaches no file that it does not declare, no socket, and no process of others"
    return replace(error, message=f"{error.message}; it ran in channel clean{hint}")


def _in_place() -> ErrorInfo:
    return cannot(
        "`stage: false` runs in the workspace itself, where channel clean can hide nothing; "
        "leave it out, or build with --channel direct"
    )


def cannot(message: str) -> ErrorInfo:
    """The fault of an action that was not begun, since it could not be held."""
    return ErrorInfo("channel_refused", message, details={"channel": "clean"})


def find(word: str, cwd: Path, search_path: tuple[str, ...]) -> str | ErrorInfo:
    """The file of a program: by search path, or by place when the word has a slash."""
    if "/" in word:
        path = cwd / word
        if path.is_file() and not os.access(path, os.X_OK):
            return ErrorInfo("program_refused", f"{word} is not executable (chmod +x {word})")
        return str(path) if path.is_file() else ErrorInfo("program_not_found", f"there is no program {word}")
    for directory in search_path:
        path = Path(directory, word)
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return ErrorInfo("program_not_found", f"no program {word!r} in {':'.join(search_path) or 'an empty search path'}")


def _words(action: Action, place: Place) -> tuple[str, ...]:
    if "script" not in action.with_:
        return tuple(action.with_["command"])
    with disk_refused(place.script):
        place.script.write_text(action.with_["script"], encoding="utf-8")
    return "sh", "-eu", os.path.relpath(place.script, place.cwd)
