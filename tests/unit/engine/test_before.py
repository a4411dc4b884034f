"""A generator that is held to a deadline."""

from __future__ import annotations

import time
from collections.abc import Generator

from flowbuild.engine.engine import Ready, Wait
from flowbuild.engine.process import before


def asking(*waits: Wait) -> Generator[Wait, Ready, str]:
    yield from waits
    return "answered"


def test_a_wait_is_no_longer_than_the_deadline_and_no_longer_than_it_was() -> None:
    until = time.monotonic() + 60
    steps = before(until, asking(Wait((1,)), Wait((), 0.0), Wait((), until + 1, for_others=True)))
    assert [next(steps), next(steps), next(steps)] == [Wait((1,), until), Wait((), 0.0), Wait((), until, True)]


def test_what_is_late_is_closed_and_comes_to_nothing() -> None:
    inner = asking(Wait((1,)))
    steps = before(time.monotonic() - 1, inner)
    assert next(steps, "nothing") == "nothing"
    assert inner.gi_frame is None


def test_what_ends_before_it_is_given_on() -> None:
    def whole() -> Generator[Wait, Ready, str | None]:
        return (yield from before(None, asking()))

    steps = whole()
    try:
        next(steps)
    except StopIteration as end:
        assert end.value == "answered"
