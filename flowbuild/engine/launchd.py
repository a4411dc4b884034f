"""Children that launchd starts, not we: the channel `launchd_clean` of macOS.

Knows nothing of actions. Each start becomes that of a carrier, which has launchd start the program and stands for it:
so who holds a child here holds it as any other. A program that launchd starts inherits nothing of this process or its
terminal: no variable, descriptor, limit, session, or right that was given to us and not to the user.

Shapes:  a child whose program was not begun has said why, in `refused`, when it is finished.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from flowbuild.engine import probe
from flowbuild.engine.launchd_carrier import REFUSALS, Home
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.spawn import Child, Start

PREFIX = "flowbuild"


class Jobs(NamedTuple):
    """What names of jobs begin with, and where each has a directory: out of the sight of what it runs."""

    prefix: str | None = None
    place: Path | None = None


class ByLaunchd(Reaper):
    """A reaper whose children are carriers."""

    def __init__(self, jobs: Jobs | None = None) -> None:
        super().__init__()
        jobs = jobs or Jobs()
        launchctl = shutil.which("launchctl") or "/bin/launchctl"
        self._home = Home(launchctl, jobs.prefix or PREFIX, os.path.abspath(jobs.place or tempfile.gettempdir()))
        self._refusals, self._writing = os.pipe()
        os.set_blocking(self._refusals, False)
        self._said: dict[int, str] = {}

    def start(self, start: Start) -> Child:
        """Have launchd start a program."""
        descriptors = sorted({1, 2, *start.descriptors})
        task = {
            "program": start.program,
            "cwd": str(start.cwd),
            "stdin": str(start.stdin),
            "names": sorted(start.environment),
            "descriptors": descriptors,
            "umask": _umask(),
        }
        argv = (*probe.command("launchd_carrier"), json.dumps(self._home), json.dumps(task), *start.argv)
        carried = {**start.descriptors, REFUSALS: self._writing}
        return super().start(replace(start, program=sys.executable, argv=argv, descriptors=carried))

    def finish(self, child: Child) -> int:
        """End what is left of a child; whether launchd refused it is known then."""
        status = super().finish(child)
        with suppress(BlockingIOError):
            for line in os.read(self._refusals, 1 << 16).splitlines():
                said = json.loads(line)
                self._said[said["pid"]] = said["message"]
        child.refused = self._said.pop(child.pid, None)
        return status

    def close(self) -> None:
        super().close()
        for descriptor in (self._refusals, self._writing):
            with suppress(OSError):
                os.close(descriptor)
        self._refusals = self._writing = -1


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
