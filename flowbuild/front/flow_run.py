"""Running a compiled flow by its name: from a manifest, in process or in an executor, to a result of seed 000's shape.

Knows nothing of how a flow was compiled. In process, the document becomes the states that its target would become, and
they are performed as in a build; an executor of REP gets the whole document as one action, and its retries are its own.
Nothing is reused: whoever runs a flow by hand wants to see it run.

Shapes:  RunResult. An event of a step is {"type": "step", "timestamp", "step_id", "state"}, with the state `started`,
         `succeeded`, `failed` or `skipped`; an executor's events are its own.
Errors:  those of `flow_ir`; BadFlow for inputs; CapabilitiesMismatch and EngineError of the engine.
Source:  seed 000, sections 4 and 5.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowbuild.core.errors import UnknownTarget, UserError
from flowbuild.core.event import Domain, Event, StateCompleted, StateEntered, StateFailed, StateStatus
from flowbuild.core.ids import new_run_id, op_of
from flowbuild.core.label import Label, is_label, parse
from flowbuild.front.arguments import Request
from flowbuild.front.run_config import run_config
from flowbuild.front.runtime import open_steps
from flowbuild.graph.flow import codes
from flowbuild.graph.flow_inputs import values
from flowbuild.graph.flow_ir import read_flow
from flowbuild.graph.flow_states import flow_states, whole
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import State, StateGraph
from flowbuild.graph.step import RESULT
from flowbuild.load.catalog import Catalog
from flowbuild.load.package import Target
from flowbuild.load.workspace import find_root
from flowbuild.run.manifest import Asked
from flowbuild.run.policy import Policy
from flowbuild.run.result import Result
from flowbuild.run.run import Run
from flowbuild.run.session import Session
from flowbuild.run.start import start_run
from flowbuild.store.files import ensure_directory


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a flow ended: `completed` or `failed`, what it came to, what happened, and the count of it."""

    status: str
    state: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    signal: int | None = None

    def doc(self, flow: str, **more: Any) -> dict[str, Any]:
        """What a command prints of it."""
        return {"flow": flow, **more, "status": self.status, "summary": self.summary, "events": list(self.events)}


def run_ir_flow(
    flow_name: str,
    *,
    manifest_path: str | os.PathLike[str],
    inputs: Mapping[str, Any] | None = None,
    engine: str | None = None,
    executor_path: str | None = None,
) -> RunResult:
    """Run a compiled flow that a manifest names, with this engine or that of the workspace it lies in."""
    path = Path(manifest_path)
    ir = read_flow(path, flow_name)
    request = Request("ir", engine=engine, executor_path=executor_path)
    with opened(path.resolve().parent) as session:
        open_steps(session, Path.cwd(), request)
        return run(session, ir, inputs or {})


@contextmanager
def opened(*starts: Path) -> Iterator[Session]:
    """A session in the workspace of the first of these directories that lies in one, else in an empty one."""
    for start in starts:
        try:
            root = find_root(start)
        except UserError:
            continue
        with Session(root, world=dict) as session:
            yield session
            return
    with tempfile.TemporaryDirectory(prefix="flowbuild-") as made:
        Path(made, "flowbuild.yaml").touch()
        with Session(Path(made), world=dict) as session:
            yield session


def run(session: Session, ir: Mapping[str, Any], given: Mapping[str, Any]) -> RunResult:
    """Run a checked document. Inputs that are not given have their default, else null."""
    inputs = values(ir["inputs_schema"], given)
    label = Label("", ir["flow"]["name"])
    has_executor = bool(session.executor)
    states = [whole(ir, inputs, label)] if has_executor else _states(session, ir, inputs, label)
    graph, numbers = StateGraph(tuple(states), {}), range(len(states))
    run_id = new_run_id()
    directory = session.run_directory(run_id)
    config = run_config(Request(policy="live"), session.workspace.config.run)
    start = start_run(Asked(op_of(label), str(label), {}, config), session.channel, Policy.LIVE)
    work = Run(session, graph, numbers, start, run_id, lambda: ensure_directory(directory), policy=Policy.LIVE)
    told = Told(states)
    steps = work.events()
    while True:
        try:
            told.take(next(steps))
        except StopIteration as end:
            result: Result = end.value
            break
    work.complete()
    documents: dict[str, Any] = {
        states[number].id: json.loads(session.cas.read(outputs[RESULT].sha256))
        for number, outputs in result.products.items()
        if RESULT in outputs
    }
    if has_executor:
        return _told_by_executor(states[0], result, documents, told, inputs)
    return _result(states, result, documents, told, inputs, run_id)


