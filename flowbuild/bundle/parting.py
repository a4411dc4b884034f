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

SMALL = 64 * 1024  # bytes of what is looked into


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


class Apart(NamedTuple):
    """A fact or an output that differs: both digests; fields of two JSON objects or listings, or lines of two texts."""

    name: str
    old: str | None
    new: str | None
    fields: list[Change]
    lines: list[str]


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


def fact_changes(parted: Parting, old: Side, new: Side) -> list[Apart]:
    """The facts that differ."""
    before, after = (witness.facts if witness else {} for witness in (parted.old, parted.new))
    return [_apart(key, before.get(key), after.get(key), old, new) for key in _unequal(before, after)]


def output_changes(parted: Parting, old: Side, new: Side) -> list[Apart]:
    """The outputs that differ."""
    before, after = (witness.outputs if witness else {} for witness in (parted.old, parted.new))
    return [_apart(name, before.get(name), after.get(name), old, new) for name in sorted(_unequal(before, after))]


def _unequal(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]


def _apart(name: str, was: str | None, now: str | None, old: Side, new: Side) -> Apart:
    texts = _text(old, was), _text(new, now)
    values = [_json(text) for text in texts]
    if all(isinstance(value, dict) for value in values):
        return Apart(name, was, now, changes(*values), [])
    before, after = texts
    if before is None or after is None:
        return Apart(name, was, now, [], [])
    lines = unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return Apart(name, was, now, [], [line for line in lines if not line.startswith(("---", "+++", "@@"))])


def _text(side: Side, digest: str | None) -> str | None:
    """What stands under a digest, if it is a small text."""
    try:
        data = side.read(Digest(digest)) if digest else None
        return None if data is None or len(data) > SMALL or b"\0" in data else data.decode("utf-8")
    except (StoreError, UnicodeDecodeError):
        return None


def _json(text: str | None) -> Any:
    """A JSON value; of a directory's listing, its rows by their paths."""
    try:
        value = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and all(isinstance(row, dict) and "path" in row for row in value):
        return {str(row["path"]): row for row in value}
    return value
