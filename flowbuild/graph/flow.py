"""A flow target as a Flow IR document, and that as states: nodes in the order of its steps, edges in that of its nodes.

Knows nothing of engines. Building, compiling and running all begin with the document, so they can't mean different
flows.

Shapes:  Flow IR 1.0.0 without its metadata; see docs/formats/flow-ir.md.
Errors:  what `flow_faults` finds, all at once, each with its place.
Source:  seed 000; CONTRACTS, 000.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flowbuild.core.errors import BadAttribute, FlowError, raise_all
from flowbuild.core.reference import STEP, VARS
from flowbuild.graph.code import code_of
from flowbuild.graph.flow_faults import flow_faults
from flowbuild.graph.flow_inputs import values
from flowbuild.graph.flow_states import flow_states
from flowbuild.graph.scope import Scope, as_input
from flowbuild.graph.state import Built, Code, File, State
from flowbuild.graph.step import RESULT
from flowbuild.graph.template import resolve_attributes

VERSION = "1.0.0"
NO_POLICY = "none"
DEFAULT = "_DEFAULT"  # the case of a switch that its default is

_ODD = re.compile(r"[^A-Za-z0-9_.-]+")


def flow_built(scope: Scope) -> Built:
    """A flow target as states."""
    ir = document(scope)
    files = {name: _read(scope, name, file) for name, file in scope.attr["files"].items()}
    inputs = {name: value for name, value in values(ir["inputs_schema"], {}).items() if name not in files}
    for state in flow_states(ir, inputs, scope.target.label, codes(scope, ir), len(scope.states), files):
        scope.add(replace(state, tags=scope.target.tags))
    return scope.finish({"result": as_input(scope.product(scope.own[-1], "result"))})


def _read(scope: Scope, name: str, file: Any) -> int:
    """The state that reads an input from a JSON file."""
    if not isinstance(file, File) or file.item.path.endswith("/"):
        raise scope.fault(BadAttribute(f"the input {name!r} is read from one file"), "files", name)
    declared = {RESULT: f"files/{name}.json"}
    return scope.add(
        State(
            id=scope.state_id("file", name),
            label=scope.target.label,
            kind="read",
            package=scope.package,
            with_={},
            inputs={"file": as_input(file)},
            declared=declared,
            outputs=scope.place(declared),
            title=f"{name}: read",
            tags=scope.target.tags,
        )
    )


def codes(scope: Scope, ir: Mapping[str, Any]) -> dict[str, Code]:
    """The handlers of a document's nodes: those of the target, else those of the workspace."""
    handlers = {**scope.catalog.workspace.config.handlers, **scope.attr.get("handlers", {})}
    modules = scope.attr.get("modules") or []
    return {
        node["id"]: code_of(scope, handlers[node["type"]], modules, list(node["with"]))
        for node in ir["graph"]["nodes"]
        if node["type"] in handlers
    }


def document(scope: Scope) -> dict[str, Any]:
    """The Flow IR of a target, without metadata."""
    resolve_attributes(scope)
    attrs = scope.attr
    faults: list[FlowError] = []
    for fault in flow_faults(attrs):
        faults.append(scope.fault(BadAttribute(fault.message, remedy=fault.remedy), *fault.pointer))
    raise_all(faults)
    policies: Mapping[str, Any] = attrs["policies"]
    chosen = attrs["policy"] or (next(iter(policies)) if len(policies) == 1 else None)
    steps: Mapping[str, Any] = attrs["steps"]
    return {
        "version": VERSION,
        "flow": {
            "name": attrs["flow"] or _ODD.sub("-", scope.target.label.name).strip("-") or "flow",
            "timeout_ms": attrs["timeout_ms"],
        },
        "constants": {"policyRef": chosen or NO_POLICY, "policy": dict(policies[chosen]) if chosen else {}},
        "inputs_schema": {name: _input(spec) for name, spec in attrs["inputs"].items()}
        | {name: {"type": "json"} for name in attrs["files"]},
        "graph": {
            "nodes": [_node(name, step) for name, step in steps.items()],
            "edges": [edge for name, step in steps.items() for edge in _edges(name, step)],
        },
    }


def _input(spec: Any) -> dict[str, Any]:
    return {"type": spec} if isinstance(spec, str) else dict(spec)


def _node(name: str, step: Mapping[str, Any]) -> dict[str, Any]:
    retry = step.get("retry") or {}
    return {
        "id": name,
        "type": step["type"],
        "with": _switch(step) if step["type"] == "switch" else dict(step.get("with") or {}),
        "timeout_ms": step.get("timeout_ms", 0),
        "retry": {"max": retry.get("max", 0), "backoff_ms": retry.get("backoff_ms", 0)},
    }


def _switch(step: Mapping[str, Any]) -> dict[str, Any]:
    key, default = step["key"], step.get("default")
    return {
        "key_from": VARS + key.removeprefix(STEP) if key.startswith(STEP) else key,
        "cases": {**step["cases"], **({DEFAULT: default} if default else {})},
        "default": DEFAULT if default else None,
    }


def _edges(name: str, step: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if step["type"] == "switch":
        for case, to in _switch(step)["cases"].items():
            yield {"from": name, "to": to, "on": "success", "case": case}
    for key, on in (("next", "success"), ("on_failure", "failure")):
        for to in named(step.get(key)):
            yield {"from": name, "to": to, "on": on}


def named(value: Any) -> list[str]:
    """The steps that an edge's value names: one, several or none."""
    return [value] if isinstance(value, str) else list(value or ())
