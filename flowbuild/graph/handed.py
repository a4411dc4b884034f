"""What states hand on without a file: the context keys that one reads and writes, what it comes after, and whether it
can say that it lives.

Knows nothing of values. A key that a state reads is written by some state before it, or the reader is at fault.

Errors:  BadAttribute, UnknownName, BadRule, each with the place of the value in its BUILD.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flowbuild.core.errors import BadAttribute, BadLabel, BadRule, FlowError, UnknownName
from flowbuild.core.ids import context_key
from flowbuild.core.label import parse
from flowbuild.core.secrets import looks_secret
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import Built, SnapshotPolicy, State, StateGraph
from flowbuild.load.handler import Use


def keys(scope: Scope, attribute: str, value: Any) -> tuple[str, ...]:
    """The context keys that a value of `reads` or `writes` names, sorted."""
    if not isinstance(value, list):
        raise scope.fault(BadAttribute(f"`{attribute}` is a list of context keys"), attribute)
    for place, key in enumerate(value):
        try:
            if not isinstance(key, str):
                raise BadLabel(f"invalid context_key: {key!r}")
            context_key(key)
        except BadLabel as error:
            error.remedy = "up to three words of small letters, digits and '_', joined by dots"
            raise scope.fault(error, attribute, place) from None
        if looks_secret(key):
            message = f"context key {key!r} looks like the name of a secret"
            raise scope.fault(BadAttribute(message, remedy="no secret belongs in a context"), attribute, place)
    return tuple(sorted(set(value)))


def after(scope: Scope, value: Any) -> tuple[int, ...]:
    """The states of the targets that a value of `after` names."""
    found: dict[int, None] = {}
    for place, text in enumerate(value):
        label = parse(text, scope.package).target
        if label not in scope.built:
            raise scope.fault(BadRule(f"rule {scope.rule.name}: `after` names {label}, which no attribute names"))
        try:
            found |= dict.fromkeys(roots(scope, scope.built[label]))
        except FlowError as error:
            raise scope.fault(error, "after", place) from None
    return tuple(found)


def snapshots(scope: Scope, value: Any) -> SnapshotPolicy:
    """The snapshot policy that a word names."""
    try:
        return SnapshotPolicy(value)
    except ValueError:
        known = ", ".join(SnapshotPolicy)
        error = BadAttribute(
            f"`snapshot` is one of {known}, not {value!r}", remedy=did_you_mean(str(value), SnapshotPolicy)
        )
        raise scope.fault(error, "snapshot") from None


def roots(scope: Scope, built: Built) -> Iterator[int]:
    """The states of a target, and of those that it stands for."""
    if built.fold is not None:
        raise BadAttribute(f"{built.label} is made of a committed run: no state can wait for it")
    yield from StateGraph.roots(built)
    for member in built.members:
        yield from roots(scope, scope.built[member])


def check_keys(scope: Scope, state: State, is_handler: bool) -> None:
    """Refuse keys that can't be written or read as they are declared."""
    if state.snapshots is SnapshotPolicy.ALWAYS and not state.writes:
        problem = f"`snapshot: {state.snapshots}` keeps what it writes into the context, and it writes nothing"
        raise scope.fault(BadAttribute(problem, remedy="name its keys in `writes`"), "snapshot")
    if not state.reads and not state.writes and not state.initial:
        return
    attribute = "reads" if state.reads else "writes"
    if not is_handler:
        raise scope.fault(BadRule(f"rule {scope.rule.name}: only a state of kind python has a context"), attribute)
    if state.code is not None and "context" not in state.code.doors:
        remedy = "give it an argument `context`"
        raise scope.fault(BadAttribute(f"{state.code.function}() does not ask for `context`", remedy=remedy), attribute)
    strange = next((key for key in state.initial if key not in state.reads), None)
    if strange is not None:
        problem = f"a run may begin with the context key {strange!r}, and nothing here reads it"
        raise scope.fault(BadAttribute(problem, remedy="add it to `reads`"), "initial")
    written = {*state.initial, *_written_before(scope, state)}
    for key in state.reads:
        if key not in written:
            remedy = did_you_mean(key, written) if written else "name the one that writes it in `inputs` or `after`"
            error = UnknownName(f"no state that comes before writes the context key {key!r}", remedy=remedy)
            raise scope.fault(error, "reads")


def check_heartbeat(scope: Scope, state: State) -> None:
    """Refuse a limit of silence for what can't give a sign of life."""
    if state.heartbeat_ms is None or {"io", "emit"} & set(state.code.doors if state.code else ()):
        return
    if state.code is None:
        error: FlowError = BadRule(f"rule {scope.rule.name}: only a state of kind python has a `heartbeat_timeout`")
        raise scope.fault(error, "heartbeat_timeout")
    remedy = "give it an argument `io`, and call io.heartbeat()"
    error = BadAttribute(f"{state.code.function}() can't give a sign of life: it asks for no `io`", remedy=remedy)
    raise scope.fault(error, "heartbeat_timeout")


def _written_before(scope: Scope, state: State) -> set[str]:
    """The keys that states before this one write; no more than are needed to find all that it reads."""
    found, seen, todo = set[str](), set[int](), list(state.needs)
    while todo and not found.issuperset(state.reads):
        number = todo.pop()
        if number not in seen:
            seen.add(number)
            found.update(scope.states[number].writes)
            todo += scope.states[number].needs
    return found


# Method of the handler's `context` -> the attribute that must name its key.
_DECLARED = {"read": "reads", "read_typed": "reads", "write": "writes", "delete": "writes"}


def undeclared(uses: Iterable[Use], reads: Sequence[str], writes: Sequence[str]) -> Iterator[FlowError]:
    """What a handler's text does with keys that its target does not declare."""
    for use in uses:
        attribute = _DECLARED.get(use.method)
        known = {*writes, *(reads if attribute == "reads" else ())}
        if attribute is not None and use.key not in known:
            message = f"context.{use.method}({use.key!r}): the key is not declared"
            yield UnknownName(message, remedy=f"add it to `{attribute}`", location=use.where)
