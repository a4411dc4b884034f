"""Hosts for the tests: the harness run as it is, under an outer filter, or as an ordinary user.

Knows nothing of what a test expects. An outer filter is installed in the child before the harness starts, by our own
seccomp module: so the harness meets a kernel that lacks what the filter takes away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from flowbuild.engine import landlock, preflight, probe, seccomp, syscalls
from flowbuild.engine.seccomp import Rule

PYTHON, ROOT = probe.command()[:3], probe.command()[-1]

_AS_NOBODY = """
import os, sys
sys.path.append(sys.argv[1])
from flowbuild.engine import enforcement, fixtures, preflight, probe, syscalls
from flowbuild.core import world
import socket, resource, ctypes  # an ordinary user may be unable to read the interpreter that started as root
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
syscalls.prctl(4, 1)  # PR_SET_DUMPABLE, which an exec would have brought back
sys.exit({}.main())
"""

_MANY = """
import json, sys
sys.path.append(sys.argv[1])
from flowbuild.engine import probe
probe.take_charge()
print(json.dumps([probe.run(request) for request in json.load(sys.stdin)]))
"""


def request(
    operation: str, restrict: dict[str, str] | None = None, target: str | None = None, **more: Any
) -> dict[str, Any]:
    """A request for one operation: in the baseline lane, unless something is restricted."""
    if target is None:
        target = preflight.CANARIES.get(operation, "outside/file")
    return {
        "lane": "baseline" if restrict is None else "scenario",
        "profile": None,
        "restrict": restrict or {},
        "probe": {"name": "it", "operation": operation, "target": target},
        **more,
    }


def row(asked: dict[str, Any], outer: Sequence[Rule] = (), command: Sequence[str] = ()) -> dict[str, Any]:
    """The row of a request, from a fresh harness."""
    said: dict[str, Any] = json.loads(raw(command or probe.command(), json.dumps(asked).encode(), outer))
    return said


def rows(asked: Sequence[dict[str, Any]], outer: Sequence[Rule] = ()) -> list[dict[str, Any]]:
    """The rows of many requests, from one harness: the same forks, without an interpreter's start for each."""
    said: list[dict[str, Any]] = json.loads(raw([*PYTHON, "-c", _MANY, ROOT], json.dumps(asked).encode(), outer))
    return said


def record(outer: Sequence[Rule] = (), command: Sequence[str] = ()) -> dict[str, Any]:
    """The preflight's record."""
    said: dict[str, Any] = json.loads(raw(command or preflight.command(), b"", outer))
    return said


def raw(command: Sequence[str], stdin: bytes = b"", outer: Sequence[Rule] = ()) -> bytes:
    """What a program prints, under an outer filter."""
    ended = subprocess.run(command, input=stdin, capture_output=True, preexec_fn=under(outer), timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def under(outer: Sequence[Rule]) -> Callable[[], None] | None:
    if not outer:
        return None

    def install() -> None:
        syscalls.forbid_new_privileges()
        seccomp.install(outer)

    return install


def as_nobody(module: str = "probe") -> list[str]:
    """The argv of a program that gives up root first; as it is for a user who is not root."""
    plain = probe.command(module)
    return [*plain[:4], _AS_NOBODY.format(module), plain[-1]] if os.geteuid() == 0 else plain


def landlock_abi() -> int:
    """The Landlock ABI of this host, 0 without one."""
    try:
        return landlock.version()
    except OSError:
        return 0


def has_filters() -> bool:
    """Whether this host lets us install a seccomp filter."""
    try:
        seccomp.require()
    except (OSError, seccomp.Unsupported):
        return False
    return sys.platform.startswith("linux")
