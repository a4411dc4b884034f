"""The channel `clean`, from inside: a process confines itself before it begins with an action.

Knows nothing of actions or channels' names. It leaves the process what a Confinement names and takes the rest, for
good and for all that it starts: other files, every socket but a connected pair, System V memory and queues, key
rings, signals to processes outside, capabilities, core dumps, and every descriptor beyond those that are named.
Standard library only, and little of it.

Shapes:  Confinement as JSON text: {"staged": directory, "reads": [path], "leaves": [restriction]}.
Errors:  PolicyUnavailable, with the report, when this host can't hold one of them: then nothing may be begun.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from flowbuild.engine import restrict
from flowbuild.engine.restrict import COVERS as POLICY_COVERS
from flowbuild.engine.restrict import Step

# What the channel takes, and the operations that each of them covers; all but the first two as a profile's.
COVERS: Mapping[str, tuple[str, ...]] = {
    "files:declared": POLICY_COVERS["files:staged"],
    "network:none": POLICY_COVERS["network:deny"],
    "signals:deny": POLICY_COVERS["signals:deny"],
}


class Confinement(NamedTuple):
    """What a process keeps: a directory to do everything in, paths to read and run, restrictions that it is spared."""

    staged: str
    reads: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def parse(cls, text: str) -> Confinement:
        doc = json.loads(text)
        return cls(doc["staged"], tuple(doc["reads"]), tuple(doc["leaves"]))


def enter(confinement: Confinement, keeps: int = 2) -> list[Step]:
    """Confine the calling process, which has one thread. Descriptors up to `keeps` stay open."""
    os.closerange(keeps + 1, min(os.sysconf("SC_OPEN_MAX"), 65536))
    wanted = [name for name in COVERS if name not in confinement.leaves]
    own = ("/proc/self",) if os.path.exists("/proc/self") else ()
    return restrict.enforce(wanted, confinement.staged, (*confinement.reads, *own))


def unavailable(error: restrict.PolicyUnavailable) -> str:
    """What could not be held, and what the host said: one line for people."""
    lacking = [row for row in error.report if row.status == restrict.UNAVAILABLE]
    said = ", ".join(f"{row.operation} ({row.mechanism}: {row.errno_name})" for row in lacking)
    return f"channel clean can't be held on this host: {said}"
