"""Context: small JSON values that states hand on along the edges of the graph. A fold of what was written.

Knows nothing of journals or engines. A state that declares `writes` leaves one more output, the artifact `context`
with its changes; what any state sees follows from the graph and those. So a remembered result replays its changes,
and it doesn't matter in which order states ended.

Approach: of each key we keep the writes that nothing later has replaced, and the writers that were replaced. A join
is the union of both, less what either side has replaced. It is one write where one came after the other, and a
conflict where two are left that say different things. This join is associative and commutative.

Shapes:  changes are canonical JSON, {"write": {key: value}, "delete": [key]}. A snapshot is {key: value}, whole.
Errors:  as outcomes: context_conflict, context_serialize_failed, context_key_undeclared, secrets_detected.
         StoreCorrupt for an artifact that holds no changes.
Source:  seed 001, context and execution of one state; decision 4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flowbuild.core.action import ErrorInfo, Outcome
from flowbuild.core.canonical import EMPTY_CONTEXT, Digest, canonical, sha256
from flowbuild.core.errors import BadAttribute, StoreCorrupt
from flowbuild.core.event import Event
from flowbuild.core.secrets import find_secret
from flowbuild.core.structured import has_float, structured
from flowbuild.engine.engine import Performance, Ready, Wait
from flowbuild.graph.state import SnapshotPolicy, State
from flowbuild.store.tree import Artifact

OUTPUT = "context"  # under this name changes stand among a state's outputs

# The documents of the outputs of states that are done, by state number.
Products = Mapping[int, Mapping[str, Artifact]]


class Written(NamedTuple):
    """One key. `live` maps each writer to the canonical value that it left, None where it deleted the key.

    `past` has a bit for the number of each writer that was replaced: a chain of ten thousand writers is no sum of sets.
    """

    live: Mapping[int, bytes | None]
    past: int


Context = Mapping[str, Written]
_NOTHING: Context = {}


class Beginning(NamedTuple):
    """What a state begins with. Keys in conflict are left out of `values`, and `conflict` names the first."""

    values: Mapping[str, Any] = {}
    snapshot: Digest = EMPTY_CONTEXT
    conflict: ErrorInfo | None = None


UNTOUCHED = Beginning()


class Contexts:
    """The contexts of one evaluation, which begins with `initial`. `read` gives the bytes of an artifact; `snapshots`
    are all that are not empty."""

    def __init__(
        self,
        states: Sequence[State],
        read: Callable[[Digest], bytes],
        passed_over: Collection[int] = (),
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        self.states = states
        self._passed_over = passed_over  # states that end with what they began with
        self._read = read
        self._is_used = bool(initial) or any(state.writes for state in states)
        self._after: dict[int, Context] = {}
        self.snapshots: dict[Digest, bytes] = {}
        # As if a state had written it that comes before all others; no such state has a number.
        self._initial = written(
            _NOTHING, len(states), {key: canonical(value) for key, value in (initial or {}).items()}
        )
        self.initial = self._base(self._initial).snapshot

    def base(self, state: State, products: Products) -> Beginning:
        """What a state begins with: the join of what the states that it needs ended with."""
        return self._base(self._before(state, products)) if self._is_used else UNTOUCHED

    def after(self, number: int, products: Products) -> Digest:
        """The snapshot that a completed state leaves."""
        return self._base(self._left(number, products)).snapshot if self._is_used else EMPTY_CONTEXT

    def failed(self, base: Digest, changes: Mapping[str, Any]) -> Digest:
        """The snapshot of what an attempt had written when it failed. Nothing goes on from it."""
        values = json.loads(self.snapshots.get(base, b"{}")) | changes["write"]
        data = canonical({key: value for key, value in values.items() if key not in changes["delete"]})
        self.snapshots.setdefault(sha256(data), data)
        return sha256(data)

    def final(self, products: Products) -> Digest | None:
        """The join of all; None when two ends of the graph, which nothing joins, left different values of a key."""
        if not self._is_used:
            return EMPTY_CONTEXT
        found = self._base(joined([self._initial, *(self._left(number, products) for number in sorted(products))]))
        return None if found.conflict else found.snapshot

    def _before(self, state: State, products: Products) -> Context:
        needs = set(state.firm)
        for candidates in state.either:  # the latest that succeeded is the one
            done = (one for one in reversed(candidates) if all(self._is_done(number, products) for number in one))
            needs.update(next(done, ()))
        found = (self._ended(need, products) for need in sorted(needs) if self._is_done(need, products))
        return joined([self._initial, *found])

    def _is_done(self, number: int, products: Products) -> bool:
        return number in products or number in self._passed_over

    def _ended(self, number: int, products: Products) -> Context:
        """A state is done before any that needs it is bound, so this never goes back far."""
        known = self._after.get(number)
        if known is None:
            state = self.states[number]
            known = self._before(state, products)
            if state.writes and OUTPUT in products.get(number, ()):
                known = written(known, number, _changes(state, self._read(products[number][OUTPUT].sha256)))
            self._after[number] = known
        return known

    def _left(self, number: int, products: Products) -> Context:
        """What there is a snapshot of: of a state that leaves none of its own, what it began with."""
        ended, state = self._ended(number, products), self.states[number]
        return self._before(state, products) if state.snapshots is SnapshotPolicy.NEVER else ended

    def _base(self, context: Context) -> Beginning:
        if not context:
            return UNTOUCHED
        values, conflict = {}, None
        for key in sorted(context):
            live = context[key].live
            if len(set(live.values())) > 1:
                conflict = conflict or self._conflict(key, live)
                continue
            value = next(iter(live.values()))
            if value is not None:
                values[key] = json.loads(value)
        data = canonical(values)
        snapshot = sha256(data)
        self.snapshots.setdefault(snapshot, data)
        return Beginning(values, snapshot, conflict)

    def _conflict(self, key: str, live: Mapping[int, bytes | None]) -> ErrorInfo:
        """In declaration order: the first writer, and the first one that says otherwise."""
        one, *others = sorted(live)
        two = next(other for other in others if live[other] != live[one])
        names = [self.states[number] for number in (one, two)]
        said = f"context key {key!r}: {names[0].label} and {names[1].label} left different values, and neither is later"
        details = {"key": key, "states": [state.id for state in names]}
        return ErrorInfo("context_conflict", said, "Context", details=details)


def snapshot_of(data: bytes, digest: Digest) -> dict[str, Any]:
    """The values that a snapshot holds."""
    found = structured(data, digest)
    if not isinstance(found, dict):
        raise StoreCorrupt(f"context_snapshot_not_object: the snapshot {digest} is no object", remedy="start a new run")
    return found


def joined(contexts: Iterable[Context]) -> Context:
    """The join of several contexts."""
    found = [context for context in contexts if context]
    if not found:
        return _NOTHING
    result = found[0]
    for other in found[1:]:
        if other is not result:
            keys = {**result, **other}
            result = {key: _both(result.get(key), other.get(key)) for key in keys}
    return result


def _both(one: Written | None, two: Written | None) -> Written:
    if one is None or two is None or one is two:
        found = one or two
        assert found is not None, "a key of neither"
        return found
    past = one.past | two.past
    return Written({n: value for n, value in {**one.live, **two.live}.items() if not past >> n & 1}, past)


def written(context: Context, number: int, changes: Mapping[str, bytes | None]) -> Context:
    """A context after one state's changes."""
    result = dict(context)
    for key, value in changes.items():
        before = context.get(key)
        replaced = sum(1 << writer for writer in before.live) | before.past if before else 0
        result[key] = Written({number: value}, replaced)
    return result


