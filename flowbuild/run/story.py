"""The story of a run: what its journal says of every state, as one value. A fold, and nothing else.

Knows nothing of files. One fold with two faces: `story` is strict, for whoever goes on with a run or performs it again;
`account` tells what is there, for whoever shows it, and of what contradicts itself only `fault`. A journal whose writer
is at work, or was killed, has no `status` yet, and a state that was entered and has no end is `running`.

Shapes:  Story; one Told a state, in the order in which they were first told of.
Errors:  StoreCorrupt for an event of an unknown shape; from `story` also for the first fault: seed 001's attempt
         envelopes, kept per state, and its facts.
Source:  seed 001, event store, attempt envelopes, facts; decision 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import (
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    from_doc,
)
from flowbuild.run.request import Asked
from flowbuild.store.tree import Artifact

PERFORMED, REUSED, FAILED, SKIPPED, RUNNING = "performed", "reused", "failed", "skipped", "running"
HOW = (PERFORMED, REUSED, FAILED, SKIPPED, RUNNING)
_AGAIN = "start a new run"


# How an item of a fan-out is told of.
ITEMS = {"item_bound": RUNNING, "item_recorded": PERFORMED, "item_reused": REUSED, "item_failed": FAILED}


class ToldItem(NamedTuple):
    """One item of a fan-out, by its name. `written` holds the documents of what its child made."""

    item: str
    how: str
    written: Mapping[str, Any] = {}
    error: Mapping[str, Any] | None = None
    remembered: bool = True
    document: Mapping[str, Any] | None = None  # the action of a deed with an idempotency key

    @property
    def completed(self) -> bool:
        return self.how in (PERFORMED, REUSED)

    @property
    def outputs(self) -> dict[str, Artifact]:
        return {name: Artifact.from_doc(doc) for name, doc in self.written.items()}


class ToldChild(NamedTuple):
    """One child run. `status` is None for one whose end the parent did not see."""

    run_id: str
    label: str
    fact_key: str
    state_id: str
    status: str | None = None


@dataclass(slots=True)
class Told:
    """One state: its last attempt, `open` while it has no end, and what it came to. `error` is an ErrorInfo.

    `said` is the event that says what it came to, its number and name; `facts` are all that it recorded, in order.
    """

    state_id: str
    how: str = RUNNING
    label: str = ""
    action: Digest | None = None
    outputs: Mapping[str, Digest] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    attempt: int = -1
    base: str = ""
    open: bool = False
    reused_from: str | None = None
    written: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    snapshot: str | None = None
    said: tuple[int, str] | None = None
    facts: dict[str, Digest] = field(default_factory=dict)
    remembered: bool = True  # unless it is said that another run may not reuse it
    deed: bool = False  # it was about to change the outside
    document: Mapping[str, Any] | None = None  # the action of a deed with an idempotency key
    items: dict[str, ToldItem] = field(default_factory=dict)  # by the keys of children; earlier attempts' too

    @property
    def completed(self) -> bool:
        return not self.open and self.how in (PERFORMED, REUSED)


@dataclass(slots=True)
class Story:
    """One run. `status` is the journal's own word, `Completed`, `Failed` or `Cancelled`; `head` its last number."""

    run_id: str = ""
    op_id: str = ""
    manifest_id: str = ""
    head: int = 0
    started_ms: int | None = None
    last_ms: int | None = None
    status: str | None = None
    states: dict[str, Told] = field(default_factory=dict)
    facts: dict[str, Digest] = field(default_factory=dict)
    requests: dict[str, Asked] = field(default_factory=dict)  # by the keys of facts; not of those that answer none
    children: dict[str, ToldChild] = field(default_factory=dict)  # by their ids, as they were spawned
    failure_snapshots: list[Digest] = field(default_factory=list)  # what attempts that failed had written
    fault: str = ""

    def of(self, how: str) -> list[Told]:
        """The states that came to this, in the journal's order."""
        return [told for told in self.states.values() if told.how == how]

    def note(self, code: str, what: str) -> None:
        """Keep the first thing that is wrong."""
        self.fault = self.fault or f"{code}: event {self.head} of run {self.run_id}: {what}"

    def contradicts(self, kind: str, what: str) -> None:
        self.note("invalid_attempt_envelopes", f"{what} ({kind})")


