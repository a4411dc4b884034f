"""The two pipes of a worker: tasks and answers come in, replies and questions go out. Standard library only.

Knows nothing of what is asked. A line that comes in is a JSON document or the path of one; one that goes out is one.
"""

from __future__ import annotations

import json
import os
from _thread import allocate_lock
from pathlib import Path
from typing import Any, TextIO

from flowbuild.engine.door import Ask

REQUESTS, REPLIES = 3, 4
ASKED = 512 * 1024  # bytes of a question


def asking(answers: TextIO) -> Ask:
    """What asks the process that started us: one question at a time, whatever threads the handler has."""
    lock = allocate_lock()

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps({"ask": question})
        if len(data) > ASKED:
            return failed("io_request_too_large", f"a question of {len(data)} bytes; the limit is {ASKED}")
        with lock:
            write(data)
            line = answers.readline()
            if not line:  # nobody is there any more
                os._exit(1)
            return read(line)

    return ask


def nobody(question: dict[str, Any]) -> dict[str, Any]:
    """The answer where a task is performed by hand."""
    if question["op"] == "heartbeat":
        return {}
    return failed("io_no_run", f"{question['op']}: there is no run to ask")


def failed(code: str, message: str) -> dict[str, Any]:
    """An answer that is an error."""
    info = {"code": code, "category": "ParsingInput", "retryable": False, "message": message, "details": None}
    return {"error": info}


def read(line: str) -> dict[str, Any]:
    """The document that a line names, or is: what may not be on the disk."""
    said = json.loads(line)
    doc: dict[str, Any] = said if isinstance(said, dict) else json.loads(Path(said).read_bytes())
    return doc


def write(doc: dict[str, Any] | str) -> None:
    """Say a document, or its text."""
    data = (doc if isinstance(doc, str) else json.dumps(doc)).encode() + b"\n"
    while data:
        data = data[os.write(REPLIES, data) :]
