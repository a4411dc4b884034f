"""The contract of an event store, as seed 001 states it, over the journal in files: the one that there is.

A store of another kind would be one more row of `STORES`, and would have to pass all of this.

Seed 001: 001-17, 001-24.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbuild.core.errors import FlowError, StoreConflict, StoreCorrupt
from flowbuild.core.event import (
    Domain,
    Event,
    RunCompleted,
    RunStarted,
    StateCompleted,
    StateEntered,
    StateFailed,
    from_doc,
    to_doc,
)
from flowbuild.run.story import story
from flowbuild.store.journal import Journal, read

RUN = "0b7d41c2-9d0e-4f6b-8a3e-5f0c2b1d7a90"
A, B = "a.main.x", "b.main.x"


class Files:
    """Runs as journals below a directory: each call opens what it needs, as another process would."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, run: str) -> None:
        Journal.create(self._root / run, run).close()

    def head(self, run: str) -> int:
        with Journal.open(self._root / run, run) as journal:
            return journal.head

    def append(self, run: str, expected: int, events: Sequence[Event]) -> int:
        with Journal.open(self._root / run, run) as journal:
            return journal.append([to_doc(event) for event in events], expected)

    def read_range(self, run: str, first: int, last: int | None) -> list[dict[str, Any]]:
        return list(read(self._root / run, first, last))

    def spoil(self, run: str) -> None:
        """Something that no store can keep."""
        with Journal.open(self._root / run, run) as journal:
            journal.append([to_doc(Domain("good", {})), {"Domain": float("nan")}])


STORES: dict[str, Callable[[Path], Files]] = {"files": Files}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    found = STORES[request.param](tmp_path)
    found.begin(RUN)
    yield found


def seen(*numbers: int) -> list[Event]:
    return [Domain("seen", {"n": number}) for number in numbers]


def numbers(store: Files, first: int = 1, last: int | None = None) -> list[tuple[int, int]]:
    rows = store.read_range(RUN, first, last)
    return [(row["seq"], row["event"]["Domain"]["payload"]["n"]) for row in rows]


def test_an_empty_run_has_head_0_and_the_first_event_number_1(store: Files) -> None:
    assert (store.head(RUN), numbers(store)) == (0, [])
    assert store.append(RUN, 0, seen(7, 8)) == 2
    assert (store.head(RUN), numbers(store)) == (2, [(1, 7), (2, 8)])


def test_an_envelope_is_that_of_the_seed(store: Files) -> None:
    store.append(RUN, 0, seen(7))
    (row,) = store.read_range(RUN, 1, None)
    assert row.keys() == {"event", "run_id", "seq", "ts_millis"} and row["run_id"] == RUN
    assert from_doc(row["event"]) == seen(7)[0]


@pytest.mark.parametrize("expected", [0, 1, 3, -1])
def test_whoever_expects_another_head_adds_nothing(store: Files, expected: int) -> None:
    store.append(RUN, 0, seen(7, 8))
    with pytest.raises(StoreConflict, match="event_store_concurrency") as caught:
        store.append(RUN, expected, seen(9))
    assert (caught.value.exit_code, caught.value.details) == (5, {"expected": expected, "head": 2})
    assert numbers(store) == [(1, 7), (2, 8)]


def test_a_batch_is_there_whole_or_not_at_all(store: Files) -> None:
    with pytest.raises(FlowError):
        store.spoil(RUN)
    assert numbers(store) == []
    store.append(RUN, 0, seen(1))


def test_nothing_appended_is_nothing_done(store: Files) -> None:
    assert store.append(RUN, 0, []) == 0
    store.append(RUN, 0, seen(7))
    assert store.append(RUN, 1, []) == 1
    with pytest.raises(StoreConflict):
        store.append(RUN, 0, [])
    assert numbers(store) == [(1, 7)]


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (1, None, [1, 2, 3]),
        (2, 2, [2]),
        (2, None, [2, 3]),
        (0, 1, [1]),
        (-9, 2, [1, 2]),
        (3, 99, [3]),
        (4, None, []),
        (3, 2, []),
        (1, 0, []),
    ],
)
def test_ranges_include_both_ends(store: Files, first: int, last: int | None, found: list[int]) -> None:
    store.append(RUN, 0, seen(1, 2, 3))
    assert [seq for seq, _ in numbers(store, first, last)] == found


def test_a_run_that_nobody_knows_is_empty(store: Files) -> None:
    assert store.read_range("another", 1, None) == []


def test_a_run_begins_once(store: Files) -> None:
    store.append(RUN, 0, seen(7))
    with pytest.raises(StoreConflict):
        store.begin(RUN)
    assert numbers(store) == [(1, 7)]