def story(envelopes: Iterable[Mapping[str, Any]]) -> Story:
    """The story that a journal's envelopes tell; a journal that contradicts itself tells none."""
    told = account(envelopes)
    if told.fault:
        raise StoreCorrupt(told.fault, remedy=_AGAIN)
    return told


def account(envelopes: Iterable[Mapping[str, Any]]) -> Story:
    """What a journal's envelopes tell, whether or not it goes together."""
    told = Story()
    for envelope in envelopes:
        if not told.head:
            told.run_id, told.started_ms = envelope["run_id"], envelope["ts_millis"]
        told.head, told.last_ms = told.head + 1, envelope["ts_millis"]
        if envelope["seq"] != told.head or envelope["run_id"] != told.run_id:
            kind = "non_monotonic_seq" if envelope["run_id"] == told.run_id else "run_id_mismatch"
            told.contradicts(kind, f"it says that it is event {envelope['seq']} of run {envelope['run_id']}")
        try:
            event = from_doc(envelope["event"])
            _TABLE[type(event)](told, event)
        except (AttributeError, KeyError, TypeError, ValueError):
            message = f"event {told.head} of run {told.run_id}: not an event of this version"
            raise StoreCorrupt(message, remedy=_AGAIN) from None
    return told


def _started(told: Story, event: RunStarted) -> None:
    if told.head != 1:
        told.contradicts("unexpected_kernel_inside_attempt", "RunStarted is not the first event")
    told.op_id, told.manifest_id = event.op_id, event.manifest_id


def _entered(told: Story, event: StateEntered) -> None:
    _goes_on(told)
    before = told.states.get(event.state_id) or Told(event.state_id)
    if before.open:
        told.contradicts("nested_state_entered", f"{event.state_id} is entered twice")
    elif event.attempt <= before.attempt:
        told.contradicts("non_monotonic_attempt", f"{event.state_id}: attempt {event.attempt} after {before.attempt}")
    told.states[event.state_id] = Told(
        event.state_id,
        label=before.label,
        attempt=event.attempt,
        base=event.base_snapshot_id,
        open=True,
        facts=before.facts,
        deed=before.deed,
        document=before.document,
        items=before.items,
    )


def _completed(told: Story, event: StateCompleted) -> None:
    state = _ended(told, event.state_id)
    if state.how != SKIPPED:
        state.how = REUSED if state.reused_from is not None else PERFORMED
    state.snapshot = event.context_snapshot_id


def _failed(told: Story, event: StateFailed) -> None:
    state = _ended(told, event.state_id)
    state.how, state.error = FAILED, event.error["info"]
    state.said = told.head, "StateFailed"
    if event.failure_snapshot_id is not None:
        told.failure_snapshots.append(Digest(event.failure_snapshot_id))


def _ended(told: Story, state_id: str) -> Told:
    """The state whose attempt ends here: it must be open."""
    _goes_on(told)
    state = told.states.setdefault(state_id, Told(state_id))
    if not state.open:
        others = [other.state_id for other in told.states.values() if other.open]
        kind = "terminal_state_id_mismatch" if others else "terminal_without_entered"
        told.contradicts(kind, f"{state_id} ends without having been entered")
    state.open = False
    return state


def _run_ended(told: Story, event: RunCompleted) -> None:
    _goes_on(told)
    still = [state.state_id for state in told.states.values() if state.open]
    if still:
        told.contradicts("unexpected_kernel_inside_attempt", f"RunCompleted while {still[0]} is open")
    told.status = event.status


