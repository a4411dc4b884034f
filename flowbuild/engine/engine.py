"""The engine seam: what does this action come to?

Knows nothing of graphs, runs or policies, and holds none of them. An engine answers with a generator that yields
events and waits, and returns an outcome. Not pulling is being paused; `close()` comes only between yields, ends
what the action started, and returns within five seconds; where a protocol gives all of them to the other side, as REP
does after Cancel, within six.

Shapes:  `perform(action, io)` yields `Event` or `Wait`; the pump sends back the ready descriptors after a `Wait`.
Errors:  a failing action is an Outcome with an error, never an exception; EngineError means the engine broke.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from flowbuild.core.action import Action, Outcome, Staged
from flowbuild.core.canonical import Digest, digest
from flowbuild.core.event import Event
from flowbuild.core.mask import Mask


class Wait(NamedTuple):
    """Nothing to do until a descriptor is readable or the deadline (monotonic seconds) has passed.

    `for_others`: or until another performance has ended, which may be what this one waits for.
    """

    descriptors: tuple[int, ...]
    deadline: float | None = None
    for_others: bool = False


# What is sent back into the generator: the descriptors that are ready; empty when the deadline passed.
Ready = tuple[int, ...] | None

Performance = Generator[Event | Wait, Ready, Outcome]
# What a question comes to; what it yields is in the journal before its answer is given.
Answering = Generator[Event | Wait, Ready, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine says it can perform. Its digest is part of every action key."""

    name: str
    version: str
    step_kinds: tuple[str, ...]
    concurrency: int | None = None

    def doc(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "step_kinds": sorted(self.step_kinds),
            "limits": {"concurrency": self.concurrency},
        }

    @property
    def digest(self) -> Digest:
        return digest(self.doc())


class Io(Protocol):
    """The only door outside for an engine. Paths of actions are relative to the workspace root."""

    def scratch(self, action: Action, directories: Iterable[str] = ()) -> Path:
        """A fresh directory of the action's own, with these empty ones in it, parents first. The run removes it
        unless the action failed."""

    def vacate(self, action: Action) -> None:
        """Nobody uses the action's directory any more, nor ever will: what is left of it may serve the next."""

    def stage(self, staged: tuple[Staged, ...], root: Path) -> None:
        """Put copies of the inputs below `root`, at their own paths."""

    def collect(self, path: Path) -> Mapping[str, Any] | None:
        """Take a file or directory into the store; its artifact document, or None when it is not there."""

    def keep(self, data: bytes) -> Mapping[str, Any]:
        """Take bytes into the store, as a file of its own; its artifact document."""

    def log(self, action: Action, stream: str) -> Path:
        """Where the captured output of an action is kept for people."""

    def environment(self, action: Action) -> Mapping[str, str]:
        """The variables an action sees: the declared ones and the fixed few."""

    @property
    def mask(self) -> Mask:
        """The secrets that an action must not be heard saying."""

    def ask(self, action: Action, question: Mapping[str, Any]) -> Answering:
        """Answer what a handler asks of the outside, and record it: see `run.door`."""

    @property
    def workspace(self) -> Path:
        """The workspace's root, for actions that run in place."""

    @property
    def search_path(self) -> tuple[str, ...]:
        """Where programs are looked up."""


class Engine(Protocol):
    """One implementer of one question."""

    @property
    def capabilities(self) -> Capabilities: ...

    def perform(self, action: Action, io: Io) -> Performance: ...

    def interrupt(self) -> None:
        """Ask all that is under way to end, so that closing each performance waits for no grace of its own."""

    def close(self) -> None:
        """End everything that the engine keeps between actions, such as workers."""
