"""What a fact was asked for: the digest of a request, and the refusal of another one under the same key.

Knows nothing of replies or of who sends. What bounds the asking (`LIMITS`) is no part of a question. Neither are the
values of secrets, lines that look like one, and the directory that a run works in: another attempt has others. What
an earlier attempt of a state asked answers the first request of a later one, in whatever words.

Shapes:  `meta.request` of the event `fact_recorded` is the SHA-256 of the canonical JSON of
         {"namespace", "request"}, so reduced, of a child run what is `meant`. A fact without it may be asked for by
         any request.
Errors:  as answers: fact_request_conflict; io_request_invalid for what has no canonical JSON.
Source:  ADR 0019.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.action import Action
from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import BadAttribute
from flowbuild.core.mask import STARS, Mask
from flowbuild.core.secrets import hide_lines, looks_secret
from flowbuild.core.text import is_unicode
from flowbuild.engine.transport import Refused
from flowbuild.load.secret import excuses
from flowbuild.run.child_request import AWAIT, SPAWN, meant

LIMITS = frozenset({"max_bytes", "redirects", "timeout_ms"})
_NAMES = frozenset({"credential"})  # what it says is a name, also where that looks like a secret's
_PLACE = b"[run]"


class Asked(NamedTuple):
    """What a key was asked for, and by whom; `attempt` is -1 where that was in an earlier process."""

    request: Digest
    label: str
    state_id: str
    attempt: int = -1


class Requests:
    """The requests behind the facts of one run, under way ones included. `directory` is where the run works."""

    def __init__(self, mask: Mask, directory: Path | None, known: Mapping[str, Asked] | None) -> None:
        self._mask = mask
        self._places = _written(directory) if directory else ()
        self._known = dict(known or {})
        self._again: dict[str, Asked] = {}  # what a later attempt asked first, under a key of its state
        self._attempts: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def begin(self, action: Action) -> None:
        """An attempt at an action begins: it may put what the one before it asked into other words."""
        self._attempts[action.own_id] = self._attempts.get(action.own_id, -1) + 1

    def check(self, action: Action, key: str, namespace: str, request: Any) -> Asked:
        """What is asked; refused where the key stands for something else, unless an earlier attempt asked that. A child
        run is the one that is meant in each attempt."""
        counting = _reduced(meant(action, namespace, request), excuses(action.doc))
        data = _canonical({"namespace": namespace, "request": counting})
        for place in self._places:
            data = data.replace(place, _PLACE)
        attempt = self._attempts.get(action.own_id, 0)
        asked = Asked(sha256(self._mask.hide(data)), action.label, action.state_id, attempt)
        known, is_exact = self._known.get(key), namespace in (SPAWN, AWAIT)
        if known is not None and known.state_id == action.state_id and known.attempt != attempt and not is_exact:
            known = self._again.get(key)
            if known is None or known.attempt != attempt:
                known = self._again[key] = asked
        # A value may have become known as a secret after it was asked with: the same request is served all the same.
        if known is not None and known.request not in (asked.request, sha256(data)):
            message = f"the fact {key!r} is the answer to another request, of {known.label}"
            raise Refused("fact_request_conflict", f"{message}; give each question a fact key of its own", "Storage")
        return asked

    def claim(self, key: str, asked: Asked) -> None:
        """Whoever asks something else under this key is refused from now on, while the answer is on its way too."""
        self._known.setdefault(key, asked)

    def release(self, key: str, asked: Asked) -> None:
        """There is no answer: the key is free again, unless another state has claimed it."""
        if self._known.get(key) is asked:
            del self._known[key]


def _reduced(request: Any, excused: bool) -> Any:
    """The parts of a request that make it the question that it is."""
    try:
        if not isinstance(request, dict):
            return request if excused else _shown(request)
        counting = {name: value for name, value in request.items() if name not in LIMITS}
        return (
            counting if excused else {**_shown(counting), **{name: counting[name] for name in _NAMES & counting.keys()}}
        )
    except RecursionError:
        raise Refused("io_request_invalid", "a request is nested too deeply") from None


def _shown(value: Any) -> Any:
    """A JSON value without what looks like a secret."""
    if isinstance(value, str):
        return hide_lines(value)
    if isinstance(value, dict):
        return {name: STARS.decode() if looks_secret(str(name)) else _shown(one) for name, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value


def _canonical(value: Any) -> bytes:
    try:
        return canonical(value)
    except BadAttribute as error:
        raise Refused("io_request_invalid", error.message) from None


def _written(directory: Path) -> Iterable[bytes]:
    """How the path of a directory stands in JSON, links followed or not; the longer one first."""
    paths = {os.path.abspath(directory), os.path.realpath(directory)}
    # No request can hold a path that isn't UTF-8.
    return [canonical(path)[1:-1] for path in sorted(paths, key=len, reverse=True) if is_unicode(path)]
