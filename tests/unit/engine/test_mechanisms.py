"""Mechanisms: what the kernel grants, refuses, or pretends to grant; and what the doctor says of such hosts."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hosts
import pytest

from flowbuild.engine import mechanisms
from flowbuild.engine.mechanisms import Trial, _tried
from flowbuild.engine.restrict import ENFORCED, UNAVAILABLE
from flowbuild.engine.seccomp import Rule, refuse

FILTERS = pytest.mark.skipif(not hosts.has_filters(), reason="needs seccomp filters")
NO_LANDLOCK = [refuse(number, errno.ENOSYS) for number in (444, 445, 446)]
NO_FILTERS = [refuse("prctl", errno.EINVAL, only=22)]
NO_NAMESPACE = [refuse("unshare", errno.EPERM)]
MACHINE = os.uname().machine
FLOCK, FSYNC, INOTIFY = {"x86_64": (73, 74, 294), "aarch64": (32, 82, 26)}.get(MACHINE, (0, 0, 0))


def trials(outer: Sequence[Rule] = ()) -> dict[str, Trial]:
    code = "import json; from flowbuild.engine.mechanisms import trials; print(json.dumps(trials()))"
    return {one[0]: Trial(*one) for one in json.loads(hosts.raw([sys.executable, "-c", code], outer=outer))}


def doctor(place: Path, outer: Sequence[Rule]) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code and the rows of `flowbuild doctor` under an outer filter."""
    (place / "flowbuild.yaml").touch()
    command = [sys.executable, "-m", "flowbuild", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, cwd=place, preexec_fn=hosts.under(outer), timeout=60)
    assert done.stderr == b"", done.stderr.decode()
    return done.returncode, {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


@FILTERS
def test_each_mechanism_that_a_kernel_refuses_has_its_errno() -> None:
    found = trials(NO_LANDLOCK + NO_FILTERS + NO_NAMESPACE)
    assert {name: (one.status, one.errno_name) for name, one in found.items()} == {
        "landlock": (UNAVAILABLE, "ENOSYS"),
        "seccomp": (UNAVAILABLE, "EINVAL"),
        "network-namespace": (UNAVAILABLE, "EPERM"),
        "user-namespace": (UNAVAILABLE, "EPERM"),
    }


@FILTERS
def test_a_mechanism_that_only_pretends_is_unavailable() -> None:
    """unshare answers 0 here and does nothing: only the canary tells."""
    found = trials([Rule("unshare", 0x00050000)])
    assert (found["network-namespace"], found["user-namespace"]) == (
        Trial("network-namespace", UNAVAILABLE),
        Trial("user-namespace", UNAVAILABLE),
    )


@FILTERS
@pytest.mark.skipif(hosts.landlock_abi() == 0, reason="needs Landlock")
def test_what_this_host_has_is_enforced() -> None:
    found = trials()
    assert found["landlock"] == Trial("landlock", ENFORCED, None, hosts.landlock_abi())
    assert found["seccomp"].status == ENFORCED


def test_a_trial_leaves_its_caller_as_it_was() -> None:
    mechanisms.trials()
    os.listdir("/")
    assert os.path.exists("/etc")


def test_a_trial_that_breaks_is_no_answer_of_the_kernel() -> None:
    assert _tried("it", lambda: 1 / 0) == Trial("it", UNAVAILABLE)  # type: ignore[arg-type, return-value]
    assert _tried("it", lambda: os.kill(os.getpid(), signal.SIGKILL)) == Trial("it", UNAVAILABLE)


@FILTERS
def test_the_doctor_sees_a_host_without_landlock(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, NO_LANDLOCK)
    assert code == 0, "a plain build needs no Landlock"
    assert (found["landlock"]["status"], found["landlock"]["detail"]) == (UNAVAILABLE, "ENOSYS")
    assert "5.13" in found["landlock"]["remedy"]
    assert (found["files:staged"]["status"], found["files:staged"]["detail"]) == (UNAVAILABLE, "ENOSYS")
    assert (found["files:declared"]["group"], found["files:declared"]["status"]) == ("channel clean", UNAVAILABLE)
    assert found["in a sandbox"]["detail"] == "yes"


@FILTERS
@pytest.mark.skipif(not FLOCK, reason=f"the system calls of {MACHINE} are not in this test's table")
def test_the_doctor_sees_a_host_that_does_not_lock(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, [refuse(FLOCK, errno.ENOLCK)])
    assert (code, found["lock"]["status"]) == (1, UNAVAILABLE)
    assert found["lock"]["detail"].startswith("ENOLCK")


@FILTERS
@pytest.mark.skipif(not FSYNC, reason=f"the system calls of {MACHINE} are not in this test's table")
def test_the_doctor_sees_what_does_not_flush_or_watch(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, [refuse(FSYNC, errno.EINVAL), refuse(INOTIFY, errno.EMFILE)])
    assert (code, found["fsync"]["status"]) == (0, "degraded"), "an answer, and no reason not to build"
    assert found["inotify"]["status"] == UNAVAILABLE and found["inotify"]["detail"].startswith("EMFILE; max_user")
    code, found = doctor(tmp_path, [refuse(FSYNC, errno.EIO)])
    assert (code, found["fsync"]["status"], found["fsync"]["detail"][:4]) == (0, UNAVAILABLE, "EIO:")
