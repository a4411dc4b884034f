"""The runs that handlers spawn: a target lowered anew with its own parameters, as a run of the same command.

Knows nothing of who asks, or of order. A `run` target commits its bundle, where any run of it does; of anything else a
journal is left. Neither moves LATEST: nobody asked for just this.

Errors:  UserError for a parameter or a context key that the target has not; RunStale for a killed one whose work is
         not what it was; Refused (child_run_conflict, child_run_unknown) for another one under the same id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbuild.bundle import layout
from flowbuild.bundle.experiment import Draft, Experiment
from flowbuild.bundle.pipeline import Pipeline
from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import BadAttribute, UnknownName
from flowbuild.core.event import RunStatus
from flowbuild.core.label import Label
from flowbuild.core.suggest import did_you_mean
from flowbuild.engine.engine import Wait
from flowbuild.engine.transport import Refused
from flowbuild.graph.lower import Setting, lower, needs
from flowbuild.graph.state import StateGraph
from flowbuild.run.child_runs import Birth, End
from flowbuild.run.context import snapshot_of
from flowbuild.run.manifest import Asked
from flowbuild.run.policy import Policy
from flowbuild.run.result import Continue, Result
from flowbuild.run.run import Run
from flowbuild.run.start import started
from flowbuild.run.story import Story, story
from flowbuild.store.files import ensure_directory, remove_tree
from flowbuild.store.journal import read

if TYPE_CHECKING:
    from flowbuild.front.build import Build


class ChildRun:
    """One such run: see `run.child_runs.Offspring`."""

    def __init__(self, build: Build, birth: Birth) -> None:
        self._build = build
        self._session = build.session
        self._label = birth.label
        self.end: End | None = None
        self.manifest_id: Digest
        self.initial_snapshot_id: Digest
        graph = lower(build.catalog, [birth.label], list(_settings(build, birth)))
        built = graph.targets[birth.label]
        self._draft: Draft | Pipeline | None = None
        if built.bundle is not None:
            out_root = build.workspace.root / (build.request.out or "out") / birth.label.directory
            self._place = out_root / birth.run_id
            self._draft, numbers = self._drafted(graph, out_root, birth)
        else:
            self._place, numbers = self._session.run_directory(birth.run_id), graph.closure([birth.label])
        self._start = build.start_of(
            Asked(built.op, str(birth.label), built.params, birth.config, birth.parent), graph, numbers
        )
        told = self._told(birth)
        self.is_new = told is None
        birth = birth._replace(initial=birth.initial or {})
        if told is not None:
            birth = birth._replace(
                initial=snapshot_of(self._session.cas.read(self.initial_snapshot_id), self.initial_snapshot_id)
            )
            if isinstance(self._draft, Pipeline) and self.end is None:
                self._draft.reopen()
        else:
            _check_initial(birth, graph, numbers)
            self.manifest_id = self._start.manifest_id
            self.initial_snapshot_id = sha256(canonical(birth.initial))
        if self.end is None:
            self._run = self._new(graph, numbers, birth, told)
            self._run.check()
            self._session.cas.put(self._start.manifest)  # now that it is known to hold no secret
            self._session.cas.put(canonical(birth.initial))
            self._steps = self._run.events()

    def _drafted(self, graph: StateGraph, out_root: Path, birth: Birth) -> tuple[Draft | Pipeline, list[int]]:
        built = graph.targets[birth.label]
        if "targets" in (built.bundle or {}):
            draft = Pipeline(self._session, graph, built, out_root, birth.run_id)
            return draft, graph.closure((built.bundle or {})["targets"])
        experiment = Experiment(self._session)  # the filters of a request are for what was asked for
        experiment.preflight = self._build.experiment.preflight
        return Draft(experiment, graph, built, out_root, birth.run_id), experiment.numbers(graph, built)

    def _new(self, graph: StateGraph, numbers: list[int], birth: Birth, told: Story | None) -> Run:
        request = self._build.request
        return Run(
            self._session,
            graph,
            numbers,
            self._start,
            birth.run_id,
            self._begin,
            policy=Policy(request.policy),
            forced=self._build.forced,
            keep_going=Continue(request.keep_going),
            flushes=request.durability != "none",
            story=told,
            journal=self._place / layout.JOURNAL if told else None,
            nursery=lambda inner: ChildRun(self._build, inner),
            birth=birth,
        )

    def _begin(self) -> Path:
        if self._draft is not None:
            return self._draft.begin()
        ensure_directory(self._place)
        return self._place

    def _told(self, birth: Birth) -> Story | None:
        """What a journal that is there already says; None for a run that has yet to begin."""
        journal = self._place / layout.JOURNAL
        events = list(read(journal)) if journal.is_file() else []
        ended = events[-1]["event"].get("Kernel", {}).get("RunCompleted") if events else None
        if self._draft is not None and not (self._place / layout.INDEX).exists():
            ended = None  # killed before it was committed: it goes on to that
        if not events or (ended is None and isinstance(self._draft, Draft)):  # which asks nobody, and is begun again
            if birth.initial is None:
                raise Refused("child_run_unknown", f"the journal of {birth.run_id} is gone")
            if self._place.exists():
                remove_tree(self._place)
            return None
        told, began = story(events), events[0]["event"]["Kernel"]["RunStarted"]
        self.initial_snapshot_id = began["initial_snapshot_id"]
        known = started(told, self._session.cas, self._start.op)
        self.manifest_id = known.manifest_id
        is_same = birth.initial is None or sha256(canonical(birth.initial)) == self.initial_snapshot_id
        if known.doc["input_params"] != self._start.doc["input_params"] or not is_same:
            message = f"the fact key {birth.parent['fact_key']!r} was used for another child run"
            raise Refused("child_run_conflict", message, "Storage")
        self._start = known
        if ended is not None:
            self.end = End(ended["status"], ended["final_snapshot_id"])
        return told

    def step(self) -> Wait | None:
        """Go on a little. The journal is there as soon as anybody hears of the run."""
        try:
            next(self._steps)
        except StopIteration as stop:
            self._finish(stop.value)
            return None
        self._run.record.begin()
        return self._run.waiting or Wait((), 0.0)

    def stop(self) -> None:
        """Cancel the run: what is under way is closed, and told."""
        self._run.stop()
        while self.step() is not None:
            pass

    def _finish(self, result: Result) -> None:
        if self._draft is not None:
            policy = Policy(self._build.request.policy)
            committed = self._draft.finish(self._run, result, policy, self._build.durability)
            if committed.warning:
                self._build.console.error(f"flowbuild: {committed.warning}")
        else:
            self._run.complete()
        if self._run.desk.memory.forgot:
            self._session.rows.spoil()
        status = RunStatus.CANCELLED if result.signal else RunStatus.COMPLETED if result.ok else RunStatus.FAILED
        self.end = End(status, self._run.desk.contexts.final(result.products))
        self._build.console.line(f"  child    {self._label}  run {self._run.run_id[:8]}  {status}")


def _settings(build: Build, birth: Birth) -> Iterator[Setting]:
    """The parameters of a child and of what it needs: those of the command, and its own."""
    catalog = build.catalog
    below: dict[Label, None] = {}
    todo = [birth.label]
    while todo:
        label = todo.pop()
        if label not in below:
            below[label] = None
            todo += [need for need, _ in needs(catalog, catalog.target(label))]
    for label in below:
        params = catalog.target(label).params
        for name, value in birth.graph.targets[label].params.items():
            if value != params[name].default:
                yield label, name, _text(name, value)
    known = catalog.target(birth.label).params
    for name, value in birth.params.items():
        if name not in known:
            raise UnknownName(f"it has no parameter {name!r}", remedy=did_you_mean(name, known))
        yield birth.label, name, _text(name, value)


def _text(name: str, value: Any) -> str:
    """A value as the command line would say it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        raise BadAttribute(f"the parameter {name!r} is a plain value")
    return json.dumps(value)


def _check_initial(birth: Birth, graph: StateGraph, numbers: list[int]) -> None:
    """Refuse keys that no state of the run begins with."""
    known = {key for number in numbers for key in graph.states[number].initial}
    strange = next((key for key in birth.initial or {} if key not in known), None)
    if strange is not None:
        remedy = did_you_mean(strange, known) or "a target names it in `initial`"
        raise UnknownName(f"no state of it begins with the context key {strange!r}", remedy=remedy)
