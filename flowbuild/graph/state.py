"""States and their graph: what would be performed, before anything is.

Knows nothing of digests, engines or runs. A graph is frozen: explain, query and lint stop here. States stand in an
order in which each comes after all that it needs.

Shapes:  paths are relative to the workspace root, POSIX, a directory ends in a slash. A state's number is its place.
Errors:  none; `lower` has refused what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from posixpath import basename, commonprefix, normpath, relpath, splitext
from typing import Any, NamedTuple

from flowbuild.core.ids import OpId, StateId
from flowbuild.core.label import Label
from flowbuild.core.retry import Retry
from flowbuild.graph.fan import Fan
from flowbuild.graph.step import Step

APPLY = "apply_side_effect"
"""What a state says that changes the world outside. It has this tag then."""
READ_ONLY_IO = "read_only_io"
"""What a state says that reads from there: what it comes to does not follow from its inputs."""
STANDARD_TAGS = ("config", "fetch_data", "compute", "execute", "report", APPLY, "impure")
"""Tags with a meaning that everybody shares."""


class SnapshotPolicy(StrEnum):
    """When a state leaves a snapshot of its own: seed 001."""

    NEVER = "never"
    ON_SUCCESS = "on_success"
    ALWAYS = "always"  # of what it had written when it failed too, for people


class Source(NamedTuple):
    """A file of the workspace."""

    path: str


class Product(NamedTuple):
    """A named output of the state with this number; `path` is where it stands for whoever reads it."""

    state: int
    output: str
    path: str


class Held(NamedTuple):
    """A file of which the bytes are in the store: one of a directory that some state left. `doc` is its artifact."""

    path: str
    doc: Mapping[str, Any]


Item = Source | Product | Held


def seen_from(package: str, path: str) -> str:
    """A path of the workspace as it is written in a package's directory."""
    path, inside = normpath(f"/{path}"), f"/{package}/" if package else "/"
    if path[1:2] == "/":
        return relpath(path, f"/{package}")
    if path.startswith(inside) and len(path) > len(inside):
        return path[len(inside) :]
    # As relpath does, which asks for the working directory and normalises both once more.
    mine, theirs = ([name for name in one.split("/") if name] for one in (package, path))
    shared = len(commonprefix([mine, theirs]))
    return "/".join([".."] * (len(mine) - shared) + theirs[shared:]) or "."


class File(str):
    """What an expression sees of an item: its path from the package's directory, and `name`, `path`, `index`."""

    __slots__ = ("index", "item", "name", "path")
    expression_names: tuple[str, ...] = ("name", "path", "index")
    item: Item
    name: str
    path: str
    index: int  # type: ignore[assignment]  # what a person calls it; nobody searches in a path

    def __new__(cls, item: Item, package: str, index: int = 0) -> File:
        shown = seen_from(package, item.path) + ("/" if item.path.endswith("/") else "")
        self = super().__new__(cls, shown)
        self.item, self.path, self.index = item, shown, index
        self.name = splitext(basename(item.path.rstrip("/")))[0]
        return self


class FileItem(File):
    """A file that is an item of a fan-out: it doesn't know its place among the others."""

    __slots__ = ()
    expression_names = ("name", "path")


class Input(NamedTuple):
    """What one input name stands for. `many` is whether its reader gets a list."""

    items: tuple[Item, ...]
    many: bool


@dataclass(frozen=True, slots=True)
class Code:
    """The Python code that a state performs, as found without importing it.

    `source` is a workspace file, or None when `module` names an installed one. `modules` maps import names to
    workspace files; `distributions` are the top-level names it imports from installed distributions.
    """

    source: str | None
    module: str | None
    function: str
    modules: Mapping[str, str] = field(default_factory=dict)
    distributions: tuple[str, ...] = ()
    doors: tuple[str, ...] = ()  # which of `io`, `context` and `emit` the function asks for
    inline: bool = False  # called in the build's own process

    @property
    def paths(self) -> Iterator[str]:
        """The workspace files that it is written in."""
        if self.source is not None:
            yield self.source
        yield from self.modules.values()

    def doc(self) -> dict[str, Any]:
        """What a worker is told of it."""
        return {
            "source": self.source,
            "module": self.module,
            "function": self.function,
            "modules": dict(self.modules),
            **({"doors": list(self.doors)} if self.doors else {}),
            **({"inline": True} if self.inline else {}),
        }


