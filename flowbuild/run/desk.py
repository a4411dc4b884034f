"""The desk of one run: what the evaluator asks is answered from the store, what it hands back is kept.

Knows nothing of order or of terminals. One desk serves one journal; several desks of a session share the memo, the
store, the facts and the engines.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.core.event import Domain, Event
from flowbuild.core.ids import RunId
from flowbuild.core.label import Label
from flowbuild.engine.engine import Engine, Performance
from flowbuild.graph.state import State
from flowbuild.run.bind import bind
from flowbuild.run.channel import ChannelName
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
        engine: Engine,
        facts: HostFacts,
        memo: Memo,
        cas: Cas,
        record: RunRecord,
        signals: Signals,
        workspace: Path,
        search_path: tuple[str, ...],
        directory: Path,
    ) -> None:
        self._run_id = run_id
        self._decision = decide(policy, Effect.NONE)
        self._forced = forced
        self._channel = channel
        self._engine = engine
        self._facts = facts
        self._memo = memo
        self._cas = cas
        self._record = record
        self._signals = signals
        self._io = RunIo(workspace, search_path, cas, directory)
        capabilities = engine.capabilities
        self._kinds = frozenset(capabilities.step_kinds)
        self._engine_doc = {
            "name": capabilities.name,
            "version": capabilities.version,
            "capabilities": capabilities.digest,
        }
        self.replaced: set[str] = set()
        self.disbelieved: set[str] = set()  # keys whose results another channel made
        self.forgot = False  # a result was not remembered: the same request is not up to date

    def bind(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> Action:
        if state.kind not in self._kinds:
            raise CapabilitiesMismatch(
                f"{state.label}: engine {self._engine_doc['name']} has no step kind {state.kind!r}"
            )
        return bind(state, products, self._engine_doc, self._facts)

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
        return self._engine.perform(action, self._io)

    def remember(self, state: State, action: Action, outcome: Outcome, wall_ms: int) -> list[Event]:
        self._io.release(action)
        moved = self._facts.moved(list(state.sources))
        reason = _not_remembered(moved, outcome, self._facts.remembers(state))
        if reason is not None:
            self.forgot = True
            payload = {"label": action.label, "files": moved, "reason": reason, "state_id": state.id}
            return [Domain("not_remembered", payload)]
        outputs = {name: Artifact.from_doc(doc) for name, doc in outcome.outputs.items()}
        replaces = action.key in self.replaced or action.key in self.disbelieved
        record = Record(action.key, self._channel, outputs, self._run_id, wall_ms, replaces)
        self._memo.append([record])
        return []

    def interrupt(self) -> None:
        self._engine.interrupt()

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
