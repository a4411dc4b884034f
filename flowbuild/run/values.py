"""Values that steps of a flow take from the steps before them, and whether a step runs at all.

Knows nothing of order or of keys. Both are read from the artifacts of the states before, when a step is bound: so an
action holds the very values that it is about, and a step before it may change without changing them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flowbuild.core.canonical import canonical
from flowbuild.core.reference import replaced
from flowbuild.graph.state import State
from flowbuild.graph.step import ERROR, RESULT, On, Step, Way
from flowbuild.store.tree import Artifact

Products = Mapping[int, Mapping[str, Artifact]]
Read = Callable[[Artifact], Any]


def is_selected(step: Step, products: Products, read: Read) -> bool:
    """Whether one of the ways to a step was taken. Every state before it has ended."""
    return not step.ways or any(_is_taken(way, products.get(way.state), read) for way in step.ways)


def _is_taken(way: Way, outputs: Mapping[str, Artifact] | None, read: Read) -> bool:
    if outputs is None:  # skipped itself
        return False
    if way.on is On.FAILURE:
        return ERROR in outputs
    return RESULT in outputs and (way.case is None or read(outputs[RESULT]).get("case") == way.case)


def resolved(state: State, products: Products, read: Read) -> dict[str, Any]:
    """The `with` of a step, with the values that its references stand for."""
    if state.step is None or state.step.reads is None:  # such as a whole flow, whose references are its executor's
        return dict(state.with_)
    documents: dict[str, dict[str, Any]] = {"step": {}, "input": {}}
    for reference, number in state.step.reads.items():
        kind, _, name = reference.partition(".")
        outputs = products.get(number, {})
        documents[kind][name] = next((read(outputs[output]) for output in (RESULT, ERROR) if output in outputs), None)
    found: dict[str, Any] = replaced(dict(state.with_), documents)
    if state.kind == "switch":
        found["key"] = _label(found["key"])
    if state.kind == "flow":  # it gathers them all
        found["steps"] = documents["step"]
    return found


def _label(value: Any) -> str:
    """A value as the label of a case: text as it is, anything else as JSON says it."""
    return value if isinstance(value, str) else canonical(value).decode()