def _said(told: Story, event: Domain) -> None:
    _goes_on(told)
    payload = event.payload
    _of_run(told, event.name, payload)
    state = told.states.get(payload.get("state_id", ""))
    if state is None:
        return
    if event.name in ("action_bound", "reused"):
        state.label, state.action = payload["label"], payload["action"]
    if event.name == "reused":
        state.how, state.reused_from = REUSED, payload["performed_in"]
    if event.name in ("outcome_recorded", "reused"):
        state.outputs = dict(payload["outputs"])
        state.said = told.head, event.name
    if event.name in ITEMS or event.name == "not_remembered":
        _kept(state, event.name, payload)
    if event.name == "effect_intended":
        _intended(state, payload)
    if event.name == "artifact_written" and "artifact" in payload:
        state.written[payload["name"]] = payload["artifact"]


def _of_run(told: Story, name: str, payload: Mapping[str, Any]) -> None:
    """What an event says of the run as a whole, or of a state that it tells of first."""
    if name == "fact_recorded":
        _bound(told, payload)
    if name == "child_run_spawned":  # twice, where the parent was killed just then
        run_id = payload["child_run_id"]
        child = ToldChild(run_id, payload["label"], payload["fact_key"], payload["state_id"])
        told.children.setdefault(run_id, child)
    if name == "child_run_completed" and (known := told.children.get(payload["child_run_id"])) is not None:
        told.children[known.run_id] = known._replace(status=payload["status"])
    if name == "skipped":  # most were never entered
        found = told.states.setdefault(payload["state_id"], Told(payload["state_id"]))
        found.how, found.label = SKIPPED, payload["label"]


def _kept(state: Told, name: str, payload: Mapping[str, Any]) -> None:
    """What an item came to; and that a result, a state's or that of one item, is not remembered."""
    key = payload.get("action")
    if name in ITEMS:
        made = payload.get("artifacts", {})
        before = state.items.get(payload["action"])
        document = before.document if before is not None else None
        info = payload.get("info")
        state.items[payload["action"]] = ToldItem(payload["item"], ITEMS[name], made, info, document=document)
    elif key is None:
        state.remembered = False
    elif key in state.items:
        state.items[key] = state.items[key]._replace(remembered=False)


def _intended(state: Told, payload: Mapping[str, Any]) -> None:
    """A deed. That of an item is the item's; an earlier version does not say of which."""
    state.deed = True
    item = state.items.get(payload.get("action", ""))
    if item is not None:
        state.items[payload["action"]] = item._replace(document=payload.get("document"))
    elif not state.items:
        state.document = payload.get("document")


def _bound(told: Story, payload: Mapping[str, Any]) -> None:
    """A fact. The first binding of a key wins; a second payload for it is damage."""
    key, payload_id = payload.get("key"), payload.get("payload_id")
    if not isinstance(key, str) or not isinstance(payload_id, str):
        told.note("fact_recorded_malformed", "a fact without key or payload")
    elif told.facts.setdefault(key, Digest(payload_id)) != payload_id:
        told.note("fact_recorded_conflict", f"{key!r} is bound twice")
    else:
        meta = payload.get("meta")
        meta = meta if isinstance(meta, Mapping) else {}
        state = told.states.get(str(meta.get("state_id")))
        if state is not None:
            state.facts[key] = Digest(payload_id)
        if isinstance(meta.get("request"), str):
            label = (state.label if state is not None else "") or "a state that is not told of"
            told.requests.setdefault(key, Asked(Digest(meta["request"]), label, str(meta.get("state_id"))))


def _goes_on(told: Story) -> None:
    """Everything stands after RunStarted, and nothing after RunCompleted."""
    if told.head == 1:
        told.contradicts("run_not_started", "the first event is not RunStarted")
    if told.status is not None:
        told.contradicts("event_after_end", "an event after RunCompleted")


_TABLE: Mapping[type[Event], Callable[[Story, Any], None]] = {
    RunStarted: _started,
    StateEntered: _entered,
    StateCompleted: _completed,
    StateFailed: _failed,
    RunCompleted: _run_ended,
    Domain: _said,
}
