"""Build: a request from its words to its exit code. The middle of the main road.

Knows nothing of how anything is performed, stored or printed; it puts the floors together.

Approach: read what is asked for and lower it to one graph. Every `run` target asked for is a run of its own, with a
journal and a bundle; all other targets are one run together. They share the session, so a state is performed once.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from flowbuild.bundle.commit import Durability
from flowbuild.bundle.experiment import Committed, Draft, Experiment
from flowbuild.bundle.layout import LATEST, SUMMARY_TEXT, latest
from flowbuild.bundle.pipeline import Pipeline
from flowbuild.core.errors import BadFlag, DiskRefused
from flowbuild.core.ids import OpId, RunId, new_run_id, op_of
from flowbuild.core.label import Label, parse
from flowbuild.core.run_config import RunConfig
from flowbuild.front import github
from flowbuild.front.arguments import Request, is_provable, key
from flowbuild.front.arguments import place as arguments_place
from flowbuild.front.child import ChildRun
from flowbuild.front.console import Console, console
from flowbuild.front.fold import make_folds
from flowbuild.front.later import check_host
from flowbuild.front.lowering import Lowering
from flowbuild.front.report import MOST, Made, Report
from flowbuild.front.resume import going_on
from flowbuild.front.run_config import check_tags, run_config
from flowbuild.front.runtime import open_steps
from flowbuild.front.settings import written
from flowbuild.front.tally import Tally
from flowbuild.front.verify import before, compare
from flowbuild.graph.state import StateGraph
from flowbuild.load.catalog import Catalog
from flowbuild.load.workspace import find_root
from flowbuild.run.channel import resolve
from flowbuild.run.explain import Verdict
from flowbuild.run.manifest import Asked
from flowbuild.run.policy import Policy
from flowbuild.run.remark import remarks
from flowbuild.run.result import Continue, Result, blocked_by
from flowbuild.run.run import Run
from flowbuild.run.session import Session
from flowbuild.run.shown import show, shown_paths
from flowbuild.run.start import StartRun, start_run, started
from flowbuild.run.unfinished import Going
from flowbuild.run.why import Why
from flowbuild.store.files import ensure_directory
from flowbuild.store.rows import write

TICK_S = 0.2  # how often the live line is drawn anew


class Build:
    """One request at work in one workspace: a context that opens the session and closes it."""

    def __init__(self, request: Request, console: Console) -> None:
        request.channel = resolve(request.channel).value
        self.request = request
        self.console = console
        self.start = start(request.directory)
        root = find_root(self.start)
        self.session = Session(
            root, saves=request.policy != Policy.DRY, channel=request.channel, world=lambda: self.experiment.world()
        )
        self.workspace = self.session.workspace
        open_steps(self.session, self.start, request)
        self.experiment = Experiment(self.session, request.only_profile, request.only_scenario)
        looks = self.session.looks()
        self.catalog = Catalog(self.workspace, looks, self.session.parsed, looks)
        self._lowering = Lowering(self.session.graphs, self.catalog, looks, request, self.package)
        self._compared = 0
        self.resumed: Going | None = None  # the run to go on with, when one is named
        self.report = Report(request, console, self.workspace.root)
        self.bundles: dict[Label, Path] = {}
        self.tally = Tally(os.fspath(root))

    def __enter__(self) -> Build:
        self.session.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.session.__exit__(*error)
        gc.unfreeze()

    @property
    def package(self) -> str:
        """The package that relative labels on the command line belong to: the directory somebody stands in."""
        relative = self.start.relative_to(self.workspace.root).as_posix()
        return "" if relative == "." else relative

    @property
    def labels(self) -> list[Label]:
        """The targets asked for."""
        return self._lowering.labels

    @property
    def graph(self) -> StateGraph:
        return self._lowering.graph

    @cached_property
    def wanted(self) -> list[Label]:
        """The targets asked for, groups replaced by their members."""
        return self.graph.spread(self.labels)

    def evaluate(self, numbers: Sequence[int] | None = None) -> tuple[Result, int]:
        """Build plain targets as one run; with `numbers`, only these states and what they need."""
        chosen = self.graph.closure(self.wanted) if numbers is None else self.graph.behind(numbers)
        op = op_of(self.labels[0]) if len(self.labels) == 1 else OpId("build")
        asked = Asked(op, " ".join(map(str, self.labels)), {}, self.config())
        going = going_on(self, chosen, asked)
        run_id = going.run_id if going else new_run_id()
        directory = self.session.run_directory(run_id)
        run = self.new_run(chosen, asked, run_id, lambda: ensure_directory(directory), going)
        result = self._follow(run, chosen)
        if run.performed:
            run.complete()
        return result, self._code(result)

    def build(self) -> int:
        """Build and commit what is asked for; the exit code."""
        runs = [label for label in self.wanted if self.graph.targets[label].bundle is not None]
        others = [label for label in self.wanted if label not in runs]
        code = self._build_plain(others) if others else 0
        for label in runs:
            if code == 0 or self.request.keep_going != Continue.NEVER:
                code = max(code, self._build_run(label))
        folds = self.graph.folds(self.labels)
        if folds and (code == 0 or self.request.keep_going != Continue.NEVER):
            code = max(code, make_folds(self.session, self.graph, folds, self.bundles, self.console, self.report))
        if self.request.durability == "all":
            self.session.cas.flush()
        self.report.say(code)
        if code == 0 and is_provable(self.request):
            self._remember_null(code)
        return code

    def verdicts(self, explain: Callable[..., Iterator[Verdict]]) -> Iterator[Verdict]:
        """What would happen to every state."""
        made = ((self.graph.targets[label].bundle or {}).get("targets", (label,)) for label in self.wanted)
        numbers = self.graph.closure(label for labels in made for label in labels)
        asked = Asked(OpId("build"), "", {}, self.config(self.wanted[0] if len(self.wanted) == 1 else None))
        run = self.new_run(numbers, asked, new_run_id(), lambda: Path("/nonexistent"))
        why = Why(self.session.cas, self.session.last, self.graph)
        return explain(self.graph, numbers, run.desk, self.session.last, why)

    def committed(self, label: Label) -> list[str]:
        """Where the last committed bundle of a run target is, from the workspace root; nothing for other targets."""
        out_root = self.workspace.root / "out" / label.directory
        run_id = latest(out_root) if self.graph.targets[label].bundle is not None else None
        return [f"out/{label.directory}/{run_id}"] if run_id else []

    @cached_property
    def forced(self) -> set[Label]:
        """The targets to perform anew: each must be one that is asked for, or needed by one."""
        forced = {parse(text, self.package).target for text in self.request.force}
        for label in sorted(forced - self.graph.targets.keys(), key=str):
            self.catalog.target(label)
            raise BadFlag(f"--force {label}: nothing that is asked for needs it", remedy="ask for it too")
        return {*forced, *self.graph.spread(forced)}  # a group stands for its members

    def _code(self, result: Result) -> int:
        return 128 + result.signal if result.signal is not None else self._compared if result.ok else 1

    def _build_plain(self, labels: Sequence[Label]) -> int:
        result, code = self.evaluate(self.graph.closure(labels))
        show(self.session, self.graph, labels, result.products)
        for label in labels:
            paths = tuple(path for several in shown_paths(self.graph, label).values() for path in several)
            if paths and all(number in result.products for number in self.graph.targets[label].states):
                self.report.made.append(Made(label, paths))
        self.show_waiting(result)
        return code

    def show_waiting(self, result: Result) -> None:
        """A line for each state that was not started, with the failed one that it needs."""
        blocked = blocked_by(self.graph, result)
        pairs = ((state.label, guilty.label) for state, guilty in blocked if state.label != guilty.label)
        waiting = list(dict.fromkeys(pairs))
        for label, guilty in waiting if self.console.verbose else waiting[:MOST]:
            self.console.line(f"  not started  {label} needs {guilty}")

    def _build_run(self, label: Label) -> int:
        built, run_id, going = self.graph.targets[label], new_run_id(), None
        out_root = self.workspace.root / (self.request.out or "out") / label.directory
        asked = Asked(built.op, str(label), built.params, self.config(label))
        draft: Draft | Pipeline
        if "targets" in (built.bundle or {}):
            numbers = self.graph.closure((built.bundle or {})["targets"])
            going = going_on(self, numbers, asked)
            run_id = going.run_id if going else run_id
            draft = Pipeline(self.session, self.graph, built, out_root, run_id)
            if going:
                draft.reopen()
        else:
            numbers = self.experiment.numbers(self.graph, built)
            draft = Draft(self.experiment, self.graph, built, out_root, run_id)
        run = self.new_run(numbers, asked, run_id, draft.begin, going)
        result = self._follow(run, numbers)
        committed = draft.finish(run, result, Policy(self.request.policy), self.durability)
        self._show_committed(label, committed)
        for products in result.products.values():  # without its objects a state would be performed again
            for artifact in products.values():
                self.session.rows.stored(self.session.cas.path(artifact.sha256))
        if committed.warning:  # it is whole, and may not outlive the power
            return DiskRefused.exit_code
        return 1 if self.request.strict and committed.status != "ok" else max(self._code(result), committed.code)

    def _show_committed(self, label: Label, committed: Committed) -> None:
        path = os.path.relpath(committed.path / SUMMARY_TEXT, self.workspace.root) if committed.path else ""
        doc = {"run": str(label), "run_id": committed.run_id, "status": committed.status, "path": path}
        self.console.emit(doc)
        for name, covers in committed.lanes:
            agreed = f"  {committed.headline}" if name == committed.lanes[-1][0] else ""
            self.console.line(f"  {self.console.paint('done', 'done   ')} {name:<16} {covers:<26}{agreed}".rstrip())
        for reason in committed.reasons:
            self.console.always(f"{committed.status}: {reason}")
        if committed.warning:
            self.console.error(f"flowbuild: {committed.warning}")
        self.report.made.append(
            Made(label, (path,) if path else (), committed.run_id, committed.status, committed.is_new)
        )
        if committed.path is not None:
            self.bundles[label] = committed.path
            self._watch_bundle(committed.path)

    def _watch_bundle(self, path: Path) -> None:
        """The null road holds only while LATEST and every file of its bundle are what they were."""
        self.session.rows.output(path.parent / LATEST)
        for entry in path.rglob("*"):
            if entry.is_file():
                self.session.rows.output(entry)

    def _remember_null(self, code: int) -> None:
        """Write the null table: what was read is unchanged since, so the same request has the same answer."""
        session, found = self.session, arguments_place(self.request)
        for name in session.facts.asked_variables:
            session.rows.environment(name)
        if session.facts.asked_world is not None:
            session.rows.world(str(session.facts.asked_world["world_id"]))
        if found is not None:
            write(session.rows, key(self.request, found[1]), self.report.null_text(code))

    @property
    def durability(self) -> Durability:
        known: tuple[Durability, ...] = ("none", "commit", "all")
        return next(level for level in known if level == self.request.durability)

    def new_run(
        self, numbers: Sequence[int], asked: Asked, run_id: RunId, place: Callable[[], Path], going: Going | None = None
    ) -> Run:
        """A run of these states; with `going`, the rest of one that was killed."""
        request = self.request
        return Run(
            self.session,
            self.graph,
            numbers,
            self.start_of(asked, self.graph, numbers)
            if going is None
            else started(going.story, self.session.cas, asked.op),
            run_id,
            place,
            policy=Policy(request.policy),
            forced=self.forced,
            keep_going=Continue(request.keep_going),
            flushes=request.durability != "none",
            tick_s=TICK_S if self.console.is_live else None,
            story=going.story if going else None,
            journal=going.journal if going else None,
            nursery=lambda birth: ChildRun(self, birth),
        )

    def start_of(self, asked: Asked, graph: StateGraph, numbers: Sequence[int]) -> StartRun:
        """What a new run of what is asked begins with."""
        variables = tuple(sorted({name for number in numbers for name in graph.states[number].passes}))
        if asked.parent is None:
            asked = asked._replace(settings=written(self.request.sets, self.package))
        return start_run(asked, self.request.channel, self.request.policy, variables, self.session.facts.commit)

    def config(self, label: Label | None = None) -> RunConfig:
        """The configuration of a run; with a label, of that `run` target."""
        check_tags(self.request.skip_tags, self.graph.states)
        said = (self.graph.targets[label].bundle or {}).get("config", {}) if label else {}
        return run_config(self.request, self.workspace.config.run, said)

    def _follow(self, run: Run, numbers: Sequence[int]) -> Result:
        """Drive a run to its end, showing each batch of events."""
        progress = self.console.follow(self.graph, numbers, remarks(self.session, self.graph), self.report.way)
        last = before(self, numbers) if self.request.policy == Policy.VERIFY else None
        self.session.save_texts()
        steps = run.events()
        try:
            while True:
                events = next(steps)
                self.tally.take(events)
                progress.show(events, run.run_id)
        except StopIteration as end:
            result: Result = end.value
        self.tally.close(self.graph, result)
        self.report.count.update(result.status.values())
        if last is not None:
            self._compared = compare(self, last, result, run.run_id)
        self.report.is_filtered |= run.is_filtered
        if run.desk.memory.forgot or run.is_filtered:
            self.session.rows.spoil()
        return result


def start(directory: str) -> Path:
    """The directory that labels are relative to."""
    try:
        here = Path(directory or os.getcwd()).resolve()
    except FileNotFoundError:
        raise BadFlag("the directory you stand in is gone", remedy="cd to another") from None
    if not here.is_dir():
        raise BadFlag(f"-C {directory}: there is no such directory")
    return here


def build(request: Request) -> int:
    """The command."""
    check_host(request)
    if request.policy == "replay":
        from flowbuild.front.replay import replay_all

        return replay_all(request)
    if request.policy == "dry":
        from flowbuild.front.explain import explain

        return explain(request)
    with Build(request, console(request)) as one:
        code = one.build()
        github.tell(one, code)
        return code
