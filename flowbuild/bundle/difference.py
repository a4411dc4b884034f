"""What differs between two runs: answers and outputs, and the inputs and options that explain it.

Knows nothing of terminals. What a state came to is compared by its outputs, and a probe's by its answer; why, by the
two action documents, field by field. The policy of a run is no difference: it says how the work came about, not what
it was.

Shapes:  Difference. A field is that of `run.why`; `old` and `new` are None where a run has no such thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flowbuild.bundle.lanes import read_row
from flowbuild.bundle.summary import answer
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreError
from flowbuild.run.story import FAILED, Story, Told
from flowbuild.run.why import Change, Documents, changes


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: its account, what was asked, what was expected, and how to read what it names."""

    account: Story
    asked: Mapping[str, Any]
    expected: Mapping[str, Any]
    read: Callable[[Digest], bytes]


class Moved(NamedTuple):
    """A state that came to something else, or to the same from another action.

    `changes` are those of its action; none when the action is the same, or when a document is no longer there.
    """

    state_id: str
    label: str
    probe: str
    old: str
    new: str
    is_same_action: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """See the module. `everywhere` is what all changed actions have in common."""

    options: tuple[Change, ...]
    everywhere: tuple[Change, ...]
    expected: tuple[Change, ...]
    moved: tuple[Moved, ...]
    unmoved: tuple[Moved, ...]
    only_old: tuple[Told, ...]
    only_new: tuple[Told, ...]
    compared: int

    @property
    def differs(self) -> bool:
        alike = (self.options, self.expected, self.moved, self.unmoved, self.only_old, self.only_new)
        return any(alike)


def difference(old: Side, new: Side) -> Difference:
    """Compare two runs."""
    before, after = old.account.states, new.account.states
    shared = [state_id for state_id in before if state_id in after]
    pairs = [pair for state_id in shared if (pair := _pair(state_id, old, new)) is not None]
    return Difference(
        options=tuple(_options(old.asked, new.asked)),
        everywhere=_common([pair.changes for pair in pairs if pair.changes]),
        expected=tuple(changes(old.expected, new.expected)),
        moved=tuple(pair for pair in pairs if pair.old != pair.new),
        unmoved=tuple(pair for pair in pairs if pair.old == pair.new),
        only_old=tuple(told for name, told in before.items() if name not in after),
        only_new=tuple(told for name, told in after.items() if name not in before),
        compared=len(shared),
    )


def _pair(state_id: str, old: Side, new: Side) -> Moved | None:
    """A state that both runs have; None when nothing about it differs."""
    before, after = old.account.states[state_id], new.account.states[state_id]
    if (before.action, before.outputs, before.how == FAILED) == (after.action, after.outputs, after.how == FAILED):
        return None
    was, now = _document(old, before.action), _document(new, after.action)
    is_same = before.action == after.action
    found: tuple[Change, ...] = ()
    if not is_same and was is not None and now is not None:
        found = Documents(_either(old, new)).compare(before.action, now)
    probe = _probe(now or was or {})
    texts = [_came_to(side, told, bool(probe)) for side, told in ((old, before), (new, after))]
    if is_same and texts[0] == texts[1]:  # one answer in other words: what a probe printed
        return None
    return Moved(state_id, after.label or before.label, probe, texts[0], texts[1], is_same, found)


def _either(old: Side, new: Side) -> Callable[[Digest], bytes]:
    """Reads from whichever run has it: a digest says the same in both."""

    def read(digest: Digest) -> bytes:
        try:
            return old.read(digest)
        except StoreError:
            return new.read(digest)

    return read


def _document(side: Side, key: str | None) -> Mapping[str, Any] | None:
    return Documents(side.read).document(key)


def _probe(action: Mapping[str, Any]) -> str:
    """Which cell of an experiment an action answers, such as `scenario sealed/read-host`; nothing for any other."""
    if action.get("step_kind") != "probe":
        return ""
    asked = action["with"]
    name = f"{asked['profile']}/{asked['probe']['name']}" if asked.get("profile") else asked["probe"]["name"]
    return f"{asked['lane']} {name}"


def _came_to(side: Side, told: Told, is_probe: bool) -> str:
    """What a state came to, in a few words; by its digests where nothing says more."""
    if told.how == FAILED:
        return f"failed ({(told.error or {}).get('code')})"
    if is_probe and "row" in told.outputs:
        try:
            return answer(read_row(json.loads(side.read(Digest(told.outputs["row"])))))
        except (StoreError, ValueError):
            pass
    return ", ".join(f"{name} {digest[:8]}" for name, digest in sorted(told.outputs.items())) or told.how


def _common(found: Iterable[tuple[Change, ...]]) -> tuple[Change, ...]:
    """The changes that all of several have, in order."""
    every = list(found)
    if len(every) < 2:
        return ()
    return tuple(change for change in every[0] if all(change in other for other in every))


def _options(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for change in changes(old, new):
        if change.field != "policy":
            yield change