def test_of_many_writers_who_expect_the_same_head_one_wins_each_time(store: Files) -> None:
    """Each of eight threads appends ten events; who is told of a conflict looks again. Nothing is lost or doubled."""

    def work(who: int) -> None:
        for step in range(10):
            while True:
                try:
                    store.append(RUN, len(store.read_range(RUN, 1, None)), seen(100 * who + step))
                    break
                except StoreConflict:
                    continue

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = numbers(store)
    assert [seq for seq, _ in found] == list(range(1, 81))
    assert sorted(n for _, n in found) == sorted(100 * who + step for who in range(8) for step in range(10))
    for who in range(8):  # the order of each is kept
        assert [n for _, n in found if n // 100 == who] == [100 * who + step for step in range(10)]


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=6), cut=st.integers(-1, 30), span=st.integers(0, 9))  # fmt: skip
def test_it_is_a_list_that_grows(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]], cut: int, span: int
) -> None:
    store, model = Files(tmp_path_factory.mktemp("store")), list[int]()
    store.begin(RUN)
    for batch in batches:
        assert store.append(RUN, len(model), seen(*batch)) == len(model) + len(batch)
        model += batch
    assert [n for _, n in numbers(store)] == model
    assert [n for _, n in numbers(store, cut, cut + span)] == model[max(cut, 1) - 1 : max(cut + span, 0)]


# The stream's own rules: what an evaluation may append, attempt by attempt, per state.

STARTED, DONE = RunStarted("a", "0" * 64, "1" * 64), RunCompleted("Completed", None)
FAILED = {"info": {"code": "exit", "category": "Unknown", "retryable": False, "message": "", "details": None}}
# fmt: off
STREAMS: dict[str, tuple[str, list[Event]]] = {
    "one attempt": ("", [STARTED, StateEntered(A, 0, ""), *seen(1, 2), StateCompleted(A, ""), DONE]),
    "two states at once": ("", [STARTED, StateEntered(A, 0, ""), StateEntered(B, 0, ""), StateCompleted(A, ""), StateFailed(B, FAILED), DONE]),
    "another attempt": ("", [STARTED, StateEntered(A, 0, ""), StateFailed(A, FAILED), StateEntered(A, 1, ""), StateCompleted(A, ""), DONE]),
    "events between attempts": ("", [STARTED, *seen(1), StateEntered(A, 0, ""), StateCompleted(A, ""), *seen(2), DONE]),
    "NestedStateEntered": ("nested_state_entered", [STARTED, StateEntered(A, 0, ""), StateEntered(A, 1, "")]),
    "TerminalWithoutEntered": ("terminal_without_entered", [STARTED, StateCompleted(A, "")]),
    "TerminalWithoutEntered, twice ended": ("terminal_without_entered", [STARTED, StateEntered(A, 0, ""), StateCompleted(A, ""), StateFailed(A, FAILED)]),
    "TerminalStateIdMismatch": ("terminal_state_id_mismatch", [STARTED, StateEntered(A, 0, ""), StateCompleted(B, "")]),
    "UnexpectedKernelInsideAttempt, the end": ("unexpected_kernel_inside_attempt", [STARTED, StateEntered(A, 0, ""), DONE]),
    "UnexpectedKernelInsideAttempt, the start": ("unexpected_kernel_inside_attempt", [STARTED, StateEntered(A, 0, ""), STARTED]),
}
# fmt: on


@pytest.mark.parametrize("kind", STREAMS)
def test_what_may_stand_in_a_stream(store: Files, kind: str) -> None:
    said, events = STREAMS[kind]
    store.append(RUN, 0, events)
    if not said:
        assert story(store.read_range(RUN, 1, None)).head == len(events)
        return
    with pytest.raises(StoreCorrupt, match=rf"^invalid_attempt_envelopes: event {len(events)} of .*\({said}\)"):
        story(store.read_range(RUN, 1, None))


@pytest.mark.parametrize(
    ("said", "change"),
    [("run_id_mismatch", {"run_id": "another"}), ("non_monotonic_seq", {"seq": 1}), ("non_monotonic_seq", {"seq": 3})],
)
def test_envelopes_of_another_run_or_place(store: Files, said: str, change: dict[str, Any]) -> None:
    store.append(RUN, 0, [STARTED, StateEntered(A, 0, "")])
    rows = store.read_range(RUN, 1, None)
    with pytest.raises(StoreCorrupt, match=rf"\({said}\)"):
        story([rows[0], rows[1] | change])
