"""The desk of one run: what the evaluator asks is answered from the store, what it hands back is kept.

Knows nothing of order or of terminals. One desk serves one journal; several desks of a session share the memo, the
store, the facts and the engines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import Digest, canonical
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import Domain, Event
from flowbuild.core.ids import StateId
from flowbuild.core.label import Label
from flowbuild.core.run_config import RunConfig
from flowbuild.engine.engine import Engine, Performance, Wait
from flowbuild.graph.state import State
from flowbuild.run import idempotent, skip, values
from flowbuild.run.attempt import allowed, attempted, retried
from flowbuild.run.bind import bind, hashed
from flowbuild.run.child_runs import ChildRuns
from flowbuild.run.context import Contexts, kept, never
from flowbuild.run.definition import Definitions
from flowbuild.run.door import Door
from flowbuild.run.engines import Engines
from flowbuild.run.facts import HostFacts
from flowbuild.run.io import RunIo
from flowbuild.run.items import Sources
from flowbuild.run.memory import Memory
from flowbuild.run.policy import Decision, Effect, Policy, decide
from flowbuild.run.record import Record as RunRecord
from flowbuild.run.signals import Signals, Stop
from flowbuild.run.spread import Child, Spread, join, spread
from flowbuild.run.story import SKIPPED, Told
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Record
from flowbuild.store.tree import Artifact


class RunDesk:
    """See `asks.Desk`."""

    def __init__(
        self,
        *,
        policy: Policy,
        config: RunConfig,
        forced: Collection[Label],
        engines: Engines,
        facts: HostFacts,
        cas: Cas,
        memory: Memory,
        record: RunRecord,
        signals: Signals | Stop,
        workspace: Path,
        search_path: tuple[str, ...],
        directory: Path,
        door: Door,
        contexts: Contexts,
        skipped: Mapping[int, skip.Skipped],
        children: ChildRuns,
        definitions: Definitions,
        told: Mapping[str, Told] | None = None,
        on_effect: Callable[[], None] = lambda: None,
    ) -> None:
        self._policy = policy
        self._config = config
        self._forced = forced
        self._engines = engines
        self._facts = facts
        self._cas = cas
        self.memory = memory
        self._record = record
        self._signals = signals
        self._door = door
        self.contexts = contexts
        self.skipped = skipped
        self._children = children
        self._definitions = definitions
        self._snapshots: set[Digest] = set()  # those that are in the store
        self._told = told or {}  # what this run came to before it was killed
        self._on_effect = on_effect
        self._sources = Sources(cas, facts.source, lambda path: (workspace / path).read_bytes(), door.secrets.mask)
        self._spreads: dict[StateId, Spread] = {}
        self._io = RunIo(workspace, search_path, cas, directory, door)
        self._flows: dict[Label, float] = {}  # when the first step of each was performed

    def bind(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> Action:
        action = self._bound(state, products)
        self._snapshot(action.base)
        if self._engines.presumes(state) and self._policy is not Policy.DRY:
            if self.remembered(state, action) is not None:
                self._engines.rest()
            elif self._engines.ask():  # it is to be performed, and by whom is something else than it seemed
                return self._bound(state, products)
        return action

    def _bound(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> Action:
        if state.fan is None:
            return self._bind(state, state, products)
        found = spread(state, state.fan, products, self._sources, lambda one: self._bind(one, state, products))
        self._spreads[state.id] = found
        return found.action

    def children(self, state: State) -> Sequence[Child]:
        return self._spreads[state.id].children if state.fan is not None else ()

    def _bind(self, state: State, whole: State, products: Mapping[int, Mapping[str, Artifact]]) -> Action:
        """The action of a state, or of a child of the `whole` one, which begins with the same context."""
        with_ = None if state.step is None else values.resolved(state, products, self._read)
        return bind(
            self._engines.seen(state),
            products,
            self._engines.doc(state),
            self._facts,
            with_,
            self.contexts.base(whole, products),
            self._definitions.of(whole),
        )

    def passed_over(self, number: int, products: Mapping[int, Mapping[str, Artifact]]) -> list[Event] | None:
        state, why = self.contexts.states[number], self.skipped.get(number)
        if why is None and self.is_selected(state, products):
            return None
        if (known := self._told.get(state.id)) is not None and known.how == SKIPPED:  # the journal says it already
            return []
        if why is None:
            return [Domain("skipped", {"label": str(state.label), "state_id": state.id})]
        base = self.contexts.base(state, products).snapshot
        self._snapshot(base)
        return skip.told(state, why, self.attempt(state), base)

    def is_selected(self, state: State, products: Mapping[int, Mapping[str, Artifact]]) -> bool:
        """Whether a step of a flow runs, now that all it waits for has ended. Other states always do."""
        return state.step is None or values.is_selected(state.step, products, self._read)

    def remembered(self, state: State, action: Action) -> Record | None:
        decision = decide(self._policy, Effect.APPLY if state.applies else Effect.NONE)
        if decision is Decision.UNVERIFIED:  # what came of the deed stands, whatever its inputs are by now
            done = self._recorded(state, action) if state.idempotency_key is not None else None
            return done and idempotent.plain(done)
        wanted = Decision.PERFORM_UNLESS_IDEMPOTENT if state.applies else Decision.REUSE_OR_PERFORM
        return self.known(state, action) if decision is wanted else None

    def is_forced(self, state: State) -> bool:
        return state.label in self._forced

    def known(self, state: State, action: Action) -> Record | None:
        """What may stand for an action: a record of the same inputs, and of a deed one that is known to be done.
        Nothing may where the world outside is asked."""
        if (state.asks and not state.remembers) or (state.applies and not self._is_done(state)):
            return None
        record = self._recorded(state, action)
        return record and idempotent.checked(state, action, record)

    def _is_done(self, state: State) -> bool:
        """Whether a deed has a key to be known by; of a fan-out of deeds, whether each of them is known. All are asked,
        so that a key that was used with other inputs is refused before anything is done."""
        if state.fan is None:
            return state.idempotency_key is not None
        told = self._told.get(state.id)
        if told is not None and told.deed:  # begun before the kill: the journal is to tell of each
            return False
        return all([self.known(one.state, one.action) is not None for one in self.children(state)])

    def _recorded(self, state: State, action: Action) -> Record | None:
        return None if self.is_forced(state) or action.refused is not None else self.memory.recorded(action)

    def begin(self, state: State, action: Action) -> None:
        self._record.begin()
        document = hashed(state, action.doc)
        for doc in (action.doc,) if document is action.doc else (action.doc, document):
            self._cas.put(canonical(doc))
        for listing in action.listings:
            self._cas.put(listing)
        if self.is_forced(state):
            self.memory.replaced.add(action.key)

    def perform(self, state: State, action: Action) -> Performance:
        self.begin(state, action)
        if action.refused is not None:
            return never(action.refused)
        if state.applies and decide(self._policy, Effect.APPLY) is Decision.UNVERIFIED:
            return _unverified()
        engine, step = self._engines.of(state), state.step
        if step is None:
            steps = self._steps(state, action, lambda: self._once(state, action, self._attempt(action, engine)))
            return self._children.accompanied(state.id, steps) if state.spawns else steps
        begun = self._flows.setdefault(state.label, time.monotonic())
        deadline = begun + step.flow_timeout_ms / 1000 if step.flow_timeout_ms else None
        return attempted(
            step,
            action,
            lambda: self._attempt(action, engine),
            self._keep,
            deadline,
            self.attempt(state),
        )

    def _steps(self, state: State, action: Action, perform: Callable[[], Performance]) -> Performance:
        """All attempts at a state. Before one that changes the world, its intent is on the disk."""
        first = 0 if action.item else self.attempt(state)
        if state.applies:
            noted = idempotent.noted(state, action).get(idempotent.DOCUMENT)
            intent = {
                **({"action": action.key} if action.item else {}),
                "document": noted.doc() if noted else None,
                "idempotency_key": state.idempotency_key,
                "label": action.label,
                "state_id": state.id,
            }
            self._on_effect()
            yield Domain("effect_intended", intent)
            yield Wait((), 0.0)
        return (yield from retried(allowed(state, self._config.retry), action, perform, first))

    def _attempt(self, action: Action, engine: Engine) -> Performance:
        self._door.begin(action)
        return self._door.secrets.performed(action, engine, self._io)

    def _once(self, state: State, action: Action, steps: Performance) -> Performance:
        outcome = yield from kept(state.writes, steps, self._keep) if state.writes else steps
        if not outcome.ok and state.writes:  # for what it wrote, it may be, which no engine knows of
            self._io.scrub(action)
        if outcome.ok or outcome.context is None:
            return outcome
        snapshot = self.contexts.failed(action.base, outcome.context)
        self._snapshot(snapshot)
        return replace(outcome, failure_snapshot=snapshot)

    def attempt(self, state: State) -> int:
        """The number of the next attempt at a state."""
        told = self._told.get(state.id)
        return told.attempt + 1 if told is not None else 0

    def done(self, state: State, action: Action) -> Mapping[str, Artifact] | None:
        told = self._told.get(state.id)
        return self.memory.done(told, action) if told is not None else None

    def join(self, state: State, action: Action, made: Mapping[str, Mapping[str, Artifact]]) -> Outcome:
        outputs = join(self._cas, state.declared, [made[key] for key in action.with_["children"]])
        return Outcome({name: one.doc() for name, one in outputs.items()})

    def remember(self, state: State, action: Action, outcome: Outcome, wall_ms: int) -> list[Event]:
        self._io.release(action)
        notes = self.memory.remember(state, action, outcome, wall_ms)
        if not action.item and self._config.event_profile.keeps("state_timed"):
            timed = {"label": action.label, "state_id": state.id, "wall_ms": wall_ms}
            notes.append(Domain("state_timed", timed))
        return notes

    def tidy(self) -> None:
        """Nothing more is performed: of the directories only those stay that failed actions left."""
        self._io.tidy()

    def ended(self, number: int, products: Mapping[int, Mapping[str, Artifact]]) -> Digest:
        found = self.contexts.after(number, products)
        self._snapshot(found)
        return found

    def final(self, products: Mapping[int, Mapping[str, Artifact]]) -> Digest | None:
        """The snapshot that the run ends with."""
        found = self.contexts.final(products)
        if found is not None:
            self._snapshot(found)
        return found

    def keep_snapshots(self) -> None:
        """Put all snapshots into the store that events name which were held back until now."""
        for digest in self.contexts.snapshots:
            self._keep_snapshot(digest)

    def _snapshot(self, digest: Digest) -> None:
        """An event of the journal is to name this snapshot; until there is one, it waits in memory with its events."""
        if self._record.begun:
            self._keep_snapshot(digest)

    def _keep_snapshot(self, digest: Digest) -> None:
        """Once; an empty one is known to everybody."""
        if digest in self.contexts.snapshots and digest not in self._snapshots:
            self._snapshots.add(digest)
            self._cas.put(self.contexts.snapshots[digest])

    @property
    def recorded(self) -> list[Digest]:
        """The payloads of the facts that the run has."""
        return list(self._door.facts.values())

    def interrupt(self) -> None:
        if self._signals.is_for_all:  # the engines are those of other runs too
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
        return self._io.keep(canonical(document))

    def signalled(self) -> int | None:
        return self._signals.received

    @property
    def wakeup(self) -> int | None:
        return self._signals.descriptor


def _unverified() -> Performance:
    """What changes the world is not done again to see what it comes to."""
    yield from ()
    return Outcome(error=ErrorInfo("unverified", "it changes the world outside, and is not done again to compare"))