# States of several targets, the latest target last: of these, one that succeeded is enough.
Candidates = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class State:
    """One node: static, before any digest is known. `with_` is rendered; `env` maps None to what is passed through.

    `secrets` maps the names of variables to their versions; `allows` says what its target is excused from.
    """

    id: StateId
    label: Label
    kind: str
    package: str
    with_: Mapping[str, Any]
    inputs: Mapping[str, Input]
    declared: Mapping[str, str]  # output name -> path as the target says it
    outputs: Mapping[str, str]  # output name -> path from the workspace root
    env: Mapping[str, str | None] = field(default_factory=dict)
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    allows: tuple[str, ...] = ()
    stage: bool = True
    timeout_ms: int | None = None
    heartbeat_ms: int | None = None  # how long its handler may be silent
    observes_host: bool = False
    code: Code | None = None
    title: str = ""
    accepts_missing: bool = False  # with --continue always it runs even if what it reads could not be made
    applies: bool = False  # it changes the world outside
    asks: bool = False  # it says that it reads from there
    idempotency_key: str | None = None
    retry: Retry | None = None  # the run's own where it says nothing
    pool: str | None = None  # a scarce thing, of which there are only so many
    remembers: bool = False  # its result may be reused in other runs, although it did IO
    after: tuple[int, ...] = ()  # states that it waits for without reading their outputs
    either: tuple[Candidates, ...] = ()  # it comes after the latest that succeeded of each
    reads: tuple[str, ...] = ()  # context keys, sorted
    writes: tuple[str, ...] = ()
    snapshots: SnapshotPolicy = SnapshotPolicy.ON_SUCCESS
    initial: tuple[str, ...] = ()  # of those that it reads: what a run may begin with
    spawns: tuple[Label, ...] = ()  # targets that its handler may run
    step: Step | None = None  # of a flow
    tags: tuple[str, ...] = ()  # its target's, and those of its own
    fan: Fan | None = None  # it is performed once for each item, and `outputs` are the directories of what they make
    item: Mapping[str, Any] | None = None  # of a child: the item that it is performed for, see `run.items`

    @property
    def is_inline(self) -> bool:
        """Whether its handler is called in the build's own process."""
        return self.code is not None and self.code.inline

    @property
    def needs(self) -> Iterator[int]:
        """The numbers of the states that it waits for; with repeats."""
        yield from self.firm
        yield from (number for one in self.either for numbers in one for number in numbers)

    @property
    def firm(self) -> Iterator[int]:
        """The numbers of the states that it can't do without: whose outputs it reads, that it comes after, or which
        lead to it; with repeats."""
        yield from self.after
        yield from (item.state for one in self.inputs.values() for item in one.items if type(item) is Product)
        if self.step is not None:
            yield from self.step.needs

    @property
    def passes(self) -> Iterator[str]:
        """The variables of whoever builds that it gets."""
        yield from (name for name, text in self.env.items() if text is None)

    @property
    def sources(self) -> Iterator[str]:
        """The workspace files that it reads, code included."""
        for one in self.inputs.values():
            yield from (item.path for item in one.items if type(item) is Source)
        if self.code is not None:
            yield from self.code.paths


class Golden(NamedTuple):
    """What a golden compares: an output, and the workspace path that holds what is expected."""

    actual: Product
    expected: str


class Fold(NamedTuple):
    """What is made of a run's bundle once it is committed: no action, since it follows from the bundle alone."""

    kind: str
    run: Label
    outputs: Mapping[str, str]  # output name -> path from the workspace root
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Built:
    """What a target became: its states' numbers, and what other targets and people see of it.

    `members` are the targets that a group stands for, or the run behind a fold; `bundle` is what a run commits, or
    None.
    """

    label: Label
    op: OpId
    rule: str
    states: tuple[int, ...]
    outputs: Mapping[str, Input]
    members: tuple[Label, ...] = ()
    bundle: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    test: bool = False
    golden: Golden | None = None
    fold: Fold | None = None


@dataclass(frozen=True, slots=True)
class StateGraph:
    """Every state of a request, in an order that respects every edge."""

    states: tuple[State, ...]
    targets: Mapping[Label, Built]

    def closure(self, labels: Iterable[Label]) -> list[int]:
        """The numbers of all states that these targets need, their own included, ascending."""
        return self.behind(n for label in self.spread(labels) for n in self.roots(self.targets[label]))

    def behind(self, numbers: Iterable[int]) -> list[int]:
        """These states and all that they need, ascending."""
        todo = list(numbers)
        seen = bytearray(len(self.states))
        while todo:
            number = todo.pop()
            if not seen[number]:
                seen[number] = 1
                todo.extend(self.states[number].needs)
        return [n for n, wanted in enumerate(seen) if wanted]

    def spread(self, labels: Iterable[Label]) -> list[Label]:
        """The targets behind these labels, groups replaced by their members, in order, once each."""
        return [label for label in self._reached(labels) if not self.targets[label].members]

    def folds(self, labels: Iterable[Label]) -> list[Label]:
        """The targets behind these labels that are made of a committed bundle."""
        return [label for label in self._reached(labels) if self.targets[label].fold is not None]

    def _reached(self, labels: Iterable[Label]) -> list[Label]:
        """These targets and the members of groups among them, in order, once each."""
        found: dict[Label, None] = {}
        todo = list(reversed(list(labels)))
        while todo:
            label = todo.pop().target
            if label not in found:
                found[label] = None
                todo.extend(reversed(self.targets[label].members))
        return list(found)

    @staticmethod
    def roots(built: Built) -> Iterator[int]:
        """Its own states, and those behind outputs that it only passes on, as a filegroup does."""
        yield from built.states
        for one in built.outputs.values():
            yield from (item.state for item in one.items if type(item) is Product)
