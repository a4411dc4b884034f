"""One run: an evaluation with its journal, from `RunStarted` to `RunCompleted`.

Knows nothing of bundles or terminals. Iterate `events()` to perform it; each batch is in the journal before it is
yielded. Whoever drives it decides afterwards whether a run that performed nothing is worth keeping.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import suppress
from pathlib import Path

from flowbuild.core.errors import FlowError, SecretsDetected
from flowbuild.core.event import Event, RunCompleted, RunStarted, RunStatus, StateStatus
from flowbuild.core.ids import RunId
from flowbuild.core.label import Label
from flowbuild.core.run_config import IoMode
from flowbuild.engine.engine import Wait
from flowbuild.graph.state import StateGraph
from flowbuild.run.bind import bind
from flowbuild.run.child_runs import Birth, ChildRuns, Nursery
from flowbuild.run.context import Contexts
from flowbuild.run.definition import Definitions
from flowbuild.run.desk import RunDesk
from flowbuild.run.door import Door
from flowbuild.run.engines import Engines
from flowbuild.run.evaluate import Evaluation
from flowbuild.run.memory import Memory
from flowbuild.run.offers import Offers
from flowbuild.run.outside import Outside
from flowbuild.run.policy import Policy
from flowbuild.run.record import Record
from flowbuild.run.result import Continue, Result
from flowbuild.run.resume import check, closing, lost
from flowbuild.run.room import Room
from flowbuild.run.secret import Secrets
from flowbuild.run.session import Session
from flowbuild.run.signals import Stop
from flowbuild.run.skip import skipped
from flowbuild.run.start import StartRun, check_start, keep
from flowbuild.run.story import Story
from flowbuild.run.unfinished import Unfinished
from flowbuild.store.files import remove_tree
from flowbuild.store.journal import now_millis

PID = "pid"
"""The file, beside the journal of a run without a bundle, that names the process at work on it."""


class Run:
    """See the module. `place` makes the directory of the journal when there is something to write; `nursery` makes the
    runs that handlers spawn. `birth` says of whom this run is a child: then it never blocks, see `waiting`."""

    def __init__(
        self,
        session: Session,
        graph: StateGraph,
        wanted: Sequence[int],
        start: StartRun,
        run_id: RunId,
        place: Callable[[], Path],
        *,
        policy: Policy = Policy.BUILD,
        forced: Collection[Label] = (),
        keep_going: Continue = Continue.NEVER,
        flushes: bool = True,
        tick_s: float | None = None,
        story: Story | None = None,
        journal: Path | None = None,
        nursery: Nursery | None = None,
        birth: Birth | None = None,
    ) -> None:
        self.run_id = run_id
        self.start = start
        self.manifest = start.doc
        self.graph = graph
        self.result: Result | None = None
        self._session = session
        self._directory = session.run_directory(run_id)
        self._place = place
        self._story = story
        self._policy = policy
        self._wanted = wanted
        self._journal = journal
        self._marked = story is not None or birth is not None  # a child goes on with its parent
        self.birth = birth
        self._unfinished = Unfinished(session.workspace.root)
        self.record = Record(run_id, self._begin, flushes=flushes, keeps=start.config.event_profile.keeps)
        self._signals = session.signals if birth is None else Stop(session.signals)
        self.room = birth.room if birth else Room(start.config.jobs, session.workspace.config.pools)
        children = self._children(nursery)
        engines, door = self._engines(), self._door(flushes, children)
        passed_over = skipped(graph.states, wanted, start.config.skip_tags)
        self.is_filtered = bool(passed_over)
        definitions = Definitions(
            graph, lambda state: bind(engines.seen(state), {}, engines.doc(state), session.facts).doc
        )
        self.desk = RunDesk(
            policy=policy,
            config=start.config,
            forced=forced,
            engines=engines,
            facts=session.facts,
            cas=session.cas,
            memory=Memory(run_id, session.channel, session.memo, session.cas, session.facts, door, definitions),
            record=self.record,
            signals=self._signals,
            workspace=session.workspace.root,
            search_path=session.workspace.config.path,
            directory=self._directory,
            door=door,
            contexts=Contexts(graph.states, session.cas.read, passed_over, birth.initial if birth else None),
            skipped=passed_over,
            children=children,
            definitions=definitions,
            told=story.states if story else None,
            on_effect=self._mark,
        )
        for left in story.failure_snapshots if story else ():  # which nothing makes again
            if session.cas.intact(left):
                self.desk.contexts.snapshots[left] = session.cas.read(left)
        self._evaluation = Evaluation(
            graph,
            wanted,
            self.desk,
            room=self.room,
            is_guest=birth is not None,
            keep_going=keep_going,
            tick_s=tick_s,
        )

    def _children(self, nursery: Nursery | None) -> ChildRuns:
        """The children that handlers spawn."""
        return ChildRuns(
            self.run_id,
            self.graph,
            self.room,
            self._session.cas,
            config=self.start.config,
            depth=self.birth.parent["depth"] if self.birth else 0,
            nursery=nursery,
            on_spawn=self._mark,
        )

    def _engines(self) -> Engines:
        """The engines of the session, which have every step kind that is wanted."""
        session, argv = self._session, self._session.executor
        executor = (lambda: session.facts.executor(argv)) if argv else None
        offers = Offers(session.state_directory / "offers", is_kept=self._policy is not Policy.DRY) if argv else None
        engines = Engines(session.engine, session.steps, executor, session.channel, offers)
        engines.check(self.graph.states[number] for number in self._wanted)
        return engines

    def _door(self, flushes: bool, children: ChildRuns) -> Door:
        """The door outside, which knows the secrets that may not pass it; none of them stands in what was written."""
        session, settings = self._session, self._session.workspace.config.outside
        secrets = Secrets(session.variables, run_id=self.run_id, key_name=settings.secret_key, mask=session.mask)
        secrets.know(one["variable"] for one in settings.credentials.values())
        secrets.know(name for state in self.graph.states for name in state.secrets)  # of runs that it may spawn too
        try:
            states = (self.graph.states[number] for number in self._wanted)
            begins = {"initial_context": dict(self.birth.initial or {})} if self.birth else {}
            secrets.check(states, session.facts.variable, {**self.manifest, **begins})
        except SecretsDetected:
            session.parsed.clear()
            session.graphs.clear()
            raise
        is_live = self.start.config.io_mode is IoMode.LIVE
        return Door(
            session.cas,
            Outside(settings, session.reaper, self._directory / "io", session.variables) if is_live else None,
            self._story.facts if self._story else None,
            flushes=flushes,
            secrets=secrets,
            on_first=self._mark,
            missing_is_retryable=self.start.config.replay_missing_fact_retryable,
            children=children,
            requests=self._story.requests if self._story else None,
            directory=self._directory,
        )

    def check(self) -> None:
        """Refuse to go on with a run whose work is not what it was."""
        if self._story is not None:
            check(self.graph, self._wanted, self._story, self.desk.bind, self.desk.memory.outputs)

    def events(self) -> Generator[list[Event], None, Result]:
        """Perform the run. The last batch is the one before `RunCompleted`, which `complete` writes."""
        check_start(self.start, self.graph.states, self._wanted)
        if self._story is not None:
            assert self._journal is not None, "a story has a journal"
            self.record.reopen(self._journal, self._story.head)
            yield self._keep(closing(self._story))
            outputs = self.desk.memory.outputs
            self.result = lost(self.graph, self._wanted, self._story, outputs, self.start.config.retry)
            if self.result is not None:
                return self.result
        else:
            yield self._keep([RunStarted(self.start.op, self.start.manifest_id, self.desk.contexts.initial)])
        steps = self._evaluation.run()
        self._session.signals.is_heeded = True
        try:
            while True:
                yield self._keep(next(steps))
        except StopIteration as end:
            result: Result = end.value
        except BaseException as error:
            self.record.abandon()
            if isinstance(error, FlowError):  # such as a full disk, which the stage only makes fuller
                with suppress(FlowError):
                    self._clear_stage()
            raise
        self.result = result
        if self._policy is not Policy.VERIFY:  # what it is compared with stays
            self._note(result)
        return result

    def complete(self) -> list[Event]:
        """Seal the journal; afterwards nothing is added to it. One that was sealed before stays as it is."""
        assert self.result is not None, "complete() follows events()"
        result = self.result
        status = RunStatus.CANCELLED if result.signal else RunStatus.COMPLETED if result.ok else RunStatus.FAILED
        self.record.begin()
        final = self.desk.final(result.products)
        is_sealed = self._story is not None and self._story.status is not None
        events = [] if is_sealed else self._keep([RunCompleted(status, final)])
        self.record.seal()
        if self._journal is not None and self._journal.parent == self._directory:
            self.end()
        with suppress(OSError):
            (self._directory / PID).unlink()
        if result.errors:
            self.desk.tidy()
        else:
            self._clear_stage()
        return events

    def end(self) -> None:
        """Nobody has to go on with this run any more: it is complete, and committed if it is to be."""
        self._unfinished.clear(self.run_id)

    @property
    def waiting(self) -> Wait | None:
        """What a child run waits for, when the last batch was empty for that."""
        return self._evaluation.waiting

    def stop(self) -> None:
        """Cancel this run, and no other of its session."""
        assert isinstance(self._signals, Stop), "only a child run is stopped alone"
        self._signals.give()

    @property
    def performed(self) -> bool:
        return self.record.begun

    @property
    def resumed(self) -> Path | None:
        """The journal, if the run was killed and is gone on with: it tells more than is known here."""
        return self._journal if self._story is not None else None

    def _begin(self) -> Path:
        """The manifest and the first snapshots are kept before the journal names them."""
        keep(self.start, self._session.cas)
        self.desk.keep_snapshots()
        place = self._place()
        if place == self._directory:  # a bundle's status names its writer
            (place / PID).write_text(f"{os.getpid()}\n")
        self._journal = place / "journal.jsonl"
        return place

    def _mark(self) -> None:
        """From here on somebody may have to go on with this run."""
        if not self._marked and self._journal is not None:
            self._marked = True
            self._unfinished.mark(self.run_id, self.manifest, self._journal)

    def _clear_stage(self) -> None:
        stage = self._directory / "stage"
        if stage.exists():
            remove_tree(stage)

    def _keep(self, events: list[Event]) -> list[Event]:
        self.record.append(events)
        return events

    def _note(self, result: Result) -> None:
        """Tell the last table what every state came to."""
        now = now_millis()
        for number, status in result.status.items():
            if status in (StateStatus.COMPLETED, StateStatus.REUSED):
                state, key = self.graph.states[number], result.keys[number]
                outputs = {name: artifact.sha256 for name, artifact in result.products[number].items()}
                performed = status is StateStatus.COMPLETED
                self._session.last.note(state.id, key, outputs, self._ran_in(key, performed), now, performed)

    def _ran_in(self, key: str, performed: bool) -> str:
        record = None if performed else self._session.memo.lookup(key)  # type: ignore[arg-type]
        return record.run_id if record else self.run_id
