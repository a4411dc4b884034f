"""What can be probed: one row an operation, and the function that performs it in the probing process.

Knows nothing of policies or lanes. A function does the thing for real; the kernel's refusal is the OSError that it
raises. It notes each call before making it, so that a refusal can be told by its call. Nothing is imported here that a
policy might keep from being read: the harness loads what an operation needs before the policy is applied.

Shapes:  a target is a word of BUILD.yaml, by its kind:
         path      `staged/NAME` or `outside/NAME` in the harness's own tree, or an absolute path
         fixture   the same without absolute paths: nothing of the host is ever written to
         program   an absolute path
         loopback  `127.0.0.1:0`, port 0 being the harness's listener, or any free port to bind
         process   `victim`, a process that the harness started
         variable  the name of an environment variable that the harness sets
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

FIXTURE_ROOTS = ("staged", "outside")

_NOT_STARTED = 126


class Place(NamedTuple):
    """A target in this run: the path or name, and the numbers that no row may show."""

    name: str
    port: int = 0
    pid: int = 0


class Operation(NamedTuple):
    """A row of the table."""

    target: str
    perform: Callable[[Place, list[str]], None]
    doc: str


def _read_data(place: Place, calls: list[str]) -> None:
    calls.append("open")
    descriptor = os.open(place.name, os.O_RDONLY)
    calls.append("read")
    os.read(descriptor, 1)


def _read_metadata(place: Place, calls: list[str]) -> None:
    calls.append("stat")
    os.stat(place.name)


def _read_directory(place: Place, calls: list[str]) -> None:
    calls.append("open")
    os.listdir(place.name)


def _write_data(place: Place, calls: list[str]) -> None:
    calls.append("open")
    descriptor = os.open(place.name, os.O_WRONLY)
    calls.append("write")
    os.write(descriptor, b"probe\n")


def _write_create(place: Place, calls: list[str]) -> None:
    calls.append("open")
    os.open(place.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _write_truncate(place: Place, calls: list[str]) -> None:
    calls.append("truncate")
    os.truncate(place.name, 0)


def _write_unlink(place: Place, calls: list[str]) -> None:
    calls.append("unlink")
    os.unlink(place.name)


def _exec(place: Place, calls: list[str]) -> None:
    """Fork and execve. The pipe closes without a word when the program has started, else it brings the errno."""
    from flowbuild.engine.syscalls import die_with

    reading, writing = os.pipe()
    parent = os.getpid()
    calls.append("fork")
    child = os.fork()
    if child == 0:
        try:
            die_with(parent)
            _execve(place.name, writing)
        finally:
            os._exit(_NOT_STARTED)
    os.close(writing)
    calls.append("execve")
    refusal = os.read(reading, 16)
    status = os.waitpid(child, 0)[1]
    if refusal:
        raise OSError(int(refusal), os.strerror(int(refusal)))
    if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == _NOT_STARTED:
        raise RuntimeError("the child ended, and whether the program had started is not known")


def _execve(program: str, writing: int) -> None:
    try:
        os.execve(program, [program], {})
    except OSError as error:
        os.write(writing, str(error.errno).encode())


def _connect(place: Place, calls: list[str]) -> None:
    import socket

    calls.append("socket")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        calls.append("connect")
        stream.connect(("127.0.0.1", place.port))


def _bind(place: Place, calls: list[str]) -> None:
    import socket

    calls.append("socket")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        calls.append("bind")
        stream.bind(("127.0.0.1", 0))
        calls.append("listen")
        stream.listen(1)


def _send_datagram(place: Place, calls: list[str]) -> None:
    import socket

    calls.append("socket")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        calls.append("sendto")
        datagrams.sendto(b"probe", ("127.0.0.1", place.port))


def _signal(place: Place, calls: list[str]) -> None:
    import signal

    calls.append("kill")
    os.kill(place.pid, signal.SIGUSR1)


def _look(place: Place, calls: list[str]) -> None:
    if sys.platform != "darwin":
        return _read_data(Place(f"/proc/{place.pid}/status"), calls)
    import ctypes

    from flowbuild.engine.syscalls import libc

    calls.append("proc_pidinfo")
    record = ctypes.create_string_buffer(256)
    if libc().proc_pidinfo(place.pid, 3, ctypes.c_uint64(0), record, 136) <= 0:  # 3: PROC_PIDTBSDINFO
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _read_variable(place: Place, calls: list[str]) -> None:
    """Look a variable up. getenv sets no errno: ENOENT is this lookup's own answer that there is none."""
    from flowbuild.engine.syscalls import variable

    calls.append("getenv")
    if variable(place.name) is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


OPERATIONS: Mapping[str, Operation] = {
    "file-read-data": Operation("path", _read_data, "Open a file and read its first byte."),
    "file-read-metadata": Operation("path", _read_metadata, "Ask for a file's size and times."),
    "file-read-directory": Operation("path", _read_directory, "List a directory."),
    "file-write-data": Operation("fixture", _write_data, "Write into a file that exists."),
    "file-write-create": Operation("fixture", _write_create, "Create a file."),
    "file-write-truncate": Operation("fixture", _write_truncate, "Cut a file to nothing."),
    "file-write-unlink": Operation("fixture", _write_unlink, "Remove a file."),
    "process-exec": Operation("program", _exec, "Fork, and run a program in the child."),
    "network-outbound": Operation("loopback", _connect, "Connect to a TCP listener on this host."),
    "network-bind": Operation("loopback", _bind, "Bind a TCP port on this host and listen."),
    "network-outbound-udp": Operation("loopback", _send_datagram, "Send a UDP datagram to a socket on this host."),
    "signal": Operation("process", _signal, "Send SIGUSR1 to a process outside the policy."),
    "process-info": Operation("process", _look, "Look at a process outside the policy, in /proc or with proc_pidinfo."),
    "environment-read": Operation("variable", _read_variable, "Look up an environment variable that was planted."),
}


def check(operation: str, target: str) -> list[str]:
    """What is wrong with a probe's operation and target, one message a fault."""
    if operation not in OPERATIONS:
        return [f"unknown operation {operation!r}; known here: {', '.join(OPERATIONS)}"]
    kind = OPERATIONS[operation].target
    if _fits(kind, target):
        return []
    wanted = {
        "path": "staged/NAME, outside/NAME or an absolute path",
        "fixture": "staged/NAME or outside/NAME (a probe writes to nothing of the host)",
        "program": "the absolute path of a program",
        "loopback": "127.0.0.1:0",
        "process": "victim",
        "variable": "the name of an environment variable",
    }[kind]
    return [f"target {target!r} of {operation} is not {wanted}"]


def _fits(kind: str, target: str) -> bool:
    if kind == "path" and target.startswith("/"):
        return True
    if kind in ("path", "fixture"):
        root, *names = target.split("/")
        return root in FIXTURE_ROOTS and not {"", ".", ".."} & set(names) and (bool(names) or kind == "path")
    if kind == "program":
        return target.startswith("/")
    if kind == "variable":
        return target.isidentifier() and target.isascii()
    return target == {"loopback": "127.0.0.1:0", "process": "victim"}[kind]
