"""What is asked of child runs: the two requests, read and refused.

Knows nothing of runs. A target may be named by its op, its label, or from its own package: what is meant is the same,
and counts when two requests are compared.

Shapes:  see `run.child_runs`.
Errors:  as answers: child_run_request_invalid, child_run_undeclared.
Source:  seed 001, child runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flowbuild.core.action import Action
from flowbuild.core.errors import BadLabel
from flowbuild.core.ids import RunId, op_of, run_id
from flowbuild.core.label import Label, is_label, parse
from flowbuild.engine.transport import Refused, fields
from flowbuild.version import __version__

SPAWN, AWAIT = "machine.child_run.spawn", "machine.child_run.await"
INVALID = "child_run_request_invalid"
_TEXT, _MAP = (str, type(None)), (dict, type(None))
_SPAWN = {"op_id": (str,), "op_version": _TEXT, "op_config": _MAP, "input": _MAP, "run_config": _MAP}
_AWAIT = {"child_run_id": (str,), "child_manifest_id": (str,)}


class Spawn(NamedTuple):
    """A target, its parameters and the context that it begins with; `config` is the run configuration that is said."""

    label: Label
    params: dict[str, Any]
    initial: dict[str, Any]
    config: dict[str, Any]


def spawn(action: Action, request: Any) -> Spawn:
    """What a request to spawn asks for."""
    doc = fields(request, INVALID, "child_run_spawn_v1", {**_SPAWN, "initial_context": _MAP}, "op_id")
    if doc.get("op_version") not in (None, "", __version__):
        raise Refused(INVALID, f"op_version is {__version__} here, or null")
    config, given = doc.get("op_config") or {}, doc.get("input") or {}
    twice = sorted(config.keys() & given.keys())
    if twice:
        raise Refused(INVALID, f"{twice[0]!r} stands in op_config and in input")
    label = declared(doc["op_id"], action)
    return Spawn(label, {**config, **given}, doc.get("initial_context") or {}, doc.get("run_config") or {})


def awaited(request: Any) -> Mapping[str, Any]:
    """The `child_run_id` and the `child_manifest_id` of a request to await."""
    doc = fields(request, INVALID, "child_run_await_v1", _AWAIT, *_AWAIT)
    return {name: doc[name] for name in _AWAIT}


def meant(action: Action, namespace: str, request: Any) -> Any:
    """What of a request counts, whatever it is asked of."""
    if namespace == SPAWN:
        asked = spawn(action, request)
        return {"target": str(asked.label), "params": asked.params, "initial_context": asked.initial}
    return awaited(request) if namespace == AWAIT else request


def declared(text: str, action: Action) -> Label:
    """The target that a text names, as a label or as an op, if the action may spawn it."""
    known = {op_of(label): label for label in map(parse, action.doc.get("spawns") or {})}
    try:
        found = parse(text, action.package) if is_label(text) else known.get(text)  # type: ignore[call-overload]
    except BadLabel as error:
        raise Refused(INVALID, error.message) from None
    if found not in known.values():
        raise Refused("child_run_undeclared", f"{text!r} is none of what {action.label} may spawn; add it to `spawns`")
    return found


def named(text: str) -> RunId:
    """The id of a run that a text is."""
    try:
        return run_id(text)
    except BadLabel as error:
        raise Refused(INVALID, error.message) from None
