"""A job of launchd: the process that launchd starts for a carrier, and that starts one program for it.

Knows nothing of actions or channels. It is born with what launchd gives, and the program with what the carrier names:
its variables, directory and descriptors. The carrier ends the job by taking it out of launchd; the carrier's end is the
program's end, and then the job takes itself out. Standard library only, and little of it.

Shapes:  arguments: the file of launchctl and the job's name in launchd. The working directory holds `door`, a socket:
         a byte with descriptors comes first, then the task as a JSON line (see `launchd_carrier`). TERM asks the
         program to end. JSON lines go back: {"pid"}, then {"status"}, as waitpid gives it; or {"refused": why the
         program could not be started}.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from flowbuild.engine.spawn import Start, spawn

DOOR, TERM = "door", b"T"
MANY = 64  # descriptors of one program


def main() -> int:
    """Start the program that the carrier asks for, and see it to its end."""
    launchctl, service = sys.argv[2:]
    place = os.getcwd()
    with socket.socket(socket.AF_UNIX) as carrier, contextlib.suppress(OSError):
        carrier.connect(DOOR)
        _serve(carrier)
        while carrier.recv(1):  # until the carrier takes us out, by SIGTERM; or is gone
            pass
    shutil.rmtree(place, ignore_errors=True)
    os.execv(launchctl, ["launchctl", "bootout", service])


def _serve(carrier: socket.socket) -> None:
    _, descriptors, _, _ = socket.recv_fds(carrier, 1, MANY)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    with carrier.makefile("rb", buffering=0) as lines:  # unbuffered: what follows the task is read as it comes
        line = lines.readline()
    if not line:
        return
    task = json.loads(line)
    ended, waker = socket.socketpair()
    ended.setblocking(False)
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    try:
        pid = _started(task, dict(zip(task["descriptors"], descriptors, strict=True)))
    except OSError as error:
        _say(carrier, refused=f"{task['program']}: {error.strerror}")
        return
    for descriptor in descriptors:  # the program's now: a stream that it closes has ended
        os.close(descriptor)
    try:
        _say(carrier, pid=pid)
        status = _until_ended(pid, carrier, ended)
    finally:
        _signal(pid, signal.SIGKILL)
    _say(carrier, status=status)


def _started(task: dict[str, Any], descriptors: dict[int, int]) -> int:
    os.umask(task["umask"])
    start = Start(task["program"], tuple(task["argv"]), Path(task["cwd"]), task["environment"], Path(task["stdin"]))
    return spawn(start, descriptors)


def _until_ended(pid: int, carrier: socket.socket, ended: socket.socket) -> int:
    """Wait for the program, and do what the carrier asks meanwhile; its status."""
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return status
        ready, _, _ = select.select([carrier, ended], [], [])
        if ended in ready:
            ended.recv(4096)
        if carrier in ready:
            _signal(pid, signal.SIGTERM if carrier.recv(1) == TERM else signal.SIGKILL)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
        os.killpg(group, number)


def _say(carrier: socket.socket, **words: object) -> None:
    carrier.sendall(json.dumps(words).encode() + b"\n")
