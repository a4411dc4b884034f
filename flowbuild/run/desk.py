"""The desk of one run: what the evaluator asks is answered from the store, what it hands back is kept.

Knows nothing of order or of terminals. One desk serves one journal; several desks of a session share the memo, the
store, the facts and the engines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import Digest, canonical
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import Domain, Event
from flowbuild.core.ids import RunId
from flowbuild.core.label import Label
from flowbuild.engine.engine import Performance
from flowbuild.graph.state import State
from flowbuild.graph.step import ERROR
from flowbuild.run import values
from flowbuild.run.attempt import attempted
from flowbuild.run.bind import bind
from flowbuild.run.channel import ChannelName
from flowbuild.run.door import Door
from flowbuild.run.engines import Engines
from flowbuild.run.facts import HostFacts
from flowbuild.run.io import RunIo
from flowbuild.run.policy import Decision, Effect, Policy, decide
from flowbuild.run.record import Record as RunRecord
from flowbuild.run.signals import Signals
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Memo, Record
from flowbuild.store.tree import Artifact, intact


class RunDesk:
    """See `evaluate.Desk`."""

    def __init__(
        self,
        *,
        run_id: RunId,
        policy: Policy,
        forced: Collection[Label],
        channel: str,
        engines: Engines,
        facts: HostFacts,
        memo: Memo,
        cas: Cas,
        record: RunRecord,
        signals: Signals,
        workspace: Path,
        search_path: tuple[str, ...],
        directory: Path,
        door: Door,
    ) -> None:
        self._run_id = run_id
        self._decision = decide(policy, Effect.NONE)
        self._forced = forced
        self._channel = channel
        self._engines = engines
        self._facts = facts
        self._memo = memo
        self._cas = cas
        self._record = record
        self._signals = signals
        self._door = door
        self._io = RunIo(workspace, search_path, cas, directory, door)
        self._flows: dict[Label, float] = {}  # when the first step of each was performed
        self.replaced: set[str] = set()
        self.disbelieved: set[str] = set()  # keys whose results another channel made
        self.forgot = False  # a result was not remembered: the same request is not up to date

    def bind(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> Action:
        with_ = None if state.step is None else values.resolved(state, products, self._read)
        return bind(self._engines.seen(state), products, self._engines.doc(state), self._facts, with_)

    def is_selected(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> bool:
        return state.step is None or values.is_selected(state.step, products, self._read)

    def remembered(self, state: State, action: Action) -> Record | None:
        return self.known(state, action) if self._decision is Decision.REUSE_OR_PERFORM else None

    def is_forced(self, state: State) -> bool:
        return state.label in self._forced

    def known(self, state: State, action: Action) -> Record | None:
        """What the memo and the store still hold of an action, unless it is forced, or made by a lesser channel."""
        if self.is_forced(state):
            return None
        record = self._memo.lookup(action.key)
        if record is None:
            return None
        if not is_believed(record.channel, self._channel):
            self.disbelieved.add(action.key)
            return None
        if not all(intact(self._cas, artifact) for artifact in record.outputs.values()):
            self.replaced.add(action.key)
            return None
        return record

    def perform(self, state: State, action: Action) -> Performance:
        self._record.begin()
        for data in (canonical(action.doc), *action.listings):
            self._cas.put(data)
        if self.is_forced(state):
            self.replaced.add(action.key)
        engine, step = self._engines.of(state), state.step
        if step is None:
            return self._door.secrets.performed(action, engine, self._io)
        begun = self._flows.setdefault(state.label, time.monotonic())
        deadline = begun + step.flow_timeout_ms / 1000 if step.flow_timeout_ms else None
        return attempted(
            step,
            action,
            lambda: self._door.secrets.performed(action, engine, self._io),
            self._keep,
            deadline,
        )

    def remember(self, state: State, action: Action, outcome: Outcome, wall_ms: int) -> list[Event]:
        self._io.release(action)
        if ERROR in outcome.outputs:
            self.forgot = True
            return []
        moved = self._facts.moved(list(state.sources))
        reason = _not_remembered(moved, outcome, self._facts.remembers(state))
        if reason is None and action.state_id in self._door.asked and not state.remembers:
            self.forgot = True  # the outside may answer otherwise next time, and nobody said that it doesn't matter
            return []
        if reason is not None:
            self.forgot = True
            payload = {"label": action.label, "files": moved, "reason": reason, "state_id": state.id}
            return [Domain("not_remembered", payload)]
        outputs = {name: Artifact.from_doc(doc) for name, doc in outcome.outputs.items()}
        replaces = action.key in self.replaced or action.key in self.disbelieved
        record = Record(action.key, self._channel, outputs, self._run_id, wall_ms, replaces)
        self._memo.append([record])
        return []

    @property
    def recorded(self) -> list[Digest]:
        """The payloads of the facts that the run has."""
        return list(self._door.facts.values())

    def interrupt(self) -> None:
        self._engines.interrupt()

    def _read(self, artifact: Artifact) -> Any:
        """The JSON that a step left."""
        data = self._cas.read(artifact.sha256)
        try:
            return json.loads(data)
        except ValueError:
            raise StoreCorrupt(f"{artifact.sha256} should be what a step left, and is no JSON") from None

    def _keep(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """A document in the store."""
        data = canonical(document)
        return Artifact(self._cas.put(data), len(data)).doc()

    def signalled(self) -> int | None:
        return self._signals.received

    @property
    def wakeup(self) -> int | None:
        return self._signals.descriptor


def is_believed(made: str, asked: str) -> bool:
    """Whether a result of one channel counts in another. A key is the same in both, but only what `clean` performed is
    known to depend on nothing else; so `clean` takes nothing from `direct`, and `direct` takes all."""
    return asked == ChannelName.DIRECT or made == asked


def _not_remembered(moved: list[str], outcome: Outcome, is_identified: bool) -> str | None:
    if moved:
        return f"{', '.join(moved)} changed while it ran"
    if not outcome.remember:
        return "the engine asks for it to be found anew"
    if not is_identified:
        return "it imports a distribution that can't be identified"
    return None
