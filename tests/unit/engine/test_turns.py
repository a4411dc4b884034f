"""Turns among generators: so many at a time, first come first served, and none is lost."""

from __future__ import annotations

import select
import selectors
from collections.abc import Generator
from typing import Any

from flowbuild.engine.engine import Wait
from flowbuild.engine.turns import Bell, Turns

Steps = Generator[Wait, Any, None]


def begin(steps: Steps) -> bool:
    """Whether it has its turn at once."""
    try:
        next(steps)
    except StopIteration:
        return True
    return False


def is_due(steps: Steps, wait: Wait) -> bool:
    return bool(select.select(wait.descriptors, [], [], 0)[0])


def waiting(turns: Turns, bell: Bell | None = None) -> tuple[Steps, Wait]:
    steps = turns.take(bell or Bell())
    return steps, next(steps)


def finishes(steps: Steps) -> bool:
    try:
        steps.send(())
    except StopIteration:
        return True
    return False


def test_so_many_have_a_turn_at_once() -> None:
    turns = Turns(2)
    assert [begin(turns.take(Bell())) for _ in range(3)] == [True, True, False]


def test_who_came_first_is_first() -> None:
    turns = Turns(1)
    assert begin(turns.take(Bell()))
    (first, one), (second, two) = waiting(turns), waiting(turns)
    turns.give()
    assert (is_due(first, one), is_due(second, two)) == (True, False)
    assert not finishes(second)
    assert finishes(first)
    turns.give()
    assert is_due(second, two) and finishes(second)
    turns.give()
    assert begin(turns.take(Bell()))


def test_nobody_passes_the_line() -> None:
    turns = Turns(1)
    assert begin(turns.take(Bell()))
    first, _ = waiting(turns)
    turns.give()
    late = turns.take(Bell())
    assert not begin(late)  # the turn is the first one's, though it has not taken it up
    assert finishes(first)
    late.close()


def test_who_is_closed_while_waiting_leaves_no_gap() -> None:
    turns = Turns(1)
    assert begin(turns.take(Bell()))
    (first, _), (second, two) = waiting(turns), waiting(turns)
    first.close()
    turns.give()
    assert is_due(second, two) and finishes(second)


def test_a_turn_that_came_too_late_is_passed_on() -> None:
    turns = Turns(1)
    assert begin(turns.take(Bell()))
    (first, _), (second, two) = waiting(turns), waiting(turns)
    turns.give()
    first.close()
    assert is_due(second, two) and finishes(second)
    turns.give()
    assert begin(turns.take(Bell()))


def test_one_who_waits_again_is_heard_on_the_same_descriptor() -> None:
    """An evaluator watches a descriptor until it changes: so it may not be another pipe's by then."""
    turns, bell = Turns(1), Bell()
    selector = selectors.DefaultSelector()
    assert begin(turns.take(Bell()))
    for _ in range(2):
        steps, wait = waiting(turns, bell)
        if not selector.get_map():
            selector.register(wait.descriptors[0], selectors.EVENT_READ)
        assert selector.select(0) == []
        turns.give()
        assert [key.fd for key, _ in selector.select(0)] == list(wait.descriptors)
        assert finishes(steps)
    selector.close()
    bell.close()
