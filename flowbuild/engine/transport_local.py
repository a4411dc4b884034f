"""Transports that ask this machine: `file`, `env`, `clock`, `random`.

Knows nothing of facts. Files are read, never written, and bounded.

Shapes:  file: {"path", "max_bytes"?} gives {"text"} or {"base64"}, and "size"; env: {"name"} gives {"value"}, null when
         it is not set; clock: {} gives {"millis"}; random: {"size"} gives {"base64"}.
Errors:  io_request_invalid; file_missing, file_not_regular, file_too_large, file_refused; secrets_detected for a
         variable whose name says that it holds one.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any

from flowbuild.core.secrets import looks_secret
from flowbuild.engine.transport import Refused, Replying, Transport, Whole, fields, plain

MOST_FILE = 16 << 20
MOST_RANDOM = 1 << 20
INVALID = "io_request_invalid"


def read_file(request: Any) -> Replying:
    """One regular file of the machine, by its absolute path."""
    yield from ()
    asked = fields(request, INVALID, "read_file_v1", {"path": (str,), "max_bytes": Whole(1, MOST_FILE)}, "path")
    path, most = asked["path"], asked.get("max_bytes", MOST_FILE)
    plain(INVALID, [path])
    if not os.path.isabs(path):
        raise Refused(INVALID, f"{path!r} is no absolute path; a file of the workspace is an input")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Refused("file_missing", f"there is no file {path}", "OffChain") from None
    except OSError as error:
        raise Refused("file_refused", f"{path} can't be read: {error.strerror}", "OffChain") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("file_not_regular", f"{path} is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Refused("file_refused", f"{path} can't be read: {error.strerror}", "OffChain") from None
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise Refused("file_too_large", f"{path} has more than {most} bytes")
    try:
        return {"text": data.decode("utf-8"), "size": len(data)}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode(), "size": len(data)}


def variables(environment: Mapping[str, str]) -> Transport:
    """The transport that reads these variables."""

    def read_variable(request: Any) -> Replying:
        yield from ()
        name = fields(request, INVALID, "read_variable_v1", {"name": (str,)}, "name")["name"]
        plain(INVALID, [name])
        if looks_secret(name):
            raise Refused("secrets_detected", "the name of a variable is that of a secret, and a fact is none")
        return {"value": environment.get(name)}

    return read_variable


def clock(now_millis: Callable[[], int]) -> Transport:
    """The transport that tells the time."""

    def read_clock(request: Any) -> Replying:
        yield from ()
        fields(request, INVALID, "read_clock_v1", {})
        return {"millis": now_millis()}

    return read_clock


def draw(request: Any) -> Replying:
    """Random bytes."""
    yield from ()
    size = fields(request, INVALID, "draw_v1", {"size": Whole(0, MOST_RANDOM)}, "size")["size"]
    return {"base64": base64.b64encode(os.urandom(size)).decode()}
