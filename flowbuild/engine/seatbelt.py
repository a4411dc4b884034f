"""How macOS enforces a policy on the calling process: the kernel's sandbox, through libSystem.

Knows nothing of profiles or probes. The interface is deprecated and enforced all the same. A sandbox does not nest:
inside another one, applying is refused, and the policy is unavailable.

Shapes:  a policy in the sandbox's own language, where the last rule that fits decides.
Errors:  none of its own: a refusal is a row of the report. The sandbox answers with EPERM what it denies.
Source:  sandbox_init(3), sandbox_check; Apple's profiles under /System/Library/Sandbox.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Sequence

from flowbuild.engine.restrict import Step, step
from flowbuild.engine.syscalls import clear_environment, libc

_OTHERS_HIDDEN = ("(deny process-info*)", "(allow process-info* (target self))")

# A test asserts that this is total over the restrictions, but for the environment, which is no matter of the kernel.
_RULES: dict[str, tuple[str, ...]] = {
    "files:read-only": ("(deny file-write*)", '(allow file-write* (literal "/dev/null"))'),
    "files:staged": (
        "(deny file-read-data file-write* process-exec*)",
        '(allow file-read-data file-write* (literal "/dev/null"))',
        "(allow file-read-data file-write* process-exec* (subpath STAGED))",
        *_OTHERS_HIDDEN,
    ),
    "files:declared": (
        "(deny file-read-data file-write* process-exec*)",
        '(allow file-read-data file-write* (literal "/dev/null"))',
        '(allow file-read-data (literal "/"))',  # the loader lists it
        "(allow file-read-data file-write* process-exec* (subpath STAGED))",
        "(allow file-read-data process-exec* READS)",
        *_OTHERS_HIDDEN,
    ),
    "network:deny": ("(deny network*)",),  # local sockets too: the language's filters for them differ by version
    "network:none": ("(deny network*)", "(deny ipc-sysv*)"),
    "exec:deny": ("(deny process-exec*)",),
    "signals:deny": ("(deny signal)", "(allow signal (target self))"),
}


def policy(wanted: Sequence[str], staged: str, reads: Sequence[str] = ()) -> str:
    """The policy of some restrictions. `exec:deny` comes last, so that no grant of another opens it again."""
    place, places = _quoted(staged), " ".join(f"(subpath {_quoted(path)})" for path in reads)
    names = sorted((name for name in wanted if name in _RULES), key=lambda name: name == "exec:deny")
    rules = [rule for name in names for rule in _RULES[name] if reads or "READS" not in rule]
    rules = [rule.replace("STAGED", place).replace("READS", places) for rule in rules]
    return "\n".join(["(version 1)", "(allow default)", *rules])


def apply(wanted: Sequence[str], staged: str, reads: Sequence[str] = ()) -> list[Step]:
    """Apply each restriction (`key:value`) to this process, for good."""
    report = []
    if "environment:scrub" in wanted:
        clear_environment()
        report.append(step("environment:scrub", "clearenv"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    report.append(step("limits", "rlimit"))
    names = [name for name in wanted if name in _RULES]
    refused = enter(policy(names, staged, reads)) if names else None
    return report + [step(name, "seatbelt", refused) for name in names]


def _quoted(path: str) -> str:
    return '"' + os.path.realpath(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_sandboxed() -> bool | None:
    """Whether this process is in a sandbox already; None when the system does not say."""
    try:
        return bool(libc().sandbox_check(os.getpid(), None, 0))
    except AttributeError:
        return None


def enter(text: str) -> int | None:
    """Enter a sandbox. None, or the errno of the refusal."""
    try:
        enter = libc().sandbox_init
    except AttributeError:
        return errno.ENOSYS
    message = ctypes.c_char_p()
    if enter(text.encode(), ctypes.c_uint64(0), ctypes.byref(message)) == 0:
        return None
    return ctypes.get_errno() or errno.EPERM
