"""What a run knows of results: which stand for an action, and which of its own others may have.

Knows nothing of policies or of engines. A record counts only while the store holds all of it, and in the channel that
is asked for; a result is kept only if nothing moved under it, and if it followed from its inputs alone.

Errors:  BadAttribute for an idempotency key that was used with other inputs.
Source:  DESIGN, section 4, rules that keep the memo honest.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowbuild.core.action import Action, Outcome
from flowbuild.core.canonical import Digest
from flowbuild.core.event import Domain, Event
from flowbuild.core.ids import RunId
from flowbuild.graph.state import State
from flowbuild.graph.step import ERROR
from flowbuild.run import idempotent
from flowbuild.run.channel import ChannelName
from flowbuild.run.definition import Definitions
from flowbuild.run.door import Door
from flowbuild.run.facts import HostFacts
from flowbuild.run.story import Told
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Memo, Record
from flowbuild.store.tree import Artifact, intact


class Memory:
    """The memory of one run. `door` says who asked the outside; `definitions` what else a state's sources are."""

    def __init__(
        self,
        run_id: RunId,
        channel: str,
        memo: Memo,
        cas: Cas,
        facts: HostFacts,
        door: Door,
        definitions: Definitions,
    ) -> None:
        self._run_id = run_id
        self._channel = channel
        self._memo = memo
        self._cas = cas
        self._facts = facts
        self._door = door
        self._definitions = definitions
        self._unkept: set[Digest] = set()  # children whose results were not remembered
        self.replaced: set[str] = set()
        self.disbelieved: set[str] = set()  # keys whose results another channel made
        self.forgot = False  # a result was not remembered: the same request is not up to date

    def recorded(self, action: Action) -> Record | None:
        """What the memo and the store still hold of an action, unless a lesser channel made it."""
        record = self._memo.lookup(action.key)
        if record is None:
            return None
        if not is_believed(record.channel, self._channel):
            self.disbelieved.add(action.key)
            return None
        if not self._holds(record.outputs):
            self.replaced.add(action.key)
            return None
        return record

    def outputs(self, told: Told) -> Mapping[str, Artifact] | None:
        """What a state of the journal left, if the store still has all of it."""
        if told.reused_from is not None:
            record = self._memo.lookup(told.action) if told.action else None
            found = None if record is None else {name: record.outputs[name] for name in told.outputs}
        else:
            found = {name: Artifact.from_doc(doc) for name, doc in told.written.items()}
        return found if found is not None and self._holds(found) else None

    def done(self, told: Told, action: Action) -> Mapping[str, Artifact] | None:
        """What the journal says an action left, if it says so and the store still has all of it."""
        if action.item:
            item = told.items.get(action.key)
            if item is not None and not item.remembered:
                self._unkept.add(action.key)
            made = item.outputs if item is not None and item.completed else None
            return made if made is not None and self._holds(made) else None
        return self.outputs(told) if told.completed and told.action == action.key else None

    def remember(self, state: State, action: Action, outcome: Outcome, wall_ms: int) -> list[Event]:
        """Keep a result for others, or say why not."""
        moved = self._facts.moved([*state.sources, *self._definitions.sources(state)])
        reason = _not_remembered(moved, outcome, self._facts.remembers(state))
        if (
            ERROR in outcome.outputs
            or self._is_unkept(state, action)
            or (reason is None and not self._may(state, action))
        ):
            # The outside may answer otherwise next time, and nobody said that it doesn't matter. That surprises nobody.
            moved, reason = [], ""
        if reason is not None:
            self.forgot = True
            if action.item:
                self._unkept.add(action.key)
            payload = {"label": action.label, "files": moved, "reason": reason, "state_id": state.id}
            return [Domain("not_remembered", payload | ({"action": action.key} if action.item else {}))]
        outputs = {name: Artifact.from_doc(doc) for name, doc in outcome.outputs.items()}
        outputs |= idempotent.noted(state, action)
        replaces = action.key in self.replaced or action.key in self.disbelieved
        self._memo.append([Record(action.key, self._channel, outputs, self._run_id, wall_ms, replaces)])
        return []

    def _is_unkept(self, state: State, action: Action) -> bool:
        """Whether it is the join of children of which one was not remembered."""
        return state.fan is not None and not self._unkept.isdisjoint(action.with_["children"])

    def _may(self, state: State, action: Action) -> bool:
        """Whether another run may reuse a result: not when it asked or changed the outside, unless that was said."""
        if state.applies:  # a fan-out may be kept if its children are
            return state.idempotency_key is not None or state.fan is not None
        return state.remembers or not (state.asks or action.own_id in self._door.asked)

    def _holds(self, artifacts: Mapping[str, Artifact]) -> bool:
        return all(intact(self._cas, artifact) for artifact in artifacts.values())


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
