"""The probe harness: a program that performs one operation in one lane, and prints one row of what the kernel said.

Knows nothing of plans, expectations or bundles. It makes the fixtures, forks, and the child applies the policy to
itself and performs the operation without a further exec. In the baseline lane the child applies nothing.

Shapes:  request, one JSON object on stdin: {lane: baseline|scenario, profile, restrict, probe: {name, operation,
         target}, planted?: {variable}, timeout_ms?, foreign?: a policy as `foreign` has it, lenient?: whether a probe
         that can't be performed here is blocked rather than a fault}. Row, one JSON line on stdout, holding no pid,
         port, time or path of this host. `actual` is allow (it was done), deny (refused, with an errno) or null
         (blocked: no answer, with the stage at which it ended). `exit_code` is the probing process's: 0 done, 1
         refused, null no answer.
Errors:  exit 0 with a row, whatever the probe came to. Anything else says that the harness itself broke.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowbuild.engine import confine, fixtures, foreign, operations, restrict, syscalls
from flowbuild.engine.probing import probe_here

TIMEOUT_MS = 5000

# What answers depend on: this program's own modules. A test asserts that it loads no other of ours.
SOURCES = (
    "confine.py",
    "enforcement.py",
    "fixtures.py",
    "foreign.py",
    "landlock.py",
    "operations.py",
    "probe.py",
    "probing.py",
    "restrict.py",
    "seatbelt.py",
    "seccomp.py",
    "syscalls.py",
)
_BOOTSTRAP = "import sys; sys.path.append(sys.argv[1]); from flowbuild.engine.{} import main; sys.exit(main())"

# What a host answers when it is short of something; it says nothing about a policy.
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.EIO, errno.ENOSPC})


class Observed(NamedTuple):
    """What the probing process reported, as far as it came."""

    stage: str = "bootstrap"
    report: Sequence[dict[str, Any]] = ()
    answered: bool = False
    errno: int | None = None
    call: str | None = None
    failure: str | None = None
    observed_path: str | None = None


def command(module: str = "probe") -> list[str]:
    """The argv of this program: an interpreter with nothing of the environment or of site-packages in it."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return [sys.executable, "-I", "-S", "-c", _BOOTSTRAP.format(module), root]


def main() -> int:
    """Read a request, print a row. In the channel `clean` a Confinement is the argument, and is entered first."""
    take_charge()
    request = json.load(sys.stdin)
    row = _confine(request, sys.argv[2]) if len(sys.argv) > 2 else None
    row = row or run(request)
    _end_descendants()
    sys.stdout.write(json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n")
    return 0


def _confine(request: Mapping[str, Any], confinement: str) -> dict[str, Any] | None:
    """Enter the channel. None, or the row of a probe that could not be asked in it."""
    try:
        confine.enter(confine.Confinement.parse(confinement))
    except restrict.PolicyUnavailable as error:
        return unasked(request, [step._asdict() for step in error.report])
    return None


def unasked(request: Mapping[str, Any], report: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The row of a probe that could not be asked in its channel."""
    return _row(request, Observed("preflight", report, failure="channel_unavailable"))


def take_charge() -> None:
    """Be answerable for every descendant, and on SIGTERM leave through the fixtures, which then go."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    syscalls.adopt_orphans()


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Perform one request in a forked child. This process has one thread and is not restricted."""
    probe, lane = request["probe"], request["lane"]
    policy = (request.get("foreign") or request["restrict"]) if lane == "scenario" else {}
    blocked = _blocked(probe, policy) if request.get("lenient") else None
    if blocked:
        return _row(request, blocked)
    faults = operations.check(probe["operation"], probe["target"])
    faults += [] if request.get("foreign") else restrict.check(policy)
    if faults or lane not in ("baseline", "scenario"):
        raise ValueError("; ".join(faults) or f"unknown lane {lane!r}")
    if request.get("planted"):
        os.environ.setdefault(request["planted"]["variable"], "planted")
    with fixtures.standing(probe["operation"], probe["target"]) as stand:
        observed = _observe(probe, policy, stand, request.get("timeout_ms", TIMEOUT_MS))
    return _row(request, observed)


def _blocked(probe: Mapping[str, str], policy: Mapping[str, str]) -> Observed | None:
    """Why a request of somebody else's documents can't be put on this host at all."""
    row = foreign.refusal(policy) if "mode" in policy else None
    if row is not None:
        return Observed("apply", [row._asdict()], failure="policy_unavailable")
    if not operations.check(probe["operation"], probe["target"]):
        return None
    is_known = probe["operation"] in operations.OPERATIONS
    return Observed(failure="unfit_target" if is_known else "unknown_operation")


def _observe(probe: Mapping[str, str], policy: Mapping[str, str], stand: fixtures.Fixtures, limit_ms: int) -> Observed:
    reading, writing = os.pipe()
    harness = os.getpid()
    child = os.fork()
    if child == 0:
        probe_here(probe, policy, stand, writing, harness, limit_ms)
    os.close(writing)
    try:
        observed, late = _listen(reading, time.monotonic() + limit_ms / 1000)
    finally:
        os.close(reading)
        status = _end(child)
    if observed.answered or observed.failure:
        return observed
    ended = f"signal:{os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit:{os.WEXITSTATUS(status)}"
    return observed._replace(failure="timeout" if late else ended)


def _listen(reading: int, deadline: float) -> tuple[Observed, bool]:
    """Gather what the probing process says until it has answered, ended, or the time is over."""
    said, rest = Observed(), b""
    while not (said.answered or said.failure):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return said, True
        data = os.read(reading, 65536)
        if not data:
            return said, False
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            said = said._replace(**json.loads(line))
    return said, False


def _end(child: int) -> int:
    """End the probing process and its group; its wait status."""
    pid, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
        os.killpg(child, signal.SIGKILL)
    if not pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        pid, status = os.waitpid(child, 0)
    return status


def _end_descendants() -> None:
    """End what a probed program left running: its orphans have become children of this process."""
    deadline = time.monotonic() + 1
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                for child in _children():
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.001)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as listing:
            return [int(child) for child in listing.read().split()]
    except OSError:  # nothing here can be told apart from nothing left
        return []


def _elsewhere(path: str | None) -> dict[str, str]:
    """Where the target's path led, if it led elsewhere."""
    return {"observed_path": path, "observed_path_source": "realpath"} if path is not None else {}


def _row(request: Mapping[str, Any], seen: Observed) -> dict[str, Any]:
    probe = request["probe"]
    failure = seen.failure
    if seen.errno in _SHORTAGES:
        failure = f"shortage:{errno.errorcode[seen.errno]}"
    actual = None if failure else "deny" if seen.errno else "allow"
    return {
        "probe": probe["name"],
        "operation": probe["operation"],
        "target": probe["target"],
        "lane": request["lane"],
        "profile": request.get("profile"),
        "actual": actual,
        "runtime_result": {
            "status": "blocked" if failure else "errno" if seen.errno else "success",
            "errno": seen.errno,
            "errno_name": errno.errorcode.get(seen.errno or 0),
            "failure_stage": seen.stage if failure else None,
            "failure_kind": failure,
            "apply_report": list(seen.report),
        },
        "probe_details": {"call": seen.call} | _elsewhere(seen.observed_path),
        "exit_code": {"allow": 0, "deny": 1}.get(actual or ""),
        "stdout": "",
        "stderr": "",
    }
