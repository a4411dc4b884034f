"""Strict YAML: the bytes of a file to a JSON value, or every fault of the file with its place.

Knows nothing of what a document means. A document is what JSON can say, with YAML's block form and comments. Places
cost nothing on the good road: `position` reads the file a second time when somebody asks where a value stands.

Shapes:  dict, list, str, int, float, bool, None. Aliases are allowed; the values that they share must not be changed.
Errors:  BadYaml, or Faults of several: bad UTF-8, control characters, syntax, duplicate or non-string keys, merge
         keys, tags, directives, several documents, unknown or circular aliases, and the limits below.
Source:  YAML 1.1 as libyaml parses it, with the meaning of scalars from `scalar`.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flowbuild.core.errors import BadYaml, FlowError, Location, raise_all
from flowbuild.load.scalar import resolve

JSON = Any  # what JSON can say; a recursive alias would cost a check at each step down

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 100
MAX_ALIASED = 100_000  # values that aliases may add

# What libyaml refuses anyway, and what breaks lines for some programs and not for others.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLON_FIRST = "inside [ ] and { } YAML refuses a bare leading ':'; quote it"
_OPEN: Any = object()  # the value of an anchor whose container is still open


def parse(data: bytes, path: str) -> JSON:
    """The JSON value that a YAML file says; an empty file says null."""
    text = decode(data, path)
    with no_collection():
        composer = _Composer(text, path)
        composer.compose()
    raise_all(composer.faults)
    return composer.root[0] if composer.root else None


def decode(data: bytes, path: str) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, and no control characters."""
    if len(data) > MAX_BYTES:
        raise BadYaml(
            f"the file has more than {MAX_BYTES:,} bytes, which is all that is read of one",
            remedy="split it into several",
            location=Location(path),
        )
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8").removeprefix("\ufeff")
        where = _place(good, len(good), path)
        raise BadYaml(
            f"byte 0x{data[error.start]:02x} is not UTF-8", remedy="save the file as UTF-8", location=where
        ) from None
    found = _FORBIDDEN.search(text)
    if found:
        code = ord(found.group())
        raise BadYaml(
            f"the character U+{code:04X} can't stand in YAML",
            remedy=f'write it as "\\u{code:04x}" in double quotes, or remove it',
            location=_place(text, found.start(), path),
        )
    return text


def parser(text: str) -> Any:
    """A stream of YAML events: libyaml's, or the slow one of an installation without it."""
    import yaml

    return getattr(yaml, "CBaseLoader", yaml.BaseLoader)(text)


@contextmanager
def no_collection() -> Iterator[None]:
    """The garbage collector rests meanwhile."""
    # Nothing here makes cycles, and the collector would walk every new container: half of the time.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _place(text: str, index: int, path: str) -> Location:
    lines = re.split("\r\n|\r|\n", text[:index])
    rest = re.split("[\r\n]", text[index : index + 500], maxsplit=1)[0]
    return Location(path, len(lines), len(lines[-1]) + 1, lines[-1] + rest)


