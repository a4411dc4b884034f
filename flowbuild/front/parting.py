"""`flowbuild runs diff A B --first`: the first state where two runs part, and both sides of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flowbuild.bundle.difference import Side
from flowbuild.bundle.parting import Apart, Parting, Witness, fact_changes, output_changes
from flowbuild.front.explain import short, shown
from flowbuild.run.why import Change

NOWHERE = "(none)"
MOST, WIDEST = 20, 160  # lines, and marks of one


def lines(parted: Parting, old: Side, new: Side) -> Iterator[str]:
    """What people read of it."""
    title, before = parted.state_id.rpartition(".")[2], f"after {parted.before} that came to the same"
    yield f"first apart: {parted.label} {title}, {before if parted.before else 'the first of all'}"
    yield from _told("came to", _came_to(parted.old), _came_to(parted.new))
    yield from _told("event", _event(parted.old), _event(parted.new))
    for change in parted.changes:
        yield f"  {'action':<10} {shown(change)}"
    facts = fact_changes(parted, old, new)
    for word, several in (("fact", facts), ("output", output_changes(parted, old, new))):
        for one in several:
            yield f"  {word:<10} {_plain(one.name)} {short(one.old)} → {short(one.new)}"
            yield from _few([shown(_quoted(change)) for change in one.fields] or one.lines)
    yield from (f"  {line}" for line in _why(parted, bool(facts)))


def _few(lines: list[str]) -> Iterator[str]:
    for line in lines[:MOST]:
        yield f"    {_plain(line if len(line) <= WIDEST else line[:WIDEST] + ' ...')}"
    if len(lines) > MOST:
        yield f"    ... and {len(lines) - MOST} more"


def _why(parted: Parting, has_facts: bool) -> Iterator[str]:
    if parted.old is None or parted.new is None:
        yield f"only in the {'second' if parted.old is None else 'first'} run"
    elif parted.is_same_action and has_facts:
        yield "from the same action: the outside answered otherwise"
    elif parted.is_same_action:
        yield "from the same action: it depends on something that is not in its key"
    elif not parted.changes:
        yield "its action changed; what it was is no longer in the store"


def _told(word: str, old: str, new: str) -> Iterator[str]:
    yield f"  {word:<10} {old}" if old == new else f"  {word:<10} {old} → {new}"


def _came_to(witness: Witness | None) -> str:
    if witness is None:
        return NOWHERE
    error = witness.error or {}
    message = str(error.get("message") or "").partition("\n")[0]
    return f"{witness.how} ({error['code']}: {_plain(message)})" if error.get("code") else witness.how


def _event(witness: Witness | None) -> str:
    return "{} {}".format(*witness.event) if witness and witness.event else NOWHERE


def _quoted(change: Change) -> Change:
    """A change of a fact: texts as JSON has them, since anybody outside may have written them."""
    return Change(_plain(change.field), *(json.dumps(one) if one is not None else None for one in change[1:]))


def _plain(text: str) -> str:
    """A text from outside, for a terminal."""
    return "".join(mark if mark.isprintable() or mark == "\t" else "\ufffd" for mark in text)


def doc(parted: Parting | None, old: Side, new: Side) -> dict[str, Any] | None:
    """What programs read of it."""
    if parted is None:
        return None
    return {
        "state_id": parted.state_id,
        "label": parted.label,
        "before": parted.before,
        "is_same_action": parted.is_same_action,
        "action": [change._asdict() for change in parted.changes],
        "facts": {one.name: _doc(one) for one in fact_changes(parted, old, new)},
        "outputs": {one.name: _doc(one) for one in output_changes(parted, old, new)},
        "old": _side(parted.old),
        "new": _side(parted.new),
    }


def _doc(one: Apart) -> dict[str, Any]:
    return {**one._asdict(), "fields": [change._asdict() for change in one.fields]}


def _side(witness: Witness | None) -> dict[str, Any] | None:
    if witness is None:
        return None
    event = {"seq": witness.event[0], "name": witness.event[1]} if witness.event else None
    rest = {"how": witness.how, "facts": dict(witness.facts), "outputs": dict(witness.outputs), "error": witness.error}
    return {"event": event, **rest}
