"""What is wrong with the attributes of a flow: every fault at once, each with its place.

Knows nothing of YAML positions: faults point into the attributes by a path of keys.

Errors:  none: faults are values, and the caller locates and raises them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from flowbuild.core.reference import references
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.evidence_faults import Fault
from flowbuild.graph.flow_inputs import fits
from flowbuild.graph.flow_order import circle, comes_before
from flowbuild.graph.step import CONTROL, RESERVED
from flowbuild.load.attributes import expressions

NAME = re.compile(r"[A-Za-z0-9_.-]+")
LARGEST = 2**31 - 1

_STEP = ("type", "doc", "with", "timeout_ms", "retry", "next", "on_failure")
_SWITCH = ("type", "doc", "key", "cases", "default", "on_failure")
_FINISH = ("type", "doc")
_INPUT = ("type", "default", "doc")

Steps = Mapping[str, Any]


def flow_faults(attrs: Mapping[str, Any]) -> list[Fault]:
    """Everything wrong with a flow."""
    faults = [*_top_faults(attrs), *_input_faults(attrs["inputs"], attrs["files"]), *_late_faults(attrs)]
    steps: Steps = attrs["steps"]
    if not steps:
        return [*faults, Fault(("steps",), "a flow has at least one step")]
    shapes = [fault for name, step in steps.items() for fault in _step_faults(("steps", name), name, step)]
    if shapes:
        return [*faults, *shapes]  # edges of steps that can't be read say nothing
    inputs = {**attrs["inputs"], **attrs["files"]}
    return [*faults, *(list(_edge_faults(steps)) or [*_order_faults(steps), *_reference_faults(steps, inputs)])]


def _top_faults(attrs: Mapping[str, Any]) -> Iterator[Fault]:
    if attrs["flow"] is not None and not NAME.fullmatch(attrs["flow"]):
        yield Fault(("flow",), f"{attrs['flow']!r} is not a flow's name", "letters, digits, '_', '.' and '-'")
    yield from _number_faults((), attrs, ("timeout_ms",))
    for name, policy in attrs["policies"].items():
        if not NAME.fullmatch(name):
            yield Fault(("policies", name), f"{name!r} is not a policy's name", "letters, digits, '_', '.' and '-'")
        if not isinstance(policy, Mapping):
            yield Fault(("policies", name), "a policy is a mapping")
    if attrs["policy"] is not None and attrs["policy"] not in attrs["policies"]:
        remedy = did_you_mean(attrs["policy"], attrs["policies"])
        yield Fault(("policy",), f"`policies` has no {attrs['policy']!r}", remedy)
    if attrs["policy"] is None and len(attrs["policies"]) > 1:
        yield Fault(("policies",), "there are several policies", "say which one the steps apply: `policy: name`")
    for kind in attrs["handlers"]:
        if kind in CONTROL | RESERVED:
            yield Fault(("handlers", kind), f"{kind!r} is ours, and takes no handler")


def _late_faults(attrs: Mapping[str, Any]) -> Iterator[Fault]:
    """Expressions that wait for paths, which a flow has none of."""
    for key in ("inputs", "policies", "triggers", "steps"):
        for at, text in expressions(attrs[key], (key,)):
            yield Fault(at, f"{text!r} has no value in a flow", "a flow's own inputs are $input.name")


def _input_faults(inputs: Mapping[str, Any], files: Collection[str]) -> Iterator[Fault]:
    for name, spec in inputs.items():
        if name in files:
            yield Fault(
                ("inputs", name), f"the input {name!r} is read from a file: it stands in `files`", "remove it here"
            )
        if isinstance(spec, str):
            continue
        if not isinstance(spec, Mapping) or not isinstance(spec.get("type"), str):
            yield Fault(("inputs", name), "an input is a type, or a mapping such as {type: string, default: x}")
        else:
            yield from _unknown(("inputs", name), spec, _INPUT)
            default = spec.get("default")
            if default is not None and not fits(default, spec["type"]):
                yield Fault(
                    ("inputs", name, "default"), f"the input {name!r} is {spec['type']}, and its default is not"
                )


def _step_faults(at: tuple[str, ...], name: str, step: Any) -> Iterator[Fault]:
    if not NAME.fullmatch(name):
        yield Fault(at, f"{name!r} is not a step's name", "letters, digits, '_', '.' and '-'")
    if "." in name:
        yield Fault(at, f"{name!r}: a reference would end at the dot", "use '_' or '-'")
    if not isinstance(step, Mapping) or not isinstance(step.get("type"), str) or not step["type"]:
        yield Fault(at, "a step is a mapping with a `type`, such as {type: opcua.read, with: {}, next: other}")
        return
    kind = step["type"]
    yield from _unknown(at, step, {"switch": _SWITCH, "finish": _FINISH}.get(kind, _STEP))
    if kind in RESERVED:
        yield Fault((*at, "type"), f"{kind!r} is no step kind")
    if not isinstance(step.get("with", {}), Mapping):
        yield Fault((*at, "with"), "`with` is a mapping")
    if kind == "switch":
        yield from _switch_faults(at, step)
    yield from _number_faults(at, step, ("timeout_ms",))
    retry = step.get("retry", {})
    if not isinstance(retry, Mapping):
        yield Fault((*at, "retry"), "`retry` is a mapping such as {max: 2, backoff_ms: 100}")
    else:
        yield from _unknown((*at, "retry"), retry, ("max", "backoff_ms"))
        yield from _number_faults((*at, "retry"), retry, ("max", "backoff_ms"))
    for key in ("next", "on_failure"):
        value = step.get(key, [])
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            yield Fault((*at, key), f"`{key}` is a step, or a list of steps")


def _switch_faults(at: tuple[str, ...], step: Mapping[str, Any]) -> Iterator[Fault]:
    key, cases, default = step.get("key"), step.get("cases"), step.get("default")
    if not isinstance(key, str) or not any(True for _ in references(key)):
        yield Fault((*at, "key") if "key" in step else at, "a switch needs `key`, a reference such as $step.read.level")
    if not isinstance(cases, Mapping) or not cases or not all(isinstance(to, str) for to in cases.values()):
        yield Fault((*at, "cases") if "cases" in step else at, "a switch needs `cases`: values to steps")
    if default is not None and not isinstance(default, str):
        yield Fault((*at, "default"), "`default` is a step")


def _number_faults(at: tuple[str, ...], entry: Mapping[str, Any], keys: Collection[str]) -> Iterator[Fault]:
    for key in keys:
        value = entry.get(key, 0)
        if type(value) is not int or not 0 <= value <= LARGEST:
            yield Fault((*at, key), f"`{key}` is a whole number from 0 to {LARGEST}")


def _unknown(at: tuple[str, ...], entry: Mapping[str, Any], known: Collection[str]) -> Iterator[Fault]:
    for key in entry:
        if key not in known:
            yield Fault((*at, key), f"unknown key {key!r}", did_you_mean(str(key), known))


def leads_to(steps: Steps) -> Iterator[tuple[str, str, tuple[str | int, ...]]]:
    """Every edge: from, to, and its place."""
    for name, step in steps.items():
        for case, to in (step.get("cases") or {}).items():
            yield name, to, ("steps", name, "cases", case)
        for key in ("default", "next", "on_failure"):
            value = step.get(key)
            if isinstance(value, str):
                yield name, value, ("steps", name, key)
            for index, to in enumerate(value if isinstance(value, list) else ()):
                yield name, to, ("steps", name, key, index)


def _edge_faults(steps: Steps) -> Iterator[Fault]:
    for _, to, at in leads_to(steps):
        if to not in steps:
            yield Fault(at, f"there is no step {to!r}", did_you_mean(to, steps))


def _order_faults(steps: Steps) -> Iterator[Fault]:
    edges = [(one, two) for one, two, _ in leads_to(steps)]
    found = circle(steps, edges)
    if found:
        at = next(at for one, two, at in leads_to(steps) if (one, two) == (found[-2], found[-1]))
        yield Fault(at, f"these steps lead in a circle: {' -> '.join(found)}", "a flow has an end; `retry` tries again")
        return
    reached = {two for _, two in edges}
    for name in list(steps)[1:]:
        if name not in reached:
            yield Fault(
                ("steps", name), f"nothing leads to {name!r}", "the first step begins; name this one in a `next`"
            )


def _reference_faults(steps: Steps, inputs: Mapping[str, Any]) -> Iterator[Fault]:
    edges = [(one, two) for one, two, _ in leads_to(steps)]
    if circle(steps, edges):
        return
    for name, step in steps.items():
        for key in ("with", "key"):
            for found, at in references(step.get(key), ("steps", name, key)):
                if found.kind == "input" and found.name not in inputs:
                    yield Fault(at, f"the flow has no input {found.name!r}", did_you_mean(found.name, inputs))
                elif found.kind == "step" and not comes_before(found.name, name, edges):
                    near = did_you_mean(found.name, steps.keys() - {name}) if found.name not in steps else ""
                    said = f"{found.name!r} does not come before {name!r}" if found.name in steps else ""
                    yield Fault(at, said or f"there is no step {found.name!r}", near)
