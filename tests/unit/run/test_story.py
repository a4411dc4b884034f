"""The story of a journal: of a run that ended, of one that goes on, of one that was killed, of one that is damaged.

Seed 001: 001-27, 001-28.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.event import (
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    to_doc,
)
from flowbuild.run.story import HOW, account, story
from flowbuild.store.journal import read

STARTED = RunStarted("build", "d" * 64, "e" * 64)
A, B = "a.main.x", "b.main.x"
INFO = {"info": {"code": "exit", "message": "exit 1"}}
BEGUN: list[Event] = [
    STARTED,
    StateEntered(A, 0, ""),
    Domain("action_bound", {"state_id": A, "label": "//a", "action": "1" * 64}),
    StateEntered(B, 0, ""),
    Domain(
        "reused", {"state_id": B, "label": "//b", "action": "2" * 64, "outputs": {"o": "3" * 64}, "performed_in": "r"}
    ),
    StateCompleted(B, ""),
]
ENDED: list[Event] = [
    Domain("artifact_written", {"state_id": A, "artifact_id": "4" * 64, "name": "o", "artifact": {"size": 1}}),
    Domain("outcome_recorded", {"state_id": A, "action": "1" * 64, "outputs": {"o": "4" * 64}}),
    StateCompleted(A, ""),
    Domain("skipped", {"state_id": "d.main.x", "label": "//d"}),
    StateEntered("c.main.x", 0, ""),
    Domain("action_bound", {"state_id": "c.main.x", "label": "//c", "action": "5" * 64}),
    StateFailed("c.main.x", {"state_id": "c.main.x", **INFO}),
    RunCompleted("Failed", ""),
]


def envelopes(*events: Event) -> Iterator[dict[str, Any]]:
    for seq, event in enumerate(events, 1):
        yield {"event": to_doc(event), "run_id": "run-1", "seq": seq, "ts_millis": 1000 + 10 * (seq - 1)}


def test_a_run_that_ended() -> None:
    found = story(envelopes(*BEGUN, *ENDED))
    assert (found.run_id, found.op_id, found.manifest_id) == ("run-1", "build", "d" * 64)
    assert (found.status, found.head, found.started_ms, found.last_ms) == ("Failed", 14, 1000, 1130)
    assert [(one.label, one.how, one.completed, one.action, one.outputs) for one in found.states.values()] == [
        ("//a", "performed", True, "1" * 64, {"o": "4" * 64}),
        ("//b", "reused", True, "2" * 64, {"o": "3" * 64}),
        ("//d", "skipped", False, None, {}),
        ("//c", "failed", False, "5" * 64, {}),
    ]
    assert found.states["c.main.x"].error == INFO["info"]
    assert (found.states[A].written, found.states[B].reused_from) == ({"o": {"size": 1}}, "r")
    assert [one.label for one in found.of("performed")] == ["//a"]


def test_every_prefix_has_a_story() -> None:
    events = [*BEGUN, *ENDED]
    for count in range(len(events) + 1):
        found = story(envelopes(*events[:count]))
        assert (found.status is None) is (count < len(events))
        assert {one.how for one in found.states.values()} <= set(HOW)
        assert [one.state_id for one in found.states.values() if one.open] == [
            one for one in (A, B, "c.main.x") if _is_open(one, events[:count])
        ]
        assert not [one for one in found.states.values() if one.open and one.completed]


def _is_open(state_id: str, events: list[Event]) -> bool:
    mine = [event for event in events if getattr(event, "state_id", "") == state_id]
    return bool(mine) and isinstance(mine[-1], StateEntered)


def test_another_attempt_begins_anew() -> None:
    failed = StateFailed(A, {"state_id": A, **INFO})
    found = story(envelopes(*BEGUN[:3], failed, StateEntered(A, 1, "base"))).states[A]
    assert (found.label, found.attempt, found.base, found.open, found.error, found.action) == (
        "//a",
        1,
        "base",
        True,
        None,
        None,
    )


def test_a_state_keeps_the_facts_and_the_items_of_its_attempts() -> None:
    done = Domain("item_recorded", {"state_id": A, "action": "6" * 64, "item": "ada", "artifacts": {}})
    facts = [Domain("fact_recorded", {"key": key, "payload_id": key, "meta": {"state_id": A}}) for key in "ab"]
    failed = StateFailed(A, {"state_id": A, **INFO})
    found = story(envelopes(*BEGUN[:3], facts[0], done, failed, StateEntered(A, 1, ""), facts[1])).states[A]
    assert (found.facts, found.items["6" * 64].item) == ({"a": "a", "b": "b"}, "ada")


def recorded(key: Any, payload_id: Any) -> Domain:
    return Domain("fact_recorded", {"key": key, "payload_id": payload_id, "meta": {}})


def test_facts() -> None:
    events = [STARTED, recorded("a", "1"), Domain("seen", {}), recorded("b", "2"), recorded("a", "1")]
    assert story(envelopes(*events)).facts == {"a": "1", "b": "2"}


FAULTS: dict[str, tuple[Event, ...]] = {
    "nested_state_entered": (STARTED, StateEntered(A, 0, ""), StateEntered(A, 1, "")),
    "non_monotonic_attempt": (STARTED, *BEGUN[3:], StateEntered(B, 0, "")),
    "terminal_without_entered": (STARTED, StateCompleted(A, "")),
    "terminal_state_id_mismatch": (STARTED, StateEntered(A, 0, ""), StateFailed(B, {"state_id": B, **INFO})),
    "unexpected_kernel_inside_attempt": (STARTED, StateEntered(A, 0, ""), RunCompleted("Completed", None)),
    "RunStarted is not the first": (STARTED, StateEntered(A, 0, ""), STARTED),
    "run_not_started": (StateEntered(A, 0, ""),),
    "event_after_end": (STARTED, RunCompleted("Completed", None), Domain("seen", {})),
    "fact_recorded_conflict": (STARTED, recorded("a", "1"), recorded("a", "2")),
    "fact_recorded_malformed": (STARTED, recorded(3, "1")),
}


@pytest.mark.parametrize("said", FAULTS)
def test_what_contradicts_itself_is_refused_to_the_one_and_told_to_the_other(said: str) -> None:
    found = list(envelopes(*FAULTS[said]))
    with pytest.raises(StoreCorrupt, match=said) as caught:
        story(found)
    assert caught.value.exit_code == 5
    assert account(found).fault == caught.value.message
    assert account(found).head == len(found)


def test_of_several_contradictions_the_first_is_told() -> None:
    found = list(envelopes(STARTED, StateCompleted(A, ""), StateFailed(B, {"state_id": B, **INFO})))
    with pytest.raises(StoreCorrupt, match=f"^invalid_attempt_envelopes: event 2 of run run-1: {A} ends without"):
        story(found)


@pytest.mark.parametrize(("change", "said"), [({"seq": 3}, "non_monotonic_seq"), ({"run_id": "b"}, "run_id_mismatch")])
def test_events_of_another_place_or_run(change: dict[str, Any], said: str) -> None:
    found = list(envelopes(*BEGUN))
    found[1] |= change
    with pytest.raises(StoreCorrupt, match=said):
        story(found)


@pytest.mark.parametrize(
    "event",
    [
        {"Kernel": {"Unheard": {}}},
        {"Other": {}},
        {"Domain": {"nme": "x"}},
        {"Domain": {"name": "reused", "payload": {"state_id": A}, "payload_ref": None}},
        {"Domain": {"name": "skipped", "payload": {}, "payload_ref": None}},
        {"Domain": {"name": "seen", "payload": 7, "payload_ref": None}},
        {"Kernel": {"StateEntered": {"state_id": B, "attempt": "x", "base_snapshot_id": ""}}},
        [],
        7,
    ],
    ids=str,
)
def test_an_event_of_another_version_is_told(event: object) -> None:
    found = list(envelopes(STARTED, StateEntered(A, 0, "")))
    line = {"event": event, "run_id": "run-1", "seq": 3, "ts_millis": 1}
    for face in (story, account):
        with pytest.raises(StoreCorrupt, match="event 3 of run run-1: not an event of this version"):
            face([*found, line])


def test_a_changed_byte_where_there_is_no_checksum_is_no_bug(tmp_path: Path) -> None:
    """Journals of before there were checksums: what a byte turns into is refused, or a story; never a TypeError."""
    data = b"".join(canonical(row) + b"\n" for row in envelopes(*BEGUN, recorded("k", "1" * 64), *ENDED))
    chance, path, refused = random.Random(7), tmp_path / "j", 0
    for _ in range(600):
        place = chance.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :])
        for face in (story, account):
            try:
                face(read(path))
            except StoreCorrupt:
                refused += 1
    assert refused > 300


def test_a_child_that_is_told_of_twice_is_one() -> None:
    spawned = Domain(
        "child_run_spawned",
        {"child_run_id": "c", "label": "//:b", "fact_key": "k", "state_id": A, "parent_run_id": "r"},
    )
    ends = [
        Domain("child_run_completed", {"child_run_id": name, "status": "Failed", "state_id": A})
        for name in ("c", "of nobody")
    ]
    (one,) = story(envelopes(*BEGUN, spawned, spawned, *ends)).children.values()
    assert (one.run_id, one.label, one.fact_key, one.status) == ("c", "//:b", "k", "Failed")
