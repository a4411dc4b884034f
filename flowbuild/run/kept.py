"""Kept graphs: of a request whose texts are what they were, the graph that was lowered then.

Knows nothing of what lowering reads, or of what states mean. A graph is kept under its request, the bytes of
flowbuild's own code and the version of Python, and believed while all that it was made of still stands (`looks.py`).
One that holds something else than plain values and the classes below, such as a fan-out, is not kept.

A graph lies under the targets that it is of, so that whoever goes on with a run finds that of the patterns which began
it. Patterns lead to the very graph that was made for them: one of the same targets, asked for by name, looked at less.

Shapes:  each file is a line of version and checksum, then values in marshal's form. .flowbuild/graphs/<XXH3 of the
         targets>: the looks, and a pickle of labels and graph. <XXH3 of the request>: the targets, and the first line
         of their graph. What does not fit is no graph: it is derived.
Errors:  none.
"""

from __future__ import annotations

import io
import marshal
import pickle
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from flowbuild.core.label import Label
from flowbuild.core.retry import Retry
from flowbuild.graph import state, step
from flowbuild.graph.evidence import Cell
from flowbuild.graph.state import StateGraph
from flowbuild.load.source import no_collection
from flowbuild.load.workspace import builtin_rules
from flowbuild.run.looks import Looks
from flowbuild.store.files import atomic_write, ensure_directory
from flowbuild.version import __version__

KEPT = 8
"""How many files a workspace keeps: four graphs, about as many as somebody goes back and forth between."""

_STATE = (state.Source, state.Product, state.Held, state.Input, state.Code, state.State, state.Golden, state.Fold)
_KNOWN = frozenset(
    (*_STATE, state.Built, state.SnapshotPolicy, StateGraph, step.Way, step.On, step.Step, Cell, Label, Retry, str)
)
_BY_NAME = {(one.__module__, one.__name__): one for one in _KNOWN}


class Lowered(NamedTuple):
    """The targets that a request asks for, and their graph."""

    labels: list[Label]
    graph: StateGraph


class KeptGraphs:
    """The graphs of one workspace. What is put is on the disk after `save`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unsaved: dict[Path, bytes] = {}

    def get(self, looks: Looks, labels: str | None, request: str) -> Lowered | None:
        """The graph of a request, if there is one that still stands. `labels` are the targets that it asks for, where
        it names each."""
        with suppress(OSError, ValueError, EOFError, TypeError, LookupError, AttributeError, pickle.UnpicklingError):
            made = None
            if labels is None:
                labels, made = self._read(request)[1]
            head, (doc, data) = self._read(labels)
            if head == (made or head) and looks.take(doc):
                with no_collection():
                    return Lowered(*_Unpickler(io.BytesIO(data)).load())
        return None

    def put(self, looks: Looks, labels: str, request: str, lowered: Lowered) -> None:
        """Keep a graph, unless something that it was made of moved meanwhile, or it can't be written down."""
        doc = looks.doc(_sources(lowered.graph), _modules(lowered.graph))
        if not looks.stand(doc):
            return
        into = io.BytesIO()
        try:
            with no_collection():
                _Pickler(into, pickle.HIGHEST_PROTOCOL).dump(tuple(lowered))
        except (pickle.PicklingError, TypeError, AttributeError, RecursionError):
            return
        made = _sealed((doc, into.getvalue()))
        self._unsaved[self._place(request)] = _sealed((labels, made.partition(b"\n")[0]))
        self._unsaved[self._place(labels)] = made

    def save(self) -> None:
        """Write what was put."""
        while self._unsaved:
            place, data = self._unsaved.popitem()
            ensure_directory(self._directory)
            atomic_write(place, data)
            for old in self._all()[KEPT:]:
                old.unlink(missing_ok=True)

    def clear(self) -> None:
        """Forget every graph."""
        self._unsaved.clear()
        for one in self._all():
            one.unlink(missing_ok=True)

    def _read(self, name: str) -> tuple[bytes, Any]:
        """The first line of a file, and what follows. One that is not what was written is a ValueError."""
        head, _, body = self._place(name).read_bytes().partition(b"\n")
        if head != _head(body):
            raise ValueError(name)
        return head, marshal.loads(body)

    def _place(self, name: str) -> Path:
        return self._directory / xxhash.xxh3_128_hexdigest(name.encode("utf-8", "surrogatepass"))

    def _all(self) -> list[Path]:
        """The newest first."""
        if not self._directory.is_dir():
            return []
        return sorted(self._directory.iterdir(), key=lambda one: -one.stat().st_mtime_ns)


class _Pickler(pickle.Pickler):
    """Takes the classes of a graph only, so that nothing is written that would not be read."""

    def reducer_override(self, obj: Any) -> Any:
        if (obj if isinstance(obj, type) else type(obj)) in _KNOWN:
            return NotImplemented
        if isinstance(obj, str) and not isinstance(obj, Enum):  # a path of an expression, and only its text counts now
            return str, (str(obj),)
        raise pickle.PicklingError(f"{type(obj)} is no part of a graph")


class _Unpickler(pickle.Unpickler):
    """Makes the classes of a graph only: no bytes of a file make flowbuild import and call just anything."""

    def find_class(self, module: str, name: str) -> Any:
        return _BY_NAME[module, name]


def _sources(graph: StateGraph) -> Iterator[str]:
    """The files of the workspace that a graph names: lowering asked of each whether it is there."""
    for inputs in (*(one.inputs for one in graph.states), *(one.outputs for one in graph.targets.values())):
        for one in inputs.values():
            yield from (item.path for item in one.items if type(item) is state.Source)


def _modules(graph: StateGraph) -> Iterator[str]:
    """The installed modules whose handlers it calls."""
    return (one.code.module for one in graph.states if one.code is not None and one.code.module is not None)


def _sealed(values: Any) -> bytes:
    body = marshal.dumps(values)
    return _head(body) + b"\n" + body


def _head(body: bytes) -> bytes:
    return f"flowbuild graph 2 {_maker()} {xxhash.xxh3_64_hexdigest(body)}".encode()


@cache
def _maker() -> str:
    """What makes graphs: flowbuild's version, its code and rules as they are now, and Python."""
    found = xxhash.xxh3_128()
    package = Path(__file__).parent.parent
    for directory in (package / "core", package / "load", package / "graph", builtin_rules()):
        for file in sorted(directory.iterdir()):
            if file.is_file():
                data = file.read_bytes()
                found.update(f"{file.name} {len(data)} ".encode() + data)
    return f"{__version__} {sys.implementation.cache_tag} {sys.hexversion:x} {found.hexdigest()}"
