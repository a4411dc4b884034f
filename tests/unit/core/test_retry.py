"""How long a state waits between its attempts.

Seed 001: 001-04.
"""

from __future__ import annotations

import pytest

from flowbuild.core.errors import BadAttribute
from flowbuild.core.retry import MOST, ONCE, Retry, read_retry


def test_nothing_said_is_one_attempt() -> None:
    assert read_retry(None) == ONCE == Retry(1, 0, None)


@pytest.mark.parametrize(
    ("retry", "pauses"),
    [
        (Retry(5, 100), [100, 100, 100, 100]),
        (Retry(5, 100, 350), [100, 200, 350, 350]),
        (Retry(5, 100, 50), [50, 50, 50, 50]),
        (Retry(5, 0, 50), [0, 0, 0, 0]),
    ],
)
def test_the_wait_doubles_up_to_its_limit_or_stays(retry: Retry, pauses: list[int]) -> None:
    assert [retry.pause_ms(failed) for failed in range(4)] == pauses


def test_the_wait_does_not_overflow() -> None:
    assert Retry(9, MOST, MOST).pause_ms(10**6) == MOST


@pytest.mark.parametrize("value", [[], {"attempts": True}, {"attempts": 1, "delay_ms": -1}, {"attempts": MOST + 1}])
def test_what_is_refused(value: object) -> None:
    with pytest.raises(BadAttribute):
        read_retry(value)
