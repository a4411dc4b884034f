"""A Flow IR, checked, and the order in which its nodes are performed.

Knows nothing of REP, threads or clocks. A node is due when every edge into it is decided, and performed when at least
one of them is taken; else it is skipped. Nodes that are due are performed one by one, in the order of the document.

Shapes:  Flow IR 1.x: `{"version", "flow", "graph": {"nodes", "edges"}, ...}`. What else stands there is ignored.
Errors:  Refused (1001, 1002, 1003) before anything is performed; StepFailed when a step fails.
Source:  seed 000 `docs/ir/v0.1/spec.md`.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

MAJOR = "1"
CONTROL = frozenset({"switch", "finish"})
MAX_INTEGER = 2**31 - 1

Handler = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]


class StepFailed(Exception):
    """A step did not come to a result. `retriable` says whether to try again is worth it."""

    def __init__(self, message: str, *, retriable: bool = True, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retriable = retriable
        self.details = dict(details or {})


class Refused(Exception):
    """A flow that can't be performed: REP's codes 1000 to 1999."""

    def __init__(self, code: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


@dataclass(slots=True)
class Flow:
    """A checked flow."""

    timeout_ms: int
    nodes: dict[str, Mapping[str, Any]]
    into: dict[str, list[Mapping[str, Any]]]
    out: dict[str, list[Mapping[str, Any]]]
    policy: Mapping[str, Any] = field(default_factory=dict)  # what `policy.apply` gets beside its own `with`
    order: list[str] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """What a flow has come to so far."""

    inputs: Mapping[str, Any]
    steps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    current: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] | None = None
    skipped: list[str] = field(default_factory=list)

    def doc(self) -> dict[str, Any]:
        doc = {"inputs": self.inputs, "steps": self.steps, "current": self.current}
        return doc if self.outputs is None else {**doc, "outputs": self.outputs}


def check(ir: Any, kinds: Collection[str]) -> Flow:
    """The flow of a document, or Refused."""
    try:
        version, graph = str(ir["version"]), ir["graph"]
        if version.partition(".")[0] != MAJOR:
            raise Refused(1001, f"unsupported IR version {version}", expected=f"{MAJOR}.x", received=version)
        nodes = {_word(node["id"]): _node(node) for node in graph["nodes"]}
        into: dict[str, list[Mapping[str, Any]]] = {id_: [] for id_ in nodes}
        out: dict[str, list[Mapping[str, Any]]] = {id_: [] for id_ in nodes}
        for edge in graph["edges"]:
            if edge["on"] not in ("success", "failure"):
                raise Refused(1003, f"an edge is on {edge['on']!r}, neither success nor failure")
            out[edge["from"]].append(edge)
            into[edge["to"]].append(edge)
        flow = Flow(_integer(ir["flow"]["timeout_ms"]), nodes, into, out, _policy(ir.get("constants")))
        count = len(graph["nodes"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Refused(1003, f"invalid IR: {type(error).__name__} {error}") from None
    if not nodes or len(nodes) != count:
        raise Refused(1003, "invalid IR: it needs at least one node, and each an id of its own")
    missing = sorted({node["type"] for node in nodes.values()} - set(kinds) - CONTROL)
    if missing:
        raise Refused(1002, f"unsupported step kind {', '.join(missing)}", missing=missing)
    flow.order = _order(flow)
    return flow


def follow(flow: Flow, inputs: Mapping[str, Any], perform: Callable[[Mapping[str, Any], Any], Any]) -> State:
    """Perform what is due until nothing is. `perform(node, with_)` gives a result or raises StepFailed."""
    state = State(inputs)
    taken: dict[int, bool] = {}
    for id_ in flow.order:
        node, into, out = flow.nodes[id_], flow.into[id_], flow.out[id_]
        if into and not any(taken[id(edge)] for edge in into):
            state.skipped.append(id_)
            taken |= {id(edge): False for edge in out}
            continue
        try:
            label = _performed(node, state, perform, flow.policy)
        except StepFailed as failure:
            if not any(edge["on"] == "failure" for edge in out):
                raise
            error = {"code": "step_failed", "message": failure.message, "retryable": failure.retriable}
            state.steps[id_] = {"error": error}
            taken |= {id(edge): edge["on"] == "failure" for edge in out}
            continue
        for edge in out:
            taken[id(edge)] = edge["on"] == "success" and _selects(node, edge, label)
    return state


def resolve(value: Any, state: State) -> Any:
    """A value with its references looked up. What is not there is null."""
    if isinstance(value, dict):
        return {name: resolve(one, state) for name, one in value.items()}
    if isinstance(value, list):
        return [resolve(one, state) for one in value]
    if isinstance(value, str):
        root, _, path = value.strip().partition(".")
        if root == "$input" and path:
            return _look_up(state.inputs, path)
        if root == "$step" and path:
            return _look_up(state.steps, path)
    return value


def _performed(
    node: Mapping[str, Any],
    state: State,
    perform: Callable[[Mapping[str, Any], Any], Any],
    policy: Mapping[str, Any],
) -> str | None:
    """Perform one node; for a switch, the label that it came to."""
    if node["type"] == "switch":
        return _label(node["with"], state)
    if node["type"] != "finish":
        with_ = resolve(node["with"], state)
        result = perform(node, {**policy, **with_} if node["type"] == "policy.apply" else with_)
        state.steps[node["id"]] = state.current = result
        if node["type"] == "dsl.emit":
            state.outputs = result
    return None


def _label(with_: Mapping[str, Any], state: State) -> str:
    """The case that a switch takes. `$.vars.x` and `$.inputs.x` are the compiler's spellings of references."""
    key_from = str(with_.get("key_from"))
    for long, short in (("$.vars.", "$step."), ("$.inputs.", "$input.")):
        if key_from.startswith(long):
            key_from = short + key_from.removeprefix(long)
    key, cases, default = resolve(key_from, state), with_.get("cases") or {}, with_.get("default")
    if isinstance(key, float) and key.is_integer():
        key = int(key)  # JSON has one kind of number, and 80.0 is 80
    label = key if isinstance(key, str) else json.dumps(key)
    if label not in cases and default is None:
        known = ", ".join(sorted(cases))
        raise StepFailed(f"no case for {label!r}, and no default; cases are {known}", retriable=False)
    return label if label in cases else str(default)


