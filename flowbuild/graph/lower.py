"""Targets to states: the one place where declarations become a graph.

Knows nothing of digests, memos or engines: what it makes is frozen, and the same for every run of the same text.

Approach: find every target that the wanted ones need, in an order in which each comes after its needs; then lower
each in turn, by its rule's templates or by the Python function that the rule names.

Errors:  UserError, each with the place in the file that is at fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flowbuild.core.errors import (
    BadFlag,
    BadRule,
    Faults,
    FlowError,
    Location,
    OutputClash,
    SecretsDetected,
    UnknownTarget,
    raise_all,
)
from flowbuild.core.label import Label, is_label, parse
from flowbuild.core.secrets import looks_secret
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph import builtin
from flowbuild.graph.cycle import cycle_found
from flowbuild.graph.hints import hinted
from flowbuild.graph.scope import LABELS, Lowering, Scope, holds
from flowbuild.graph.state import Built, State, StateGraph
from flowbuild.graph.template import lower_templates
from flowbuild.load.catalog import Catalog
from flowbuild.load.package import Target
from flowbuild.load.secret import REMEDY, allowed

# A set value: the target it is for (None: those named on the command line), the name, the text.
Setting = tuple[Label | None, str, str]
OWN = "write `states`: no text of a workspace makes flowbuild import and call just anything"


def lower(catalog: Catalog, wanted: Sequence[Label], settings: Sequence[Setting] = ()) -> StateGraph:
    """The graph of the wanted targets and of everything that they need."""
    order = _ordered(catalog, wanted)
    values = _settings(catalog, order, wanted, settings)
    built: dict[Label, Built] = {}
    states: list[State] = []
    faults: list[FlowError] = []
    for label in order:
        target = catalog.target(label)
        if faults and any(need not in built for need, _ in needs(catalog, target)):
            continue  # what it needs is at fault
        scope = Scope(catalog, target, catalog.rules[target.rule], built, states, values.get(label, _defaults(target)))
        try:
            built[label] = _lowering(scope)(scope)
        except FlowError as error:
            faults.append(error)
        except Faults as several:
            faults += several.exceptions  # type: ignore[arg-type]
    raise_all(faults)
    _check_outputs(catalog, states)
    return StateGraph(tuple(states), built)


def _lowering(scope: Scope) -> Lowering:
    if scope.rule.lower is None:
        return lower_templates
    module, _, name = scope.rule.lower.partition(":")
    function: Lowering | None = getattr(builtin, name, None) if module == builtin.__name__ else None
    if function is None:  # no text of a workspace makes us import and call just anything
        where = scope.catalog.place(scope.rule.path, ("lower",))
        raise BadRule(f"`lower: {scope.rule.lower}` is none of flowbuild's own functions", remedy=OWN, location=where)
    return function


def needs(catalog: Catalog, target: Target) -> Iterator[tuple[Label, tuple[str | int, ...]]]:
    """The labels that a target's attributes name, and those that its hints mean, each with the place of the value."""
    attributes = catalog.rules[target.rule].attributes
    for name, value in target.attrs.items():
        if name in attributes and holds(attributes[name], LABELS):
            for text, pointer in _strings(value, (name,)):
                if is_label(text):
                    yield parse(text, target.label.package).target, pointer
    yield from hinted(catalog, target)


