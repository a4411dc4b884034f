"""Events: the journal's documents and back, and lifecycles that end.

Seed 001: 001-16, 001-17.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.event import (
    KERNEL,
    LIFECYCLE,
    NEEDED,
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    RunStatus,
    StateCompleted,
    StateEntered,
    StateFailed,
    StateStatus,
    from_doc,
    to_doc,
)

INFO = {"code": "x", "category": "Unknown", "retryable": False, "message": "m", "details": None}
EVENTS = [
    RunStarted("op", "m", "s"),
    StateEntered("a.b.c", 0, "s"),
    StateCompleted("a.b.c", "s"),
    StateFailed("a.b.c", {"state_id": None, "info": INFO}),
    RunCompleted(RunStatus.FAILED, None),
    Domain("reused", {"action": "k"}),
    Domain("page_read", {}, "d" * 64),
]
TERMINAL = {"completed", "reused", "failed", "cancelled", "not_started", "skipped"}


def test_every_variant_is_tried() -> None:
    assert {type(event) for event in EVENTS} == {*KERNEL.values(), Domain}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_the_journal(event: Event) -> None:
    assert from_doc(json.loads(json.dumps(to_doc(event)))) == event


def test_the_shape_of_seed_001() -> None:
    assert to_doc(StateEntered("a.b.c", 0, "s")) == {
        "Kernel": {"StateEntered": {"state_id": "a.b.c", "attempt": 0, "base_snapshot_id": "s"}}
    }
    assert to_doc(Domain("x", {"k": 1})) == {"Domain": {"name": "x", "payload": {"k": 1}, "payload_ref": None}}
    assert to_doc(RunStarted("op", "m", "s")) == {
        "Kernel": {"RunStarted": {"op_id": "op", "manifest_id": "m", "initial_snapshot_id": "s"}}
    }
    assert to_doc(StateCompleted("a.b.c", "s")) == {
        "Kernel": {"StateCompleted": {"state_id": "a.b.c", "context_snapshot_id": "s"}}
    }
    failed = {"state_id": "a.b.c", "error": {"state_id": "a.b.c", "info": INFO}, "failure_snapshot_id": None}
    assert to_doc(StateFailed("a.b.c", {"state_id": "a.b.c", "info": INFO})) == {"Kernel": {"StateFailed": failed}}
    assert to_doc(RunCompleted(RunStatus.COMPLETED, "s")) == {
        "Kernel": {"RunCompleted": {"status": "Completed", "final_snapshot_id": "s"}}
    }


@pytest.mark.parametrize("doc", [{"Kernel": {"Nonsense": {}}}, {}])
def test_an_unknown_event_is_a_key_error(doc: dict[str, object]) -> None:
    with pytest.raises(KeyError):
        from_doc(doc)


@given(st.text(), st.dictionaries(st.text(), st.integers()))
def test_any_domain_event_survives(name: str, payload: dict[str, int]) -> None:
    assert from_doc(to_doc(Domain(name, payload))) == Domain(name, payload)


def test_folds_need_these() -> None:
    assert sorted(NEEDED) == [
        *("action_bound", "artifact_written", "child_run_completed", "child_run_spawned"),
        *("effect_intended", "fact_recorded", "item_bound", "item_failed", "item_recorded", "item_reused"),
        *("not_remembered", "outcome_recorded", "reused", "skipped"),
    ]


def test_lifecycle_is_total() -> None:
    assert set(LIFECYCLE) == set(StateStatus)


def test_terminal_rows_are_empty_and_no_others() -> None:
    assert {status for status, after in LIFECYCLE.items() if not after} == TERMINAL


def test_every_status_is_reached_from_waiting_and_ends() -> None:
    def beyond(status: StateStatus) -> set[StateStatus]:
        return {status}.union(*map(beyond, LIFECYCLE[status]))  # a loop would never return

    assert beyond(StateStatus.WAITING) == set(StateStatus)
