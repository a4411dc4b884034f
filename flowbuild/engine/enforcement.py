"""How Linux enforces a policy on the calling process: which mechanism for which restriction, and in which order.

Knows nothing of profiles or probes. The order matters: namespaces, limits, capabilities, no_new_privs, Landlock,
seccomp; each would keep an earlier one from being applied.

    files          Landlock
    network        seccomp; without it a network namespace together with Landlock's TCP rules, or either alone.
                   `none` is `deny` without local sockets, System V memory and queues, and key rings, which only
                   seccomp can tell
    exec           Landlock and seccomp; Landlock alone stops paths, not a program in memory, and counts as degraded
    signals        Landlock's scope; before ABI 6 seccomp, which also keeps children from signalling themselves
    environment    the C library's clearenv

Shapes:  one Step a mechanism and restriction, also for what was tried and is unavailable.
Errors:  none of its own: a mechanism that the kernel refuses is a row with the errno, and the caller decides.
Source:  measured on Linux 6.18, Landlock ABI 7.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flowbuild.engine import landlock, seccomp, syscalls
from flowbuild.engine.landlock import Grant, Ruleset
from flowbuild.engine.restrict import DEGRADED, ENFORCED, Step, step
from flowbuild.engine.seccomp import Rule, refuse

_AF_UNIX = 1
# What a program may need of /dev, and nobody else's data comes through.
DEVICES = ("/dev/full", "/dev/random", "/dev/urandom", "/dev/zero")
_NETWORK = ("network:deny", "network:none")
# What processes share by name or number, without a file or a socket.
_SHARED = (
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl"),
    *("mq_open", "mq_unlink", "add_key", "request_key", "keyctl"),
)
_SIGNALLING = ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")  # the first argument is the process


class Means(NamedTuple):
    """What this process may use: the Landlock ABI (0: none) and why seccomp can't be used (None: it can)."""

    abi: int
    landlock_errno: int | None
    filter_errno: int | None


def means() -> Means:
    """Ask the kernel, changing nothing."""
    abi, landlock_errno, filter_errno = 0, None, None
    try:
        abi = landlock.version()
    except OSError as error:
        landlock_errno = error.errno
    try:
        seccomp.require()
    except seccomp.Unsupported:
        filter_errno = errno.ENOSYS
    except OSError as error:
        filter_errno = error.errno
    return Means(abi, landlock_errno, filter_errno)


def apply(wanted: Sequence[str], staged: str, reads: Sequence[str] = ()) -> list[Step]:
    """Apply each restriction (`key:value`) by every means that this host has for it.

    `reads` is what `files:declared` lets be read and run, beside the staged directory.
    """
    host = means()
    report: list[Step] = []
    if "environment:scrub" in wanted:
        report.append(_try("environment:scrub", "clearenv", syscalls.clear_environment))
    for name in [name for name in _NETWORK if name in wanted and host.filter_errno is not None]:
        row = _try(name, "network-namespace", syscalls.leave_network)
        report.append(row._replace(status=DEGRADED, leaves=("network-bind",)) if row.status == ENFORCED else row)
    report.append(_try("limits", "rlimit", _no_core_dumps))
    report.append(_try("privileges", "capset", syscalls.drop_capabilities))
    report.append(_try("privileges", "no-new-privs", syscalls.forbid_new_privileges))
    report += _apply_landlock(wanted, staged, reads, host)
    report += _apply_filter(wanted, host)
    return report


def _try(operation: str, mechanism: str, act: Callable[[], None], abi: int | None = None) -> Step:
    try:
        act()
    except OSError as error:
        return step(operation, mechanism, error, abi=abi)
    return step(operation, mechanism, abi=abi)


def _no_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _apply_landlock(wanted: Sequence[str], staged: str, reads: Sequence[str], host: Means) -> list[Step]:
    """One ruleset for all that Landlock is wanted for: a layer is scarce, and each has its price."""
    users = [name for name in wanted if _landlock_since(name, host)]
    able = [name for name in users if host.abi >= _landlock_since(name, host)]
    refused: OSError | None = None
    if able:
        try:
            landlock.restrict_self(ruleset(able, staged, host.abi, reads), host.abi)
        except OSError as error:
            refused = error
    rows = []
    for name in users:
        if name not in able:
            rows.append(step(name, "landlock", host.landlock_errno or errno.EOPNOTSUPP, abi=host.abi or None))
        elif refused:
            rows.append(step(name, "landlock", refused, abi=host.abi))
        else:
            rows.append(_landlock_row(name, host))
    return rows