def _strings(value: Any, pointer: tuple[str | int, ...]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    if isinstance(value, str):
        yield value, pointer
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _strings(one, (*pointer, name))
    elif isinstance(value, Sequence):
        for place, one in enumerate(value):
            yield from _strings(one, (*pointer, place))


def _ordered(catalog: Catalog, wanted: Iterable[Label]) -> list[Label]:
    """Every target needed, each after its needs; declaration order where the edges leave a choice."""
    done: dict[Label, None] = {}
    faults: list[FlowError] = []
    for start in wanted:
        if start in done:
            continue
        path: dict[Label, Iterator[tuple[Label, tuple[str | int, ...]]]] = {
            start: needs(catalog, catalog.target(start))
        }
        while path:
            label = next(reversed(path))
            for need, pointer in path[label]:
                if need in path:
                    known = list(path)[list(path).index(need) :]
                    raise cycle_found(catalog, known, lambda one: needs(catalog, catalog.target(one)))
                if need not in done:
                    asked = catalog.target(label)
                    if _unknown(catalog, need):
                        faults.append(_no_target(catalog, need, catalog.locate(asked, pointer)))
                        continue
                    found = catalog.target(need)
                    path[need] = needs(catalog, found)
                    break
            else:
                done[label] = None
                del path[label]
    raise_all(faults)
    return list(done)


def _no_target(catalog: Catalog, label: Label, asked_at: Location) -> FlowError:
    try:
        catalog.target(label, asked_at)
    except UnknownTarget as error:
        return error
    raise AssertionError(f"{label} is there after all")


def _unknown(catalog: Catalog, label: Label) -> bool:
    package = catalog.package(label.package)
    return package is None or label.name not in package.targets


def _defaults(target: Target) -> dict[str, Any]:
    return {name: param.default for name, param in target.params.items()}


def _settings(
    catalog: Catalog, order: Sequence[Label], wanted: Sequence[Label], settings: Sequence[Setting]
) -> dict[Label, dict[str, Any]]:
    """The parameters of each target that `--set` reaches."""
    values: dict[Label, dict[str, Any]] = {}
    asked = _behind_groups(catalog, wanted) if settings else []
    for label, name, text in settings:
        reached = [label] if label else [one for one in asked if name in catalog.target(one).params]
        if not reached or (label and (label not in order or name not in catalog.target(label).params)):
            among = [label] if label and label in order else asked
            known = {param for one in among for param in catalog.target(one).params}
            shown = f"{label}.{name}" if label else name
            needed = [one for one in order if name in catalog.target(one).params]
            remedy = (
                f"--set {needed[0]}.{name}={text} sets that of {needed[0]}" if needed else did_you_mean(name, known)
            )
            raise BadFlag(f"--set {shown}={text}: no target asked for has this parameter", remedy=remedy)
        for one in reached:
            target = catalog.target(one)
            if looks_secret(text) and not allowed(target.tags):
                raise SecretsDetected(f"--set {name}: its value looks like a secret", remedy=REMEDY)
            values.setdefault(one, _defaults(target))[name] = target.params[name].read(text)
    return values


def _behind_groups(catalog: Catalog, wanted: Sequence[Label]) -> list[Label]:
    """The targets that are asked for: the wanted ones, and those that a wanted group stands for."""
    found: dict[Label, None] = {}
    waiting = list(reversed(wanted))
    while waiting:
        label = waiting.pop()
        target = catalog.target(label)
        if label not in found and target.rule == "group":
            waiting += [need for need, _ in needs(catalog, target)]
        found[label] = None
    return list(found)


def _check_outputs(catalog: Catalog, states: Sequence[State]) -> None:
    """Refuse two states that write one path, or one below the other; of two targets the first such path is told."""
    first: dict[tuple[Label, Label], OutputClash] = {}
    for state, other, path in _clashes(states):
        first.setdefault((other.label, state.label), _clash(catalog, state, other, path))
    raise_all(first.values())


def _clashes(states: Sequence[State]) -> Iterator[tuple[State, State, str]]:
    owner: dict[str, State] = {}
    for state in states:
        for path in state.outputs.values():
            plain = path.rstrip("/")
            other = owner.setdefault(plain, state)
            if other is not state:
                yield state, other, plain
    for state in states:
        for path in state.outputs.values():
            parent = path.rstrip("/").rpartition("/")[0]
            while parent.count("/") > 1:
                if parent in owner:
                    yield state, owner[parent], parent
                parent = parent.rpartition("/")[0]


def _clash(catalog: Catalog, state: State, other: State, path: str) -> OutputClash:
    both = f"{other.label} and {state.label}" if other.label != state.label else f"two states of {state.label}"
    where = catalog.locate(catalog.target(state.label))
    return OutputClash(f"{both} write {path}", remedy="rename one of the two", location=where)