def _selects(node: Mapping[str, Any], edge: Mapping[str, Any], label: str | None) -> bool:
    if label is None:
        return True
    if "case" in edge:
        return bool(edge["case"] == label)
    return bool((node["with"].get("cases") or {}).get(label) == edge["to"])


def _look_up(root: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(root, Mapping):
            return None
        root = root.get(part)
    return root


def _order(flow: Flow) -> list[str]:
    """Every node after all that lead to it; where that leaves a choice, in the order of the document."""
    names = list(flow.nodes)
    place = {name: number for number, name in enumerate(names)}
    left = [len(flow.into[name]) for name in names]
    due = [number for number, count in enumerate(left) if not count]  # sorted, and so a heap
    order: list[str] = []
    while due:
        order.append(names[heapq.heappop(due)])
        for edge in flow.out[order[-1]]:
            number = place[edge["to"]]
            left[number] -= 1
            if not left[number]:
                heapq.heappush(due, number)
    if len(order) < len(names):
        raise Refused(1003, f"invalid IR: {', '.join(sorted(set(names) - set(order)))} wait for one another")
    return order


def _node(node: Mapping[str, Any]) -> Mapping[str, Any]:
    _word(node["type"])
    if not isinstance(node["with"], dict):
        raise TypeError(f"`with` of {node['id']} is no object")
    for number in (node["timeout_ms"], node["retry"]["max"], node["retry"]["backoff_ms"]):
        _integer(number)
    return node


def _policy(constants: Any) -> dict[str, Any]:
    return {"policy": constants["policy"], "policy_id": constants["policyRef"]} if constants else {}


def _word(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no name")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise ValueError(f"{value!r} is no number between 0 and {MAX_INTEGER}")
    return value
