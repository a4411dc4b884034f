"""Steps of a flow, in process: the kinds that ship, those that say which way a flow goes, and handlers of one's own.

Knows nothing of graphs: what a step refers to has been put in its `with`. A kind that ships is a pure function from
`with` to a JSON object; a kind of one's own is a handler, called in a worker with `with` as its arguments.

Shapes:  one output, the result, as canonical JSON: so every engine that comes to the same result comes to the same
         bytes. Outcome codes: `no_case` of a switch, and those of `worker`.
Source:  seed 000, the four demonstration kinds; CONTRACTS, 000.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from posixpath import relpath
from typing import Any

from flowbuild.core import demonstration
from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.engine.engine import Io, Performance
from flowbuild.engine.worker import Workers

With = Mapping[str, Any]


class NoCase(Exception):
    """The key of a switch has no case."""


def perform(action: Action, io: Io, workers: Workers) -> Performance:
    """Come to the result of one step."""
    if action.handler is not None:
        return workers.perform(_call(action), io)
    return _inline(action, io)


def _inline(action: Action, io: Io) -> Performance:
    yield from ()
    try:
        result = KINDS[action.kind](action.with_)
    except NoCase as error:
        return Outcome(error=ErrorInfo("no_case", str(error)))
    (name,) = action.outputs
    return Outcome({name: io.keep(canonical(result))})


def _call(action: Action) -> Action:
    """The same step as a call of its handler."""
    (path,) = action.outputs.values()
    arguments = {name: {"value": value} for name, value in action.with_.items()}
    returns = relpath(f"/{path}", f"/{action.package}")
    with_ = {**(action.handler or {}), "arguments": arguments, "returns": returns}
    return replace(action, doc={**action.doc, "step_kind": "python", "with": with_})


def _task(with_: With) -> dict[str, Any]:
    return {"args": dict(with_), "target": "task"}


def _switch(with_: With) -> dict[str, Any]:
    cases, key, default = with_.get("cases") or {}, with_.get("key"), with_.get("default")
    chosen = key if key in cases else default
    if chosen is None:
        raise NoCase(f"no case for {key!r}, and no default; cases are {', '.join(sorted(cases))}")
    return {"case": chosen, "next": cases.get(chosen)}


def _flow(with_: With) -> dict[str, Any]:
    """What a flow came to: the results of the steps that ran, and what they emitted."""
    steps = {name: result for name, result in with_["steps"].items() if result is not None}
    outputs: dict[str, Any] = {}
    for name in with_["emits"]:
        outputs |= steps.get(name, {})
    return {"flow": with_["flow"], "inputs": with_["inputs"], "outputs": outputs, "steps": steps}


# A test asserts that every kind here is one that the engine says it has.
KINDS: Mapping[str, Callable[[With], dict[str, Any]]] = {
    **demonstration.KINDS,
    "finish": lambda with_: {},
    "flow": _flow,
    "switch": _switch,
    "task": _task,
}
