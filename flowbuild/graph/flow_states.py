"""A Flow IR document as states: one for each node, and one that gathers what the flow came to.

Knows nothing of targets or of engines. A flow target and a document from elsewhere become states here alike, so they
have the same keys, journal and order.

Shapes:  node `n` is the state `<op>.step.<n>`; the last one writes `result.json`: {"flow", "inputs", "outputs",
         "steps"}, with the steps that ran.
Source:  seed 000; CONTRACTS, 000.2, with its traps: every edge counts, not the first one only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError
from types import MappingProxyType
from typing import Any

from flowbuild.core.ids import OpId, StateId, op_of, slug
from flowbuild.core.label import Label
from flowbuild.core.reference import references, replaced
from flowbuild.graph.flow_order import ordered
from flowbuild.graph.state import Code, State
from flowbuild.graph.step import RESULT, On, Step, Way

Document = Mapping[str, Any]

GRACE_MS = 1000  # an executor has so long to tell of a flow's time-out before we do


def flow_states(
    ir: Document,
    inputs: Mapping[str, Any],
    label: Label,
    codes: Mapping[str, Code],
    first: int = 0,
    files: Mapping[str, int] = MappingProxyType({}),
) -> list[State]:
    """The states of a checked document.

    `first` is the number of the first one, `codes` the handlers of nodes, `files` the states that read an input each.
    """
    nodes = {node["id"]: node for node in ir["graph"]["nodes"]}
    edges = ir["graph"]["edges"]
    order = _order(nodes, edges)
    leading: dict[str, list[Document]] = {name: [] for name in order}
    for edge in edges:
        leading[edge["to"]].append(edge)
    catching = {edge["from"] for edge in edges if edge["on"] == On.FAILURE}
    numbers = {name: first + place for place, name in enumerate(order)}
    ids = _ids(op_of(label), order)
    states = []
    for name in order:
        node = nodes[name]
        with_ = replaced(_with(node, ir["constants"]), {"input": inputs}, later=files)
        step = Step(
            name,
            tuple(way for edge in leading[name] for way in _ways(edge, nodes, numbers)),
            dict(_reads(with_, numbers, numbers[name], files)),
            node["retry"]["max"],
            node["retry"]["backoff_ms"],
            name in catching,
            ir["flow"]["timeout_ms"] or None,
        )
        timeout_ms = node["timeout_ms"] or None
        title = f"{name}: {node['type']}"
        path = f"steps/{name}.json"
        states.append(_state(ids[name], label, node["type"], with_, step, path, title, timeout_ms, codes))
    return [*states, _gathered(ir, inputs, label, numbers, files)]


def _order(nodes: Mapping[str, Document], edges: list[Document]) -> list[str]:
    """Every node after those that lead to it, and after those that it refers to if that can be."""
    leads = [(edge["from"], edge["to"]) for edge in edges]
    refers = [
        (found.name, name)
        for name, node in nodes.items()
        for found, _ in references(node["with"])
        if found.kind == "step" and found.name in nodes
    ]
    try:
        return ordered(nodes, [*leads, *refers])
    except CycleError:
        return ordered(nodes, leads)


def _reads(with_: Any, numbers: Mapping[str, int], own: int, files: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The states behind the references in a `with`: steps before this one, and files."""
    for found, _ in references(with_):
        number = (numbers if found.kind == "step" else files).get(found.name)
        if number is not None and number < own:
            yield f"{found.kind}.{found.name}", number


def whole(ir: Document, inputs: Mapping[str, Any], label: Label) -> State:
    """A document as one state, for an executor that performs all of it. Only its time is ours to keep, with a grace."""
    timeout_ms = ir["flow"]["timeout_ms"]
    step = Step("", flow_timeout_ms=timeout_ms + GRACE_MS if timeout_ms else None)
    id_ = StateId(f"{op_of(label)}.flow.result")
    return _state(id_, label, "ir", {"ir": ir, "inputs": dict(inputs)}, step, "result.json", ir["flow"]["name"])


def _state(
    id_: StateId,
    label: Label,
    kind: str,
    with_: Mapping[str, Any],
    step: Step,
    path: str,
    title: str = "",
    timeout_ms: int | None = None,
    codes: Mapping[str, Code] | None = None,
) -> State:
    return State(
        id=id_,
        label=label,
        kind=kind,
        package=label.package,
        with_=with_,
        inputs={},
        declared={RESULT: path},
        outputs={RESULT: f"out/bin/{label.directory}/{path}"},
        timeout_ms=timeout_ms,
        code=(codes or {}).get(step.name),
        title=title,
        step=step,
    )


def _gathered(
    ir: Document, inputs: Mapping[str, Any], label: Label, numbers: Mapping[str, int], files: Mapping[str, int]
) -> State:
    """The state that waits for all others, and says what the flow came to."""
    with_ = {
        "flow": ir["flow"]["name"],
        "inputs": {**inputs, **{name: f"$input.{name}" for name in files}},
        "emits": [node["id"] for node in ir["graph"]["nodes"] if node["type"] == "dsl.emit"],
    }
    reads = {f"step.{name}": number for name, number in numbers.items()}
    reads |= {f"input.{name}": number for name, number in files.items()}
    id_ = StateId(f"{op_of(label)}.flow.result")
    return _state(id_, label, "flow", with_, Step("", reads=reads), "result.json", "what it came to")


def _with(node: Document, constants: Document) -> dict[str, Any]:
    """What a node asks for. A switch has a key to compare, and a step that applies a policy has the policy."""
    with_ = dict(node["with"])
    if node["type"] == "switch":
        with_["key"] = with_.pop("key_from", None)
    if node["type"] == "policy.apply" and constants["policy"]:
        return {"policy": constants["policy"], "policy_id": constants["policyRef"], **with_}
    return with_


def _ways(edge: Document, nodes: Mapping[str, Document], numbers: Mapping[str, int]) -> Iterator[Way]:
    """The ways that an edge is. One that leaves a switch and names no case stands for every case that leads there."""
    number, on, case = numbers[edge["from"]], On(edge["on"]), edge.get("case")
    node = nodes[edge["from"]]
    if node["type"] == "switch" and on is On.SUCCESS and case is None:
        cases = [label for label, to in (node["with"].get("cases") or {}).items() if to == edge["to"]]
        yield from (Way(number, on, label) for label in cases)
        if cases:
            return
    yield Way(number, on, case)


def _ids(op: OpId, names: list[str]) -> dict[str, StateId]:
    """An id for each name. Names that share a slug are told apart by a number."""
    found: dict[str, StateId] = {}
    taken: set[str] = set()
    for name in names:
        made, number = f"{op}.step.{slug(name)}", 2
        while made in taken:
            made, number = f"{op}.step.{slug(name, 56)}_{number}", number + 1
        taken.add(made)
        found[name] = StateId(made)
    return found
