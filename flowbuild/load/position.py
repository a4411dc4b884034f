"""Where a value stands in a YAML file: asked only when something about it is wrong.

Knows nothing of what the value means. The file is read again and every key and value keeps its place; a value reached
through an alias stands where its anchor wrote it, the alias itself where it is.

Shapes:  a pointer is a tuple of keys and indices, `("targets", "sorted", "inputs")`.
Errors:  none: a pointer that leads nowhere gives the nearest place above it, a file that no longer parses the path.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.errors import FlowError, Location, SecretsDetected, UserError, raise_all
from flowbuild.load.source import Lines, decode, parser

Pointer = tuple[str | int, ...]


class _Place(NamedTuple):
    value: Any  # the parser's marks
    key: Any
    parts: dict[str | int, _Place]


class Finding(NamedTuple):
    """A fault of a document before its place is looked up. `key` points at the key, not at the value."""

    kind: type[UserError]
    pointer: Pointer
    message: str
    remedy: str = ""
    key: bool = False


class Positions:
    """The places of one file."""

    def __init__(self, data: bytes, path: str) -> None:
        self._path = path
        self._lines = Lines("", path)
        self._root: _Place | None = None
        try:
            text = decode(data, path)
            self._lines = Lines(text, path)
            self._root = _compose(text)
        except Exception:  # whatever it is, `parse` says it; here only the place is missing
            self._root = None

    def find(self, pointer: Pointer, *, key: bool = False) -> Location:
        """Where a value stands, or its key; the nearest value above when there is none."""
        place = self._root
        if place is None:
            return Location(self._path)
        reached = 0
        for part in pointer:
            deeper = place.parts.get(part)
            if deeper is None:
                break
            place, reached = deeper, reached + 1
        # A value that is missing has no place: its owner's key is where a person looks.
        wants_key = key or reached < len(pointer)
        return self._lines.at(place.key if wants_key and place.key else place.value)


def locate(data: bytes, path: str, pointer: Pointer, *, key: bool = False) -> Location:
    """Where a value of a YAML file stands, or with `key` where its key does."""
    return Positions(data, path).find(pointer, key=key)


def raise_found(findings: Iterable[Finding], file: Path, shown: str) -> None:
    """Raise the findings about one file together, each with its place, in the order of the text."""
    found = list(findings)
    if not found:
        return
    try:
        data = file.read_bytes()
    except OSError:  # gone since it was parsed: the faults are still worth their message
        data = b""
    positions = Positions(data, shown)
    faults = [_fault(one, positions.find(one.pointer, key=one.key)) for one in found]
    raise_all(sorted(faults, key=_order))


def _fault(one: Finding, where: Location) -> FlowError:
    """The fault at its place. The line of a secret is not shown."""
    if one.kind is SecretsDetected:
        where = replace(where, text="")
    return one.kind(one.message, remedy=one.remedy, location=where)


def _order(fault: FlowError) -> tuple[int, int]:
    return (fault.location.line, fault.location.column) if fault.location else (0, 0)


def _compose(text: str) -> _Place | None:
    import yaml

    events = parser(text)
    anchors: dict[str, _Place] = {}

    def place(event: Any, key: Any) -> _Place:
        if isinstance(event, yaml.AliasEvent):
            return _Place(event.start_mark, key, anchors[str(event.anchor)].parts)
        here = _Place(event.start_mark, key, {})
        if event.anchor:
            anchors[event.anchor] = here
        if isinstance(event, yaml.MappingStartEvent):
            while not isinstance(name := events.get_event(), yaml.MappingEndEvent):
                key_text = str(name.value) if isinstance(name, yaml.ScalarEvent) else ""
                here.parts.setdefault(key_text, place(events.get_event(), name.start_mark))
        elif isinstance(event, yaml.SequenceStartEvent):
            while not isinstance(item := events.get_event(), yaml.SequenceEndEvent):
                here.parts[len(here.parts)] = place(item, None)
        return here

    try:
        while not isinstance(event := events.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.NodeEvent):
                return place(event, None)
    finally:
        events.dispose()
    return None
