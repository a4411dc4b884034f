"""Masks: secret values that are known, found in whatever is about to be kept, and `***` in their place.

Knows nothing of where a value came from. It finds a value as it is, and as base64 (at any alignment), hexadecimal,
percent-encoding, JSON (in JSON too), HTML, a shell's or Python's quotes write it; a line break within makes no
difference. What was compressed, encrypted, reversed or cut in pieces is not found.

Shapes:  bytes in, bytes out. A `Stream` holds back what may be the beginning of a value until it knows.
Errors:  none; a value that is too short to be told from ordinary words is refused by whoever declares it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 8  # characters of a value; shorter ones would hide words that are none
STARS = b"***"
_BREAKS = b"\r\n"
_HELD = 1 << 16  # bytes held back at most beyond what a value may need: a flood of line breaks is none


class Mask:
    """The values of one run. More may be added at any time, and count from then on."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._forms: set[bytes] = set()
        self.longest = 0

    def add(self, value: str) -> None:
        """A value to hide, as a whole; each longer line of several too."""
        if value in self._values:  # it is told by each state that has it
            return
        self._values.add(value)
        for text in {value, value.strip(), *value.splitlines()}:
            if len(text) >= SHORTEST:
                self._forms |= {form for one in _forms(text) if (form := one.translate(None, _BREAKS))}
        self.longest = max(map(len, self._forms), default=0)

    def add_all(self, value: Any) -> None:
        """Every text in a JSON value."""
        if isinstance(value, str):
            self.add(value)
        elif isinstance(value, dict | list):
            for one in value.values() if isinstance(value, dict) else value:
                self.add_all(one)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def finds(self, data: bytes) -> bool:
        """Whether any value stands in these bytes, in any of its forms."""
        if not self._forms:
            return False
        flat = data.translate(None, _BREAKS)
        return any(form in flat for form in self._forms)

    def hide(self, data: bytes) -> bytes:
        """The bytes with every value replaced."""
        return self._shown(data, self._spans(data))

    def text(self, text: str) -> str:
        """A text with every value replaced."""
        return self.hide(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace") if self else text

    def cut(self, data: bytes, until: int) -> tuple[bytes, bytes]:
        """What may be shown of the bytes before `until`, and the rest: what reaches beyond is not parted."""
        spans = self._spans(data)
        until = next((start for start, end in spans if start < until <= end and len(data) - start < _HELD), until)
        until = next((end for start, end in spans if start < until < end), until)
        return self._shown(data[:until], [span for span in spans if span[0] < until]), data[until:]

    def _shown(self, data: bytes, spans: list[tuple[int, int]]) -> bytes:
        done, at = bytearray(), 0
        for start, end in spans:
            done += data[at:start] + STARS
            at = end
        return bytes(done + data[at:])

    def _spans(self, data: bytes) -> list[tuple[int, int]]:
        """Where values stand, in order; those that overlap or touch are one."""
        flat = data.translate(None, _BREAKS)
        found = sorted(span for form in self._forms for span in _places(flat, form))
        joined: list[tuple[int, int]] = []
        for start, end in found:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        if len(flat) == len(data) or not joined:
            return joined
        where = [index for index, byte in enumerate(data) if byte not in _BREAKS]
        return [(where[start], where[end - 1] + 1) for start, end in joined]


class Stream:
    """One stream of bytes under a mask, however it is cut into pieces."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may be shown now."""
        if not self._mask and not self._held:
            return data
        data = self._held + data
        shown, self._held = self._mask.cut(data, len(data) - _back(data, self._mask.longest - 1))
        return shown

    def rest(self) -> bytes:
        """What is held back, as it will be shown if nothing follows."""
        return self._mask.hide(self._held)

    def end(self) -> bytes:
        """What was held back, now that nothing follows."""
        rest, self._held = self.rest(), b""
        return rest


def _back(data: bytes, wanted: int) -> int:
    """How many bytes at the end hold this many that are no line breaks; all of them when there are not so many."""
    size = wanted
    while size < min(len(data), wanted + _HELD):
        missing = wanted - len(data[-size:].translate(None, _BREAKS)) if size else wanted
        if missing <= 0:
            break
        size += max(missing, size // 2)
    return min(size, len(data))


def _places(flat: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    at = flat.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = flat.find(form, at + 1)


def _forms(text: str) -> Iterator[bytes]:
    """A value as it may be written."""
    data = text.encode("utf-8", "surrogateescape")
    yield data
    yield from (data.hex().encode(), data.hex().upper().encode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data)
        for before in range(3):  # what stands before it decides where its bits fall
            first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6
            yield encode(b"\0" * before + data)[first:last]
    for escaped in (quote(data, safe=""), quote(data), quote_plus(data), quote(data, safe="!'()*;:@&=+$,/?#[]~")):
        yield escaped.encode()
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), escaped).encode()
    quoted = [*_json(text), repr(text)[1:-1]]
    written = [*quoted, ascii(text)[1:-1], repr(data)[2:-1], html.escape(text), html.escape(text, quote=False)]
    written += [quoted[0].replace("/", "\\/"), *(twice for once in quoted for twice in _json(once))]
    written += [shlex.quote(text), text.replace("'", "'\"'\"'"), text.replace("'", "'\\''")]
    yield from (one.encode("utf-8", "surrogateescape") for one in written)


def _json(text: str) -> list[str]:
    """A text as JSON writes it, in ASCII and as it is."""
    return [json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