def _changes(state: State, data: bytes) -> dict[str, bytes | None]:
    """What a state's artifact says, canonical value by key."""
    try:
        doc = json.loads(data)
        found: dict[str, bytes | None] = dict.fromkeys(doc["delete"])
        found |= {key: canonical(value) for key, value in doc["write"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, BadAttribute):
        message = f"what {state.id} left as its context is no such document"
        raise StoreCorrupt(message, remedy=f"--force {state.label} performs it anew") from None
    if not found.keys() <= set(state.writes):
        message = f"{state.id} left context keys that it does not write"
        raise StoreCorrupt(message, remedy=f"--force {state.label} performs it anew")
    return found


def kept(
    writes: Collection[str], steps: Performance, keep: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Performance:
    """A performance whose changes become its output `context`; one that changed what it may not has failed."""
    outcome = yield from steps
    changes = outcome.context or {"write": {}, "delete": []}
    error = refused(writes, changes)
    if not outcome.ok:
        return outcome if error is None else replace(outcome, context=None)
    if error is not None:
        return replace(outcome, outputs={}, error=error, context=None)
    return replace(outcome, outputs={**outcome.outputs, OUTPUT: keep(changes)})


def refused(writes: Collection[str], changes: Mapping[str, Any]) -> ErrorInfo | None:
    """Why changes may not be kept."""
    strange = sorted({*changes["write"], *changes["delete"]} - set(writes))
    if strange:
        said = f"context key {strange[0]!r} is not declared; add it to `writes`"
        return ErrorInfo("context_key_undeclared", said, "Context")
    for key, value in changes["write"].items():
        try:
            canonical(value)
        except BadAttribute as error:
            return ErrorInfo("context_serialize_failed", f"context key {key!r}: {error.message}", "Context")
        if has_float(value):
            said = f"context key {key!r} holds a float; keep the text, or scale it"
            return ErrorInfo("context_serialize_failed", said, "Context")
        if find_secret({key: value}) is not None:
            return ErrorInfo("secrets_detected", f"context key {key!r} holds what looks like a secret", "Context")
    return None


def never(error: ErrorInfo) -> Generator[Event | Wait, Ready, Outcome]:
    """The performance of a state that may not begin."""
    yield from ()
    return Outcome(error=error)
