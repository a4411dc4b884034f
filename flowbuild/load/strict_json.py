"""Strict JSON: the bytes of a file to a value that knows where each of its parts stands.

Knows nothing of what a document means. Programs write these files and people edit them, so a fault shows its line.

Shapes:  Document, a value with its places. Integers stay below 2^53, since no other has one canonical form.
Errors:  BadJson, or Faults of several: bad UTF-8, syntax, a key that stands twice, NaN and infinities, integers too
         large, a lone half of a surrogate pair, too much depth or size. FileNotFoundError is the caller's.
Source:  RFC 8259; decision 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from flowbuild.core.canonical import MAX_INTEGER
from flowbuild.core.errors import BadJson, FlowError, Location, UserError, raise_all
from flowbuild.load.document import read_bytes
from flowbuild.load.position import Pointer
from flowbuild.load.source import MAX_BYTES, MAX_DEPTH

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[^\[\]{}]+')  # what is none
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # a half of a surrogate pair, or the first of two
_Tokens = Iterator[re.Match[str]]
Places = dict[Pointer, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Document:
    """What a JSON file says. `shown` is how messages name the file; `file` is None for what no file holds."""

    value: Any
    shown: str
    file: Path | None = None
    text: str = ""
    _places: list[Places] = field(default_factory=list, repr=False, compare=False)

    @property
    def places(self) -> Places:
        """Where each value stands, and its key. Found when somebody asks: reading is slow with places."""
        if not self._places:
            self._places.append(_Reading(self.text, self.shown).read().places if self.text else {})
        return self._places[0]

    def place(self, pointer: Pointer, *, key: bool = False) -> Location:
        """Where a value stands, or its key; the nearest value above when there is none."""
        at, places = pointer, self.places
        while at and at not in places:
            at = at[:-1]
        if at not in places:
            return Location(self.shown)
        value, name = places[at]
        return _location(self.text, name if key or at != pointer else value, self.shown)

    def fault(
        self, kind: type[UserError], pointer: Pointer, message: str, remedy: str = "", *, key: bool = False
    ) -> FlowError:
        """An error about one value, with its place."""
        return kind(message, remedy=remedy, location=self.place(pointer, key=key))


def read_json(file: Path, shown: str) -> Document:
    """The document in a file."""
    return parse_json(read_bytes(file, shown), shown, file)


def parse_json(data: bytes, shown: str, file: Path | None = None) -> Document:
    """The document in some bytes."""
    text = _decode(data, shown)
    hasty = _Hasty()
    try:
        value = hasty.loads(text)
    except json.JSONDecodeError as error:
        raise BadJson(f"this is not JSON: {error.msg}", location=_location(text, error.pos, shown)) from None
    except RecursionError:
        raise BadJson(f"values are nested deeper than {MAX_DEPTH}", location=Location(shown)) from None
    except ValueError:  # Python itself refuses to read a number of thousands of digits
        raise BadJson("a number has too many digits", location=Location(shown)) from None
    if hasty.is_suspicious or _HALF.search(text) or _depth(text) > MAX_DEPTH:
        raise_all(_Reading(text, shown).read().faults)
    return Document(value, shown, file, text)


class _Hasty:
    """The fast reader, which notes only that something may be wrong: the slow one then says what, and where."""

    def __init__(self) -> None:
        self.is_suspicious = False

    def loads(self, text: str) -> Any:
        return json.loads(text, object_pairs_hook=self._object, parse_int=self._integer, parse_constant=self._constant)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        self.is_suspicious |= len(made) != len(pairs)
        return made

    def _integer(self, word: str) -> int:
        number = int(word)
        self.is_suspicious |= abs(number) > MAX_INTEGER
        return number

    def _constant(self, word: str) -> float:
        self.is_suspicious = True
        return float(word)


def _depth(text: str) -> int:
    """How deep values are nested."""
    return max(accumulate(1 if mark in "[{" else -1 for mark in _MARKS.sub("", text)), default=0)


def _decode(data: bytes, shown: str) -> str:
    if len(data) > MAX_BYTES:
        raise BadJson(f"the file has more than {MAX_BYTES:,} bytes", location=Location(shown))
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise BadJson(message, remedy="save the file as UTF-8", location=Location(shown, line)) from None


def _location(text: str, offset: int, shown: str) -> Location:
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", offset)
    line = text[start : end if end >= 0 else len(text)].rstrip("\r")
    return Location(shown, text.count("\n", 0, start) + 1, offset - start + 1, line)


class _Reading:
    """The places of a text that is JSON already, and what strict reading finds beyond the syntax."""

    def __init__(self, text: str, shown: str) -> None:
        self.places: Places = {}
        self.faults: list[FlowError] = []
        self._text = text
        self._shown = shown
        self._tokens: _Tokens = _TOKEN.finditer(text)

    def read(self) -> _Reading:
        """Go through the whole text."""
        self.value(self.next(), (), 0)
        return self

    def next(self) -> re.Match[str]:
        return next(self._tokens)

    def value(self, token: re.Match[str], pointer: Pointer, key: int) -> None:
        """Note where a value stands, and go through what it holds."""
        word = token.group()
        self.places[pointer] = (token.start(), key)
        if len(pointer) >= MAX_DEPTH:
            self._fault(token.start(), f"values are nested deeper than {MAX_DEPTH}")
            raise_all(self.faults)
        if word == "{":
            self._object(pointer)
        elif word == "[":
            self._array(pointer)
        elif word[0] == '"':
            self._check_text(json.loads(word), token.start())
        elif word in ("NaN", "Infinity", "-Infinity"):
            self._fault(token.start(), f"{word} is no JSON", "write a number, or null")
        elif word.lstrip("-").isdigit() and abs(int(word)) > MAX_INTEGER:
            self._fault(token.start(), f"{word:.40} is beyond 2^53 - 1", "write it as a text")

    def _object(self, pointer: Pointer) -> None:
        token = self.next()
        while token.group() != "}":
            token = self.next() if token.group() == "," else token
            name, key = json.loads(token.group()), token.start()
            self._check_text(name, key)
            self.next()  # the colon
            here = (*pointer, name)
            if here in self.places:
                first = _location(self._text, self.places[here][1], self._shown).line
                self._fault(key, f"the key {name!r} is given twice, first on line {first}", "remove one of the two")
            self.value(self.next(), here, key)
            token = self.next()

    def _array(self, pointer: Pointer) -> None:
        token, index = self.next(), 0
        while token.group() != "]":
            token = self.next() if token.group() == "," else token
            self.value(token, (*pointer, index), token.start())
            token, index = self.next(), index + 1

    def _check_text(self, text: str, offset: int) -> None:
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._fault(offset, "half of a surrogate pair is no character", "write the whole character")

    def _fault(self, offset: int, message: str, remedy: str = "") -> None:
        self.faults.append(BadJson(message, remedy=remedy, location=_location(self._text, offset, self._shown)))
