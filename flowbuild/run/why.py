"""Why: the difference between two action documents, and the way back to its root.

Knows nothing of terminals. The key is a digest of the document that is compared here, so the explanation can't
drift from the truth: no difference if and only if the keys are equal (a property test holds it).

Shapes:  a field is a dotted path into the document, such as `inputs.words.sha256` or `with.env.LC_ALL`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import StoreError
from flowbuild.graph.state import Item, Product, State, StateGraph
from flowbuild.run.last import Last, LastTable
from flowbuild.run.spread import KIND as EACH
from flowbuild.run.why_items import FIELD, item_changes
from flowbuild.store.cas import Cas


class Change(NamedTuple):
    """One field that differs; None stands for a field that is not there."""

    field: str
    old: Any
    new: Any


class Cause(NamedTuple):
    """Why one state's action is another than before. `followed_from` are the states whose outputs moved it."""

    state: State
    last: Last
    changes: tuple[Change, ...]
    roots: tuple[Change, ...]
    followed_from: tuple[int, ...]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every leaf in which two documents differ, in the order of their fields."""
    return list(_changes("", old, new))


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            inner = f"{path}.{name}" if path else name
            if name in old and name in new:
                yield from _changes(inner, old[name], new[name])
            else:
                yield Change(inner, old.get(name), new.get(name))
    elif canonical(old) != canonical(new):  # as the key sees them: to Python 1 is True, and a tuple is no list
        yield Change(path, old, new)


_ABSENT: tuple[str | None, bool] = (None, False)  # a line that a listing does not have
# A state, and what came after it: a list that many ways share the end of.
_Way = tuple[State, "_Way"] | None


class Documents:
    """Action documents and listings by their digests, wherever they are kept, and what differs between two."""

    def __init__(self, read: Callable[[Digest], bytes]) -> None:
        self._read = read

    def document(self, key: str | None) -> Mapping[str, Any] | None:
        """An action document by its key, or None when the store does not hold it any more."""
        try:
            doc: Mapping[str, Any] | None = json.loads(self._read(Digest(key))) if key else None
        except (StoreError, ValueError):
            return None
        return doc

    def compare(self, old: str | None, new: Mapping[str, Any], listings: Iterable[bytes] = ()) -> tuple[Change, ...]:
        """What differs between a remembered action and a document; empty when the old one is not known.

        `listings` are the new document's, and the documents of its children: the store has them only once the action
        was performed.
        """
        before, fresh = self.document(old), {sha256(data): data for data in listings}

        def document(key: str) -> Mapping[str, Any] | None:
            data = fresh.get(Digest(key))
            return self.document(key) if data is None else json.loads(data)

        if before is not None and before.get("step_kind") == new.get("step_kind") == EACH:
            keys = [doc["with"]["children"] for doc in (before, new)]
            if keys[0] != keys[1]:
                others = [{**doc, "with": {**doc["with"], "children": None}} for doc in (before, new)]
                found = item_changes(keys[0], keys[1], document, changes)
                return (*(Change(*row) for row in found), *self._named(changes(*others), fresh))
        return tuple(self._named(changes(before, new), fresh)) if before is not None else ()

    def _named(self, found: list[Change], fresh: Mapping[Digest, bytes]) -> Iterator[Change]:
        """Listings opened: a change of several inputs becomes a change of the files in it."""
        for change in found:
            if not change.field.endswith(".listing"):  # an input may well be a JSON list itself
                yield change
                continue
            old, new = self._listing(change.old, fresh), self._listing(change.new, fresh)
            if old is None or new is None:
                yield change
                continue
            name = change.field.removesuffix(".listing")
            for path in sorted({*old, *new}):
                (was, could_run), (now, can_run) = old.get(path, _ABSENT), new.get(path, _ABSENT)
                if was != now:
                    yield Change(f"{name}[{path}]", was, now)
                elif could_run != can_run:
                    yield Change(f"{name}.executable[{path}]", could_run, can_run)

    def _listing(self, digest: Any, fresh: Mapping[Digest, bytes]) -> dict[str, tuple[str | None, bool]] | None:
        if not isinstance(digest, str) or len(digest) != 64:
            return None
        data = fresh.get(Digest(digest))
        doc: Any = self.document(digest) if data is None else json.loads(data)
        return {row["path"]: (row["sha256"], row["executable"]) for row in doc} if isinstance(doc, list) else None


class Why(Documents):
    """Questions about the last runs of a checkout, answered from action documents in the store."""

    def __init__(self, cas: Cas, last: LastTable, graph: StateGraph) -> None:
        super().__init__(cas.read)
        self._last = last
        self._graph = graph

    def cause(self, number: int) -> Cause | None:
        """Why a state's last action is another than the one before it; None when it was never built."""
        state = self._graph.states[number]
        last = self._last.get(state.id)
        if last is None:
            return None
        now = self.document(last.action)
        found = self.compare(last.previous, now) if now is not None else ()
        return self.classify(number, last, found)

    def classify(self, number: int, last: Last, found: tuple[Change, ...]) -> Cause:
        """Tell what is a root of its own from what followed from another state's output."""
        state = self._graph.states[number]
        followed = [change for change in found if producers(self._graph, state, change.field)]
        states = {need for change in followed for need in producers(self._graph, state, change.field)}
        return Cause(state, last, found, tuple(c for c in found if c not in followed), tuple(sorted(states)))

    def roots(self, number: int) -> Iterator[tuple[Cause, tuple[State, ...]]]:
        """The causes at the bottom: states that changed for a reason of their own, each once, with the way from there.

        A state that moved again in a later run says nothing of this one, and is not followed.
        """
        todo: list[tuple[int, _Way]] = [(number, None)]
        seen, first = {number}, self.cause(number)
        while todo:
            one, way = todo.pop()
            cause = self.cause(one)
            if cause is None or first is None or cause.last.ts_millis != first.last.ts_millis:
                continue
            way = (cause.state, way)
            if cause.roots:
                yield cause, tuple(_unrolled(way))
            fresh = [need for need in cause.followed_from if need not in seen]
            seen.update(fresh)
            todo.extend((need, way) for need in reversed(fresh))


