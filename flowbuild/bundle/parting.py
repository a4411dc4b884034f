"""Where two runs part: the first state whose action or outcome is another, and what each run says of it.

Knows nothing of terminals. First is meant in the order of the journals, in which no state stands before what it needs.

Shapes:  Parting; `old` or `new` is None in a run that has no such state.
Errors:  StoreError where an object is asked for that is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import unified_diff
from typing import Any, NamedTuple

from flowbuild.bundle.difference import Difference, Side
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreError
from flowbuild.run.story import Story, Told
from flowbuild.run.why import Change, changes

SMALL = 64 * 1024  # bytes of an output that is shown line by line
MOST_LINES = 20


class Witness(NamedTuple):
    """What one run says of a state. `event` is the one of its journal that says what the state came to."""

    how: str
    event: tuple[int, str] | None
    facts: Mapping[str, Digest]
    outputs: Mapping[str, str]
    error: Mapping[str, Any] | None


class Parting(NamedTuple):
    """The first state that is not the same. `before` states came to the same; `changes` are those of its action."""

    state_id: str
    label: str
    before: int
    is_same_action: bool
    changes: tuple[Change, ...]
    old: Witness | None
    new: Witness | None


def parting(found: Difference, old: Side, new: Side, old_story: Story, new_story: Story) -> Parting | None:
    """The first state in which two runs differ, or None."""
    apart = {one.state_id: one for one in (*found.moved, *found.unmoved)}
    alone = {one.state_id for one in (*found.only_old, *found.only_new)}
    for before, state_id in enumerate(in_order(list(old.account.states), list(new.account.states))):
        if state_id in apart or state_id in alone:
            moved = apart.get(state_id)
            witnesses = _witness(old, old_story, state_id), _witness(new, new_story, state_id)
            told = new.account.states.get(state_id) or old.account.states[state_id]
            same = moved is not None and moved.is_same_action
            return Parting(state_id, told.label, before, same, moved.changes if moved else (), *witnesses)
    return None


def in_order(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """The states of both runs: those of the new one in its order, each other one before what followed it in the old."""
    known, at = set(new), {state_id: place for place, state_id in enumerate(old)}
    place = 0
    for state_id in new:
        end = at.get(state_id, 0)
        yield from (one for one in old[place:end] if one not in known)
        place = max(place, end)
        yield state_id
    yield from (one for one in old[place:] if one not in known)


def _witness(side: Side, story: Story, state_id: str) -> Witness | None:
    told: Told | None = side.account.states.get(state_id)
    if told is None:
        return None
    heard = story.states.get(state_id)
    event, facts = (heard.said, heard.facts) if heard is not None else (None, {})
    return Witness(told.how, event, facts, told.outputs, told.error)


def fact_changes(parted: Parting, old: Side, new: Side) -> list[tuple[str, list[Change]]]:
    """The facts that differ, by their keys, and in which fields."""
    before, after = (witness.facts if witness else {} for witness in (parted.old, parted.new))
    keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
    return [(key, _fields(old, before.get(key), new, after.get(key))) for key in keys]


def _fields(old: Side, was: Digest | None, new: Side, now: Digest | None) -> list[Change]:
    values = _json(old, was), _json(new, now)
    if all(isinstance(value, dict) for value in values):
        return changes(*values)
    return [Change("value", *values)]


def _json(side: Side, digest: Digest | None) -> Any:
    """A fact's payload; its digest, where it is no JSON or is gone."""
    try:
        return None if digest is None else json.loads(side.read(digest))
    except (StoreError, ValueError):
        return str(digest)


def output_changes(parted: Parting, old: Side, new: Side) -> list[tuple[str, str | None, str | None, list[str]]]:
    """The outputs that differ: name, both digests, and for small texts the lines that differ."""
    before, after = (witness.outputs if witness else {} for witness in (parted.old, parted.new))
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    found = []
    for name in names:
        was, now = before.get(name), after.get(name)
        found.append((name, was, now, _lines(_text(old, was), _text(new, now))))
    return found


def _lines(old: list[str] | None, new: list[str] | None) -> list[str]:
    if old is None or new is None:
        return []
    return [line for line in unified_diff(old, new, n=0, lineterm="") if not line.startswith(("---", "+++", "@@"))]


def _text(side: Side, digest: str | None) -> list[str] | None:
    """An output's lines; nothing for one that is absent, large, or no text."""
    try:
        data = b"" if digest is None else side.read(Digest(digest))
        return data.decode("utf-8").splitlines() if digest and len(data) <= SMALL and b"\0" not in data else None
    except (StoreError, UnicodeDecodeError):
        return None
