"""The clock of a task: whichever limit comes first ends it, and each is told apart."""

from __future__ import annotations

import time

import pytest

from flowbuild.engine.clock import Clock


@pytest.mark.parametrize(
    ("total", "silence", "expected"), [(None, None, None), (5.0, None, 105.0), (None, 2.0, 102.0), (1.0, 2.0, 101.0)]
)
def test_the_nearest_limit_is_the_deadline(total: float | None, silence: float | None, expected: float | None) -> None:
    clock = Clock(total, silence)
    clock.begin(100.0)
    assert clock.deadline == expected


def test_a_sign_of_life_moves_the_limit_of_silence() -> None:
    clock = Clock(None, 60.0)
    clock.begin(0.0)
    clock.hear()
    assert clock.deadline is not None
    assert clock.deadline > time.monotonic() + 50


def test_what_ended_it() -> None:
    now = time.monotonic()
    for total, silence, is_silent in ((1.0, 0.5, False), (60.0, 0.5, True), (None, 0.5, True), (1.0, None, False)):
        clock = Clock(total, silence)
        clock.begin(now - 10)
        assert (clock.silent is not None) is is_silent, (total, silence)
    found = Clock(None, 1.5).silent
    assert found is not None
    assert (found.code, found.retryable, found.details) == ("heartbeat_timeout", True, {"heartbeat_timeout_ms": 1500})
    assert "for 1.5 s" in found.message