def _unrolled(way: _Way) -> Iterator[State]:
    while way is not None:
        state, way = way
        yield state


def producers(graph: StateGraph, state: State, field: str) -> list[int]:
    """The states behind the input or context key that a changed field belongs to; none for any other field."""
    if field.startswith(FIELD) and state.fan is not None:
        field = f"inputs.{state.fan.variable}"
    if field.startswith("context."):
        return writers(graph, state, field.removeprefix("context."))
    return [item.state for item in items(state, field) if isinstance(item, Product)]


def items(state: State, field: str) -> list[Item]:
    """What the input that a changed field belongs to stands for; nothing for any other field."""
    if not field.startswith("inputs."):
        return []
    name, bracket, path = field.removeprefix("inputs.").partition("[")
    one = state.inputs.get(name.partition(".")[0])
    wanted = path.rstrip("]")
    return [item for item in one.items if not bracket or item.path == wanted] if one is not None else []


def writers(graph: StateGraph, state: State, key: str) -> list[int]:
    """The states before this one that write a context key, and whose value nothing later has replaced."""
    found, todo, seen = [], list(state.needs), set[int]()
    while todo:
        number = todo.pop()
        if number not in seen:
            seen.add(number)
            if key in graph.states[number].writes:
                found.append(number)
            else:
                todo += graph.states[number].needs
    replaced = set(graph.behind(need for number in found for need in graph.states[number].needs))
    return sorted(set(found) - replaced)


def describe(state: State, change: Change) -> str:
    """A change in a few words, for a line of the console: `names.txt changed`, `command changed`, ..."""
    field = change.field
    if field.startswith("inputs."):
        return f"{_input_name(state, field)} {_verb(change)}"
    if field.startswith(FIELD):
        return f"{_item_name(field)} {_verb(change)}"
    if field.startswith("handler."):
        return _handler(field, change)
    if field.startswith("context."):
        return f"context {field.removeprefix('context.')} {_verb(change)}"
    if field.startswith("with.env."):
        return f"variable {field.removeprefix('with.env.')} {_verb(change)}"
    if field.startswith("program"):
        return "program changed"
    if field.startswith("engine"):
        return "engine changed"
    if field.startswith("world"):
        return "host changed"
    return f"{field.removeprefix('with.')} {_verb(change)}"


def _handler(field: str, change: Change) -> str:
    what = field.split(".", 2)
    if what[1] == "modules":
        return f"module {what[2]} {_verb(change)}"
    if what[1] == "distributions":
        return f"distribution {what[2].partition('.')[0]} {_verb(change)}"
    return "Python changed" if what[1] == "python" else "handler changed"


def _item_name(field: str) -> str:
    if field == f"{FIELD}.order":
        return "the order of the items"
    return f"item {field.removeprefix(f'{FIELD}[').rpartition(']')[0]}"


def _verb(change: Change) -> str:
    return "is new" if change.old is None else "is gone" if change.new is None else "changed"


def _input_name(state: State, field: str) -> str:
    name, _, path = field.removeprefix("inputs.").partition("[")
    if path:
        return path.rstrip("]")
    one = state.inputs.get(name.partition(".")[0])
    return one.items[0].path if one and len(one.items) == 1 else name.partition(".")[0]
