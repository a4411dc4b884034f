"""The record of a run: nothing on disk until it begins, everything in order afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.core.errors import StoreConflict
from flowbuild.core.event import Domain, Event, RunCompleted, StateEntered, from_doc
from flowbuild.core.ids import RunId
from flowbuild.run.record import Record
from flowbuild.store.journal import Journal, read

RUN = RunId("0b7d41c2-9d0e-4f6b-8a3e-5f0c2b1d7a90")
EVENTS: list[Event] = [StateEntered("a.b.c", 0, "s"), Domain("x", {"state_id": "a.b.c"}), RunCompleted("Failed", None)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run"


def begun(place: Path, *, flushes: bool = True) -> Record:
    def make() -> Path:
        place.mkdir()
        return place

    return Record(RUN, make, flushes=flushes, clock=lambda: 7)


def events(place: Path) -> list[Event]:
    return [from_doc(envelope["event"]) for envelope in read(place / "journal.jsonl")]


def test_what_never_begins_leaves_nothing(place: Path) -> None:
    record = begun(place)
    record.append(EVENTS)
    record.seal()
    assert not record.begun
    assert not place.exists()


def test_what_was_held_back_comes_first(place: Path) -> None:
    record = begun(place)
    record.append(EVENTS[:1])
    record.begin()
    record.append(EVENTS[1:2])
    record.begin()
    record.append(EVENTS[2:])
    record.seal()
    assert events(place) == EVENTS


def test_who_read_another_story_does_not_go_on_with_it(place: Path) -> None:
    record = begun(place)
    record.begin()
    record.append(EVENTS)
    record.abandon()
    for head in (2, 4):
        with pytest.raises(StoreConflict, match="event_store_concurrency"):
            begun(place).reopen(place / "journal.jsonl", head)
    again = begun(place)
    again.reopen(place / "journal.jsonl", 3)
    again.append(EVENTS[:1])
    assert events(place) == [*EVENTS, EVENTS[0]]


@pytest.mark.parametrize("flushes", [True, False])
def test_every_batch_is_in_the_journal_at_once(place: Path, flushes: bool) -> None:
    record = begun(place, flushes=flushes)
    record.begin()
    record.append(EVENTS[:2])
    assert events(place) == EVENTS[:2]


def test_envelopes_carry_run_sequence_and_time(place: Path) -> None:
    record = begun(place)
    record.begin()
    record.append(EVENTS)
    found = [(one["run_id"], one["seq"], one["ts_millis"]) for one in read(place / "journal.jsonl")]
    assert found == [(RUN, seq, 7) for seq in (1, 2, 3)]


@pytest.mark.parametrize(("takes_s", "flushes"), [(0.0001, 49), (0.01, 10), (5.0, 1)])
def test_flushing_takes_a_tenth_of_the_time_where_it_is_slow(
    place: Path, monkeypatch: pytest.MonkeyPatch, takes_s: float, flushes: int
) -> None:
    now, flushed = 0.0, 0

    def flush(journal: Journal) -> bool:
        nonlocal now, flushed
        now, flushed = now + takes_s, flushed + 1
        return True

    monkeypatch.setattr(Journal, "flush", flush)
    monkeypatch.setattr("flowbuild.run.record.time.monotonic", lambda: now)
    record = begun(place)
    record.begin()
    while now < 1.0:
        now += 0.001
        record.append(EVENTS[:1])
    assert abs(flushed - flushes) <= 2


@pytest.mark.parametrize("name", ["fact_recorded", "effect_intended", "child_run_spawned"])
def test_a_barrier_is_flushed_whenever_it_comes(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(Journal, "flush", lambda journal: flushed.append(journal.head) or True)
    record = begun(place)
    record.begin()
    for _ in range(3):
        record.append([Domain(name, {})])
    assert flushed == [1, 2, 3]
