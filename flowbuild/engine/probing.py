"""The probing process: it seals itself off, applies the policy to itself, performs one operation, and says what came.

Knows nothing of lanes or rows, nor of who listens. It is forked from the harness with everything loaded that it needs,
for after the policy it may be unable to read a file or to exec.

Shapes:  JSON lines on the report's descriptor, each a part of what the harness gathers: `stage` when one is reached
         (bootstrap, apply, probe), `report` (the apply report), `observed_path`, then `answered` with `call` and
         `errno`, or `failure`.
Errors:  none leave it: an exception is a `failure`, and the process ends without returning.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Mapping
from typing import NoReturn

from flowbuild.engine import foreign, operations, restrict, syscalls
from flowbuild.engine.fixtures import Fixtures

_REPORT = 3  # the one descriptor that stays, beside three that lead nowhere


def probe_here(
    probe: Mapping[str, str],
    policy: Mapping[str, str],
    stand: Fixtures,
    writing: int,
    harness: int,
    limit_ms: int,
) -> NoReturn:
    """The child: seal itself off, apply the policy, perform the operation, say what came of it at each stage."""
    code = 70
    try:
        _seal(writing, harness, limit_ms)
        calls: list[str] = []
        _say(stage="apply")
        is_foreign = "mode" in policy
        report = foreign.apply(policy) if is_foreign else restrict.apply(policy, staged=stand.staged)
        syscalls.die_with(harness)  # changed credentials may have disarmed it
        rows = [step._asdict() for step in report]
        if probe["operation"] in restrict.left_open(report):
            _say(report=rows, failure="not_enforced")
        else:
            _say(stage="probe", report=rows, observed_path=_observed(probe, stand))
            code = _perform(probe, stand, calls)
    except restrict.PolicyUnavailable as error:
        _say(report=[step._asdict() for step in error.report], failure="policy_unavailable")
    except BaseException as error:
        _say(failure=f"exception:{type(error).__name__}")
    finally:
        os._exit(code)


def _observed(probe: Mapping[str, str], stand: Fixtures) -> str | None:
    """Where a path really leads, if elsewhere than it says. Nothing is opened for it, so no policy minds."""
    if operations.OPERATIONS[probe["operation"]].target not in ("path", "fixture"):
        return None
    name = stand.place(probe["target"]).name
    try:
        path = _real(name)
    except OSError:
        return None
    path = path.removeprefix(f"{stand.tree}/")
    return path if path != probe["target"].rstrip("/") else None


def _real(name: str) -> str:
    if not hasattr(os, "O_PATH"):
        return os.path.realpath(name, strict=True)
    descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _perform(probe: Mapping[str, str], stand: Fixtures, calls: list[str]) -> int:
    try:
        operations.OPERATIONS[probe["operation"]].perform(stand.place(probe["target"]), calls)
    except OSError as error:
        if not error.errno:  # no answer of a kernel
            raise
        _say(answered=True, errno=error.errno, call=calls[-1])
        return 1
    _say(answered=True, call=calls[-1])
    return 0


def _seal(writing: int, harness: int, limit_ms: int) -> None:
    """Keep no descriptor but the report, no terminal, no core dump; and outlive neither the harness nor the limit."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    syscalls.die_with(harness)
    signal.setitimer(signal.ITIMER_REAL, limit_ms / 1000 + 1)  # where no parent-death signal exists
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_RDWR)
    spare = os.dup(writing) if writing < _REPORT else writing
    for descriptor in range(_REPORT):
        os.dup2(nothing, descriptor)
    if spare != _REPORT:
        os.dup2(spare, _REPORT, inheritable=False)
    os.closerange(_REPORT + 1, min(os.sysconf("SC_OPEN_MAX"), 65536))


def _say(**words: object) -> None:
    os.write(_REPORT, json.dumps(words).encode() + b"\n")
