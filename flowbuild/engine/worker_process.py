"""A worker's process, and the pipes to it.

Knows nothing of tasks: it takes lines and gives what is said back. In the channel `clean` a launcher confines it first.

Shapes:  a task or an answer is one line: a JSON document, or the path of one. What is said is a question, {"ask"}, or a
         reply, {"ok", "retire", ...}; a handler may write anything else, and has lost its worker then.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flowbuild.engine as engine_package
from flowbuild.engine import clean
from flowbuild.engine.confine import Confinement
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child, Start

BOOT = "import sys; sys.path.append(sys.argv[1]); from flowbuild.engine.worker_main import serve; serve()"
# Confined, the directory that holds flowbuild can't be listed, only flowbuild itself.
CONFINED = (
    """
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("flowbuild", sys.argv[1] + "/flowbuild/__init__.py")
sys.modules["flowbuild"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["flowbuild"])
"""
    + BOOT
)
# -P: the current directory is not searched. utf8: what a handler reads does not depend on the locale.
FLAGS = ("-P", "-s", "-X", "utf8")
REPLY = 1 << 20  # bytes of a reply; the worker cuts its own far below


class Worker:
    """One worker process, and the pipes to it."""

    def __init__(self, reaper: Reaper, environment: Mapping[str, str], what: Confinement | None = None) -> None:
        asking, answering = os.pipe(), os.pipe()
        root = str(Path(engine_package.__path__[0]).parent.parent)
        argv = (sys.executable, *FLAGS, "-c", CONFINED if what else BOOT, root)
        start = Start(argv[0], argv, Path("/"), environment, descriptors={3: asking[0], 4: answering[1]})
        self._launch = clean.Launch(start, what, keeps=4) if what else None
        try:
            self.child: Child = reaper.start(self._launch.start if self._launch else start)
        except BaseException:
            if self._launch:
                self._launch.close()
            os.close(asking[1])
            os.close(answering[0])
            raise
        finally:
            os.close(asking[0])
            os.close(answering[1])
        self._requests, self.replies = asking[1], answering[0]
        os.set_blocking(self.replies, False)
        self._said = bytearray()

    def tell(self, said: Path | Mapping[str, Any] | str) -> None:
        """Hand over a task, or an answer: its path only, so that no pipe fills up; what is small, as it is."""
        line = said if isinstance(said, str) else json.dumps(str(said) if isinstance(said, Path) else said)
        with contextlib.suppress(BrokenPipeError):  # it is gone, as the pump finds out
            os.write(self._requests, line.encode() + b"\n")

    def answer(self) -> dict[str, Any] | None:
        """The reply or the question, when it is there."""
        with contextlib.suppress(BlockingIOError):
            while len(self._said) < REPLY and (data := os.read(self.replies, REPLY)):
                self._said += data
        if not self._said.endswith(b"\n"):
            return None
        said, self._said = bytes(self._said), bytearray()
        try:
            reply = json.loads(said)
        except ValueError:
            reply = None
        if not _is_said(reply):
            message = "the handler wrote into its worker's pipe"
            return {"ok": False, "retire": True, "code": "worker_lost", "message": message, "traceback": ""}
        return dict(reply)

    def refusal(self) -> str | None:
        """Why it could not begin, once it has ended; None if it did."""
        said = self._launch.refusal() if self._launch else None
        return self.child.refused or (str(said["message"]) if said else None)

    def close(self) -> None:
        """Close the pipes."""
        if self._launch:
            self._launch.close()
        os.close(self._requests)
        os.close(self.replies)


def _is_said(said: Any) -> bool:
    """Whether this is a question or a reply: a handler may write into the pipe what it likes."""
    if not isinstance(said, dict) or "ask" in said:
        return isinstance(said, dict)
    return {"ok", "retire"} <= said.keys() and (bool(said["ok"]) or {"code", "message", "traceback"} <= said.keys())