class _Composer:
    """Events to values. One method an event; containers that are open stand on a stack."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.lines: Lines | None = None
        self.faults: list[FlowError] = []
        self.root: list[JSON] = []
        self.stack: list[tuple[JSON, Any, str | None, int]] = []  # container, key marks, anchor, values before
        self.into: Any = self.root
        self.marks: dict[str, Any] | None = None  # of an open mapping: where each key stands
        self.key: str | None = None  # of an open mapping: the key that waits for its value
        self.anchors: dict[str, tuple[JSON, int]] = {}
        self.values = 0
        self.aliased = 0
        self.documents = 0

    def compose(self) -> None:
        import yaml

        events = parser(self.text)
        steps: dict[Any, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start_mapping,
            yaml.SequenceStartEvent: self._start_sequence,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
            yaml.StreamStartEvent: _pass,
            yaml.DocumentEndEvent: _pass,
        }
        try:
            get = events.get_event
            event = get()
            while type(event) is not yaml.StreamEndEvent:
                steps[type(event)](event)
                event = get()
        except yaml.MarkedYAMLError as error:
            self.faults.append(_explain(error, Lines(self.text, self.path)))
        except _Enough:
            pass
        finally:
            events.dispose()

    def _scalar(self, event: Any) -> None:
        self.values += 1
        value: JSON = event.value
        if event.tag is not None:
            self._fault(event, f"the tag {_tag(event)} means nothing here", "leave it out; what is quoted is text")
        elif not event.style:
            try:
                value = resolve(value)
            except ValueError as error:
                self._fault(event, str(error))
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        # The common roads of `_add`, without the call: half of all events are these.
        if self.marks is None:
            self.into.append(value)
        elif self.key is not None:
            self.into[self.key] = value
            self.key = None
        else:
            self._set_key(value, event)

    def _start_mapping(self, event: Any) -> None:
        self._start(event, {}, {})

    def _start_sequence(self, event: Any) -> None:
        self._start(event, [], None)

    def _start(self, event: Any, container: JSON, marks: dict[str, Any] | None) -> None:
        if len(self.stack) >= MAX_DEPTH:
            self._fault(event, f"values are nested deeper than {MAX_DEPTH}")
            raise _Enough
        if event.tag is not None:
            self._fault(event, f"the tag {_tag(event)} means nothing here", "leave it out")
        if self.marks is not None and self.key is None:
            self._fault(event, "a key is a string, and here a list or a mapping stands as one")
            raise _Enough
        self._add(container, event)
        if event.anchor is not None:
            self.anchors[event.anchor] = (_OPEN, 0)
        self.stack.append((self.into, self.marks, event.anchor, self.values))
        self.values += 1
        self.into, self.marks = container, marks

    def _end(self, event: Any) -> None:
        done = self.into
        self.into, self.marks, anchor, before = self.stack.pop()
        if anchor is not None:
            self.anchors[anchor] = (done, self.values - before)

    def _alias(self, event: Any) -> None:
        value, size = self.anchors.get(event.anchor, (None, 0))
        if not size:
            known = value is _OPEN
            problem = f"*{event.anchor} stands inside its own value" if known else f"there is no &{event.anchor} before"
            self._fault(event, problem, "write the value out")
            value = None
        self.values += size
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            self._fault(event, f"aliases add more than {MAX_ALIASED:,} values")
            raise _Enough
        self._add(value, event)

    def _document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self._fault(event, "a second document begins here, and a file holds one", "remove the '---'")
            raise _Enough
        if event.version or event.tags:
            self._fault(event, "directives mean nothing here", "leave the '%' line out")

    def _add(self, value: JSON, event: Any) -> None:
        if self.marks is None:
            self.into.append(value)
        elif self.key is None:
            self._set_key(value, event)
        else:
            self.into[self.key] = value
            self.key = None

    def _set_key(self, key: JSON, event: Any) -> None:
        assert self.marks is not None
        mark = event.start_mark
        if type(key) is not str:
            shown = f"the key {event.value}" if getattr(event, "value", "") else "this key"
            self._fault(event, f"{shown} is not a string", "quote it")
            # Unlike any key of a file, so that nothing is reported twice.
            key = f"\0{mark.line}:{mark.column}"
        elif key == "<<" and not getattr(event, "style", ""):
            self._fault(event, "merge keys ('<<') are not read", "write the values out")
        elif key in self.marks:
            first = self.marks[key].line + 1
            self._fault(event, f"the key {key!r} is given twice, first on line {first}", "remove one of the two")
        self.marks.setdefault(key, mark)
        self.key = key

    def _fault(self, event: Any, message: str, remedy: str = "") -> None:
        self.lines = self.lines or Lines(self.text, self.path)
        self.faults.append(BadYaml(message, remedy=remedy, location=self.lines.at(event.start_mark)))


class _Enough(Exception):
    """Reading on would be of no use: what follows is too deep, too much, or another document."""


class Lines:
    """The lines of one file, for showing the one that holds a fault."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = re.split("\r\n|\r|\n", text)
        self._path = path

    def at(self, mark: Any) -> Location:
        """The place of a parser's mark."""
        line = self._lines[mark.line] if mark.line < len(self._lines) else ""
        return Location(self._path, mark.line + 1, mark.column + 1, line)


def _pass(event: Any) -> None: ...


def _tag(event: Any) -> str:
    return str(event.tag).replace("tag:yaml.org,2002:", "!!")


def _explain(error: Any, lines: Lines) -> BadYaml:
    """libyaml's complaint in words for the commonest slips, and its own words otherwise."""
    context, problem, remedy = error.context or "", error.problem or "this is not YAML", ""
    where = lines.at(error.problem_mark or error.context_mark)
    before, here = where.text[: where.column - 1], where.text[where.column - 1 :]
    if here.startswith(":") and "node" in context:
        problem, remedy = "a value begins with ':'", _COLON_FIRST
    elif before.endswith("$") and here.startswith("{{"):
        problem, remedy = "an expression stands bare", 'inside [ ] and { } put it in quotes: "${{ ... }}"'
    elif here.startswith("\t") or before.endswith("\t"):
        problem, remedy = "a tab can't indent YAML", "indent with spaces"
    elif here[:1] in tuple("@`%&*") and "token" in context:
        problem, remedy = f"a value can't begin with {here[0]!r}", "quote it"
    elif "mapping values are not allowed" in problem:
        problem, remedy = "a ':' can't stand here", "quote the value if the ':' is part of it, or mend the indentation"
    elif "unexpected end of stream" in problem and error.context_mark:
        problem, remedy = "a quote is opened here and never closed", "close it"
        where = lines.at(error.context_mark)
    elif context:
        problem = f"{problem.replace('did not find expected', 'expected')} ({context})"
    return BadYaml(problem, remedy=remedy, location=where)
