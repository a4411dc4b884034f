"""Transports: what stands behind the door outside, by namespace.

Knows nothing of facts or of who asks. A call goes to the group that is its namespace, or its longest prefix at a dot.

Shapes:  a transport is a function from a JSON request to a generator of waits that returns a JSON reply.
Errors:  Refused: `io_unknown_namespace`, `io_request_invalid`, and what each transport says of itself.
Source:  seed 001, IO transports.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, NamedTuple

from flowbuild.core.action import Category, ErrorInfo
from flowbuild.core.errors import BadAttribute
from flowbuild.core.event import Event
from flowbuild.core.text import is_unicode
from flowbuild.engine.engine import Ready, Wait

Replying = Generator[Event | Wait, Ready, Any]
Transport = Callable[[Any], Replying]


class Refused(Exception):
    """An answer that is an error: why the outside was not asked, or did not reply."""

    def __init__(
        self,
        code: str,
        message: str,
        category: Category = "ParsingInput",
        *,
        retryable: bool = False,
        details: Any = None,
    ) -> None:
        super().__init__(message)
        self.info = ErrorInfo(code, message, category, retryable, details)


class Router:
    """The transports of a run, by the group of namespaces that each serves."""

    def __init__(self, groups: Iterable[tuple[str, Transport]]) -> None:
        self._groups: dict[str, Transport] = {}
        for group, transport in groups:
            if not group or group in self._groups:
                raise BadAttribute(f"the group of namespaces {group!r} is empty, or served twice")
            self._groups[group] = transport

    def call(self, namespace: str, request: Any) -> Replying:
        """The reply of the transport that serves a namespace."""
        group = namespace
        while group not in self._groups:
            group, dot, _ = group.rpartition(".")
            if not dot:
                known = ", ".join(sorted(self._groups))
                raise Refused("io_unknown_namespace", f"no transport serves {namespace!r}; there are {known}")
        return (yield from self._groups[group](request))


class Whole(NamedTuple):
    """A field that holds a whole number between two limits, both included."""

    least: int
    most: int


DAY_MS = 86_400_000
TIMEOUT = Whole(1, DAY_MS)
Kinds = Mapping[str, tuple[type, ...] | Whole]


def fields(request: Any, code: str, kind: str, known: Kinds, *needed: str) -> dict[str, Any]:
    """A request of one kind, its fields checked: unknown ones, missing ones, wrong types and sizes are refused."""
    if not isinstance(request, dict):
        raise Refused(code, "a request is a mapping")
    given = request.get("kind", kind)
    if given != kind:
        raise Refused(code, f"a request of kind {given!r}; this transport knows {kind}")
    for name, value in request.items():
        if name == "kind":
            continue
        if name not in known:
            raise Refused(code, f"a request has no {name!r}; it has {', '.join(sorted(known))}")
        _check(code, name, value, known[name])
    for name in needed:
        if request.get(name) is None:
            raise Refused(code, f"a request needs {name!r}")
    return request


def _check(code: str, name: str, value: Any, kind: tuple[type, ...] | Whole) -> None:
    if not isinstance(kind, Whole):
        if not isinstance(value, kind):
            raise Refused(code, f"{name!r} is of the wrong type")
    elif type(value) is not int or not kind.least <= value <= kind.most:
        raise Refused(code, f"{name!r} is a whole number from {kind.least} to {kind.most}")


def plain(code: str, texts: Iterable[Any]) -> None:
    """Refuse what no system call takes: anything but text, NUL in it, or half of a surrogate pair."""
    for text in texts:
        if not isinstance(text, str) or "\0" in text or not is_unicode(text):
            raise Refused(code, "words, names and values are texts without NUL")
