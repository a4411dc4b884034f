"""A profile's policy: what may be restricted, what each restriction covers, and applying it to this very process.

Knows nothing of probes, profiles' names or lanes. What each restriction covers, and what it does not:

- `files: read-only`   Nothing is written, created, truncated or removed anywhere, but for /dev/null. Reading and
                       running stay. Not covered: chmod, utime, xattr; descriptors opened before.
- `files: staged`      Nothing outside the staged directory is read, listed, run or written. /proc is outside, so nobody
                       looks at another process. Not covered: stat, chdir, path sockets; descriptors opened before.
- `network: deny`      No socket but a local one (AF_UNIX) comes to be, and no io_uring. Not covered: sockets opened
                       before; other processes that talk for this one over a local socket.
- `exec: deny`         No program replaces this process or a child; forking stays.
- `signals: deny`      No signal reaches a process that is not under this policy. Looking at one is not covered: on
                       Linux that is reading a file in /proc, which `files: staged` covers.
- `environment: scrub` This process has no environment variable. Not covered: /proc/<pid>/environ, its own and its
                       parent's, which keeps what a process started with; `files: staged` covers that.

Any restriction also drops capabilities, forbids new privileges, and turns core dumps off.

Shapes:  Step, a row of the apply report. `leaves` names the operations that a mechanism lets through although the
         restriction covers them; a restriction leaves open what all of its mechanisms leave open.
Errors:  PolicyUnavailable, with the report, when no mechanism can apply a restriction: closed, never open.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ENFORCED, DEGRADED, UNAVAILABLE = "enforced", "degraded", "unavailable"

VALUES: Mapping[str, tuple[str, ...]] = {
    "files": ("read-only", "staged"),
    "network": ("deny",),
    "exec": ("deny",),
    "signals": ("deny",),
    "environment": ("scrub",),
}

_WRITING = ("file-write-create", "file-write-data", "file-write-truncate", "file-write-unlink")

# A test asserts that this is total over VALUES, and names known operations only.
COVERS: Mapping[str, tuple[str, ...]] = {
    "files:read-only": _WRITING,
    "files:staged": ("file-read-data", "file-read-directory", *_WRITING, "process-exec", "process-info"),
    "network:deny": ("network-bind", "network-outbound", "network-outbound-udp"),
    "exec:deny": ("process-exec",),
    "signals:deny": ("signal",),
    "environment:scrub": ("environment-read",),
}


class Step(NamedTuple):
    """What one mechanism came to, for one restriction."""

    operation: str
    mechanism: str
    status: str
    abi: int | None = None
    errno: int | None = None
    errno_name: str | None = None
    leaves: tuple[str, ...] = ()


class PolicyUnavailable(Exception):
    """A restriction was asked for that nothing on this host can apply."""

    def __init__(self, restrictions: Sequence[str], report: Sequence[Step]) -> None:
        super().__init__("cannot be applied here: " + ", ".join(restrictions))
        self.report = list(report)


def check(restrict: object) -> list[str]:
    """What is wrong with a `restrict:` mapping, one message a fault."""
    if not isinstance(restrict, Mapping):
        return ["restrict is a mapping, such as {network: deny}; {} restricts nothing"]
    faults = []
    for key, value in restrict.items():
        if key not in VALUES:
            faults.append(f"unknown restriction {key!r}; known here: {', '.join(VALUES)}")
        elif value not in VALUES[key]:
            faults.append(f"{key}: {value!r} is none of {', '.join(VALUES[key])}")
    return faults


def restrictions(restrict: Mapping[str, str]) -> list[str]:
    """A policy as a sorted list of `key:value`."""
    return sorted(f"{key}:{value}" for key, value in restrict.items())


def apply(restrict: Mapping[str, str], *, staged: str) -> list[Step]:
    """Apply a policy to the calling process, which has one thread, for good. The rows say by what means."""
    faults = check(restrict)
    if faults:
        raise ValueError("; ".join(faults))
    wanted = restrictions(restrict)
    return enforce(wanted, staged) if wanted else []


def enforce(wanted: Sequence[str], staged: str, reads: Sequence[str] = ()) -> list[Step]:
    """Apply restrictions by name, a policy's or a channel's (`confine`), to the calling process."""
    if sys.platform == "darwin":
        from flowbuild.engine import seatbelt

        report = seatbelt.apply(wanted, staged, reads)
    else:
        from flowbuild.engine import enforcement

        report = enforcement.apply(wanted, staged, reads)
    missing = [name for name in wanted if not _effective(name, report)]
    if missing:
        raise PolicyUnavailable(missing, report)
    return report


def step(operation: str, mechanism: str, failure: OSError | int | None = None, *, abi: int | None = None) -> Step:
    """A row: enforced, or unavailable because of an error or its number."""
    number = failure.errno if isinstance(failure, OSError) else failure
    if failure is None:
        return Step(operation, mechanism, ENFORCED, abi)
    return Step(operation, mechanism, UNAVAILABLE, abi, number, errno.errorcode.get(number or 0))


def left_open(report: Sequence[Step]) -> set[str]:
    """The operations that restrictions of this report cover and that no mechanism of theirs stops."""
    found: set[str] = set()
    for name in {row.operation for row in report} & set(COVERS):
        found |= set.intersection(*(set(row.leaves) for row in _effective(name, report)))
    return found


def _effective(name: str, report: Sequence[Step]) -> list[Step]:
    return [row for row in report if row.operation == name and row.status != UNAVAILABLE]
