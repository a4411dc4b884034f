"""`flowbuild runs diff A B --first`: the first state where two runs part, and both sides of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flowbuild.bundle.difference import Side
from flowbuild.bundle.parting import MOST_LINES, Parting, Witness, fact_changes, output_changes
from flowbuild.front.explain import short, shown
from flowbuild.run.why import Change

NOWHERE = "(none)"


def lines(parted: Parting, old: Side, new: Side) -> Iterator[str]:
    """What people read of it."""
    title, before = parted.state_id.rpartition(".")[2], f"after {parted.before} that came to the same"
    yield f"first apart: {parted.label} {title}, {before if parted.before else 'the first of all'}"
    yield from _told("came to", _came_to(parted.old), _came_to(parted.new))
    yield from _told("event", _event(parted.old), _event(parted.new))
    for change in parted.changes:
        yield f"  {'action':<10} {shown(change)}"
    facts = fact_changes(parted, old, new)
    for key, found in facts:
        yield f"  {'fact':<10} {_plain(key)}"
        yield from (f"    {shown(_quoted(change))}" for change in found)
    for name, was, now, text in output_changes(parted, old, new):
        yield f"  {'output':<10} {name} {short(was)} → {short(now)}"
        yield from (f"    {_plain(line)}" for line in text[:MOST_LINES])
        if len(text) > MOST_LINES:
            yield f"    ... and {len(text) - MOST_LINES} more lines"
    yield from (f"  {line}" for line in _why(parted, bool(facts)))


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
    facts = {key: [change._asdict() for change in found] for key, found in fact_changes(parted, old, new)}
    outputs = {name: {"old": a, "new": b, "lines": text} for name, a, b, text in output_changes(parted, old, new)}
    return {
        "state_id": parted.state_id,
        "label": parted.label,
        "before": parted.before,
        "is_same_action": parted.is_same_action,
        "action": [change._asdict() for change in parted.changes],
        "facts": facts,
        "outputs": outputs,
        "old": _side(parted.old),
        "new": _side(parted.new),
    }


def _side(witness: Witness | None) -> dict[str, Any] | None:
    if witness is None:
        return None
    event = {"seq": witness.event[0], "name": witness.event[1]} if witness.event else None
    rest = {"how": witness.how, "facts": dict(witness.facts), "outputs": dict(witness.outputs), "error": witness.error}
    return {"event": event, **rest}