def _told_by_executor(
    state: State, result: Result, documents: Mapping[str, Any], told: Told, inputs: Mapping[str, Any]
) -> RunResult:
    """What an executor said of a whole flow."""
    summary = dict(documents.get(state.id, {}).get("summary") or {})
    for error in result.errors.values():
        details = error.details if isinstance(error.details, Mapping) else {}
        summary = {**(details.get("summary") or {}), "error": error.message}
    found = {"inputs": inputs, **(summary.pop("state", None) or {})}
    return RunResult("completed" if result.ok else "failed", found, tuple(told.events), summary, result.signal)


def _states(session: Session, ir: Mapping[str, Any], inputs: Mapping[str, Any], label: Label) -> list[State]:
    catalog = Catalog(session.workspace, session.seen, session.parsed, session.distributions)
    return flow_states(ir, inputs, label, codes(_scope(catalog, ir, label), ir))


def _scope(catalog: Catalog, ir: Mapping[str, Any], label: Label) -> Scope:
    """Where handlers come from: the target that the document was compiled from, if it is one of this workspace."""
    named = ir["metadata"].get("target")
    if isinstance(named, str) and is_label(named):
        try:
            target = catalog.target(parse(named))
            attr: dict[str, Any] = {"handlers": target.attrs.get("handlers") or {}, "modules": []}
            scope = Scope(catalog, target, catalog.rules[target.rule], {}, [], {}, attr)
            scope.attr["modules"] = scope.files(target.attrs.get("modules") or [], "modules")
            return scope
        except UnknownTarget:
            pass
    nobody = Target(label, "flow", {}, {}, "", (), "flowbuild.yaml", ())
    return Scope(catalog, nobody, catalog.rules["flow"], {}, [], {})


class Told:
    """The events of a run in seed 000's shapes."""

    def __init__(self, states: list[State]) -> None:
        self._names: dict[str, str] = {
            state.id: state.step.name for state in states if state.step is not None and state.step.name
        }
        self._caught: set[str] = set()
        self.events: list[dict[str, Any]] = []

    def take(self, events: list[Event]) -> None:
        """Add what happened."""
        for event in events:
            if isinstance(event, StateEntered):
                self._tell(event.state_id, "started")
            elif isinstance(event, StateFailed):
                self._tell(event.state_id, "failed", message=event.error["info"]["message"])
            elif isinstance(event, StateCompleted) and event.state_id not in self._caught:
                self._tell(event.state_id, "succeeded")
            elif isinstance(event, Domain):
                self._take_domain(event)

    def _take_domain(self, event: Domain) -> None:
        if event.name == "executor_event":
            self.events.append(dict(event.payload["event"]))
        elif event.name == "skipped":
            self._tell(event.payload["state_id"], "skipped")
        elif event.name == "step_failed":
            self._caught.add(event.payload["state_id"])
            self._tell(event.payload["state_id"], "failed", message=event.payload["error"]["message"])

    def _tell(self, state_id: str, state: str, **more: Any) -> None:
        if state_id in self._names:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            found = {"type": "step", "timestamp": now, "step_id": self._names[state_id], "state": state}
            self.events.append({**found, **more})


def _result(
    states: list[State],
    result: Result,
    documents: Mapping[str, Any],
    told: Told,
    inputs: Mapping[str, Any],
    run_id: str,
) -> RunResult:
    *steps, last = states
    done = {state.step.name: documents[state.id] for state in steps if state.step and state.id in documents}
    state = documents.get(last.id) or {"inputs": inputs, "outputs": {}, "steps": done}
    numbers = range(len(steps))
    failed = [n for n in numbers if n in result.errors or (n in result.products and RESULT not in result.products[n])]
    summary: dict[str, Any] = {
        "run_id": run_id,
        "completed_steps": len(done),
        "failed_steps": len(failed),
        "skipped_steps": sum(result.status[number] is StateStatus.SKIPPED for number in numbers),
    }
    if result.errors:
        summary["error"] = next(iter(result.errors.values())).message
    return RunResult("completed" if result.ok else "failed", state, tuple(told.events), summary, result.signal)
