"""A carrier: our own child, which has launchd start a program, and stands for it until its end.

Knows nothing of actions or channels. It describes a job to launchd, hands it the program's words, variables and
descriptors over a socket, passes SIGTERM on, and ends as the program ended. Nothing of the program stands in the job's
description, where others could read it. Whatever ends the carrier ends the program.

Shapes:  arguments: a Home as JSON; what to start as JSON, {"program", "cwd", "stdin", "names", "descriptors",
         "umask"}; its argv. Variables come in the environment, and only the named ones go on. Descriptor REFUSALS takes
         one JSON line, {"pid", "message"}, if launchd did not begin with it.
Source:  launchctl(1), launchd.plist(5).
"""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.engine import launchd_job, probe

REFUSALS, REFUSED = 198, 126
# The domains of one user: of a login at the screen, and of whoever came by another way.
DOMAINS = ("gui", "user")
KEPT = 200  # characters of a refusal: its line fits into what a pipe takes at once, whoever else writes
SECONDS = 10  # until launchd has begun with a job, or never will
_PATH = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}


class Home(NamedTuple):
    """The file of launchctl, what names of jobs begin with, and where a directory for each is made."""

    launchctl: str
    prefix: str
    place: str


class Refusal(Exception):
    """Launchd did not begin with a job."""


def main() -> int:
    """Have the program started, and end as it does."""
    home, asked, *argv = sys.argv[2:]
    task = {**json.loads(asked), "argv": argv}
    task["environment"] = {name: os.environ[name] for name in task.pop("names")}
    os.set_inheritable(REFUSALS, False)
    try:
        status = _carry(Home(*json.loads(home)), task)
    except (Refusal, OSError) as error:
        message = str(error).encode("ascii", "replace").decode()[:KEPT]
        os.write(REFUSALS, json.dumps({"pid": os.getpid(), "message": message}).encode() + b"\n")
        return REFUSED
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL has no other
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def description(label: str, place: str, launchctl: str, service: str) -> dict[str, Any]:
    """What launchd is told of a job: it runs once, at once, and as fast as anything that a person started."""
    return {
        "Label": label,
        "ProgramArguments": [*probe.command("launchd_job"), launchctl, service],
        "WorkingDirectory": place,
        "StandardErrorPath": f"{place}/said",
        "RunAtLoad": True,
        "ProcessType": "Interactive",
        "LimitLoadToSessionType": ["Aqua", "Background", "LoginWindow", "StandardIO"],
    }


def _carry(home: Home, task: dict[str, Any]) -> int:
    ended, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    place = tempfile.mkdtemp(prefix="flowbuild-", dir=home.place)
    try:
        os.chdir(place)  # a socket's name is short; its directory's may be long
        # A connection outlives its job: whatever ends us before the job is out of launchd, it notices.
        with socket.socket(socket.AF_UNIX) as door, contextlib.ExitStack() as connections:
            door.bind(launchd_job.DOOR)
            door.listen(1)
            with _job(home, place) as label:
                job = connections.enter_context(_connected(door, ended, label))
                return _status(job, ended, task)
    finally:
        os.chdir("/")
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def _job(home: Home, place: str) -> Iterator[str]:
    """A job of launchd, for as long as the block lasts."""
    label = f"{home.prefix}.{uuid.uuid4().hex}"
    said = ""
    for domain in DOMAINS:
        service = f"{domain}/{os.getuid()}/{label}"
        data = plistlib.dumps(description(label, place, home.launchctl, service))
        file = os.open("job.plist", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(file, "wb") as plist:
            plist.write(data)
        said = _launchctl(home, "bootstrap", service.rpartition("/")[0], f"{place}/job.plist")
        if not said:
            break
    else:
        raise Refusal(f"launchd takes no job: {said}")
    try:
        yield label
    finally:
        shutil.rmtree(place, ignore_errors=True)
        _launchctl(home, "bootout", service)


def _launchctl(home: Home, *words: str) -> str:
    """What launchctl says when it fails; nothing else."""
    try:
        done = subprocess.run(
            [home.launchctl, *words], stdin=subprocess.DEVNULL, capture_output=True, env=_PATH, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return done.stderr.decode(errors="replace").strip() or f"launchctl ended with {done.returncode}"


def _connected(door: socket.socket, ended: socket.socket, name: str) -> socket.socket:
    """The job's end of the door."""
    if door not in select.select([door, ended], [], [], SECONDS)[0]:
        said = Path("said").read_text(errors="replace").strip() if os.path.exists("said") else ""
        raise Refusal(f"launchd did not start {name}: {said.rpartition(chr(10))[2] or 'it says nothing'}")
    return door.accept()[0]


def _status(job: socket.socket, ended: socket.socket, task: dict[str, Any]) -> int:
    """Hand over the task, and wait; the program's status. If the job is lost, its program is ended."""
    descriptors = task["descriptors"]
    socket.send_fds(job, [b"\0"], descriptors)
    job.sendall(json.dumps(task).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:  # the program's now
        os.dup2(nothing, descriptor)
    said = b""
    while True:
        ready, _, _ = select.select([job, ended], [], [])
        if ended in ready:
            ended.recv(4096)
            job.sendall(launchd_job.TERM)
        if job not in ready:
            continue
        data = job.recv(4096)
        said += data
        words = {name: word for line in said.split(b"\n")[:-1] for name, word in json.loads(line).items()}
        if "refused" in words:
            raise Refusal(words["refused"])
        if "status" in words:
            return int(words["status"])
        if not data:
            return _lost(words.get("pid"))


def _lost(group: int | None) -> int:
    """Somebody ended the job: its program goes too, and so do we."""
    if group is None:
        raise Refusal("the job was ended as it began")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    return signal.SIGKILL