def _landlock_since(name: str, host: Means) -> int:
    """The ABI from which Landlock serves a restriction on this host; 0 when it is not asked for it."""
    if name in _NETWORK:
        return landlock.TCP_SINCE if host.filter_errno is not None else 0
    if name.startswith("files:"):
        return 1
    return {"exec:deny": 1, "signals:deny": landlock.SCOPE_SINCE}.get(name, 0)


def _landlock_row(name: str, host: Means) -> Step:
    row = step(name, "landlock", abi=host.abi)
    if name.startswith("files:") and host.abi < landlock.TRUNCATE_SINCE:
        return row._replace(status=DEGRADED, leaves=("file-write-truncate",))
    if name in _NETWORK:
        return row._replace(status=DEGRADED, leaves=("network-outbound-udp",))
    if name == "exec:deny" and host.filter_errno is not None:
        return row._replace(status=DEGRADED)
    return row


def ruleset(wanted: Sequence[str], staged: str, abi: int, reads: Sequence[str] = ()) -> Ruleset:
    """What Landlock is asked for: everything that a restriction takes, and the grants that it leaves."""
    every = landlock.file_rights(abi)
    runs = 0 if "exec:deny" in wanted else landlock.EXECUTE
    files, grants = landlock.EXECUTE if "exec:deny" in wanted else 0, []
    if "files:read-only" in wanted:
        files = every
        grants.append(Grant("/", landlock.READ_FILE | landlock.READ_DIR | runs))
    if "files:declared" in wanted:
        grants += [Grant(path, landlock.READ_FILE | landlock.READ_DIR | runs) for path in reads]
        grants += [Grant(path, landlock.READ_FILE | landlock.WRITE_FILE) for path in DEVICES]
    if "files:staged" in wanted or "files:declared" in wanted:
        files = every
        grants.append(Grant(staged, (every & ~landlock.EXECUTE & ~landlock.MAKE_CHAR & ~landlock.MAKE_BLOCK) | runs))
    if files == every:
        grants.append(Grant("/dev/null", landlock.READ_FILE | landlock.WRITE_FILE | landlock.TRUNCATE))
    ports = landlock.BIND_TCP | landlock.CONNECT_TCP if set(_NETWORK) & set(wanted) else 0
    scope = landlock.SCOPE_SIGNAL if "signals:deny" in wanted else 0
    return Ruleset(files, ports, scope, tuple(grants))


def filter_rules(wanted: Sequence[str], abi: int) -> dict[str, list[Rule]]:
    """The system calls that seccomp answers, for each restriction that it is asked for."""
    rules: dict[str, list[Rule]] = {}
    for name in [name for name in _NETWORK if name in wanted]:
        # io_uring makes sockets out of this filter's sight; pidfd_getfd takes another process's. A local socket can
        # reach a service that does what is forbidden here, and only a pair of them leads nowhere.
        rules[name] = [refuse("socket", spare=_AF_UNIX if name == "network:deny" else None)]
        rules[name] += [refuse("socketpair", spare=_AF_UNIX)]
        rules[name] += [refuse(call) for call in ("io_uring_setup", "pidfd_getfd")]
        rules[name] += [refuse(call) for call in _SHARED] if name == "network:none" else []
    if "exec:deny" in wanted:
        rules["exec:deny"] = [refuse(call) for call in ("execve", "execveat")]
    if "signals:deny" in wanted and abi < landlock.SCOPE_SINCE:
        rules["signals:deny"] = [refuse(call, spare=os.getpid()) for call in _SIGNALLING]
        rules["signals:deny"] += [refuse(call) for call in ("tkill", "pidfd_send_signal")]
    return rules


def _apply_filter(wanted: Sequence[str], host: Means) -> list[Step]:
    rules = filter_rules(wanted, host.abi)
    if not rules:
        return []
    if host.filter_errno is not None:
        return [step(name, "seccomp", host.filter_errno) for name in rules]
    rows = [step(name, "seccomp") for name in rules]
    try:
        seccomp.install([rule for group in rules.values() for rule in group])
    except OSError as error:
        return [step(name, "seccomp", error) for name in rules]
    return [row._replace(status=DEGRADED) if row.operation == "signals:deny" else row for row in rows]
