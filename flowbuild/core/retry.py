"""Retries: how often a state is performed, and how long it waits in between.

Knows nothing of errors or of time passing. Whether an error is worth another attempt is the error's to say.

Shapes:  in a target `retry: {attempts: 3, delay_ms: 200, max_delay_ms: 5000}`; attempts count the first one too. With
         `max_delay_ms` the delay doubles each time up to it, else it stays.
Errors:  BadAttribute.
Source:  seed 001, retry and backoff.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flowbuild.core.errors import BadAttribute
from flowbuild.core.suggest import did_you_mean

MOST = 2**31 - 1
_KEYS = ("attempts", "delay_ms", "max_delay_ms")


class Retry(NamedTuple):
    """How often, and how long to wait."""

    attempts: int = 1
    delay_ms: int = 0
    max_delay_ms: int | None = None

    def pause_ms(self, failed: int) -> int:
        """The wait after the attempt of this number, which counts from 0."""
        if self.max_delay_ms is None:
            return self.delay_ms
        return int(min(self.delay_ms * 2 ** min(failed, 31), self.max_delay_ms))


ONCE = Retry()


def read_retry(value: Any) -> Retry:
    """What a target's `retry` says."""
    if value is None:
        return ONCE
    if not isinstance(value, Mapping):
        raise BadAttribute("`retry` is a mapping", remedy="write {attempts: 3, delay_ms: 200}")
    for key, number in value.items():
        if key not in _KEYS:
            raise BadAttribute(f"`retry` has no {key!r}", remedy=did_you_mean(key, _KEYS))
        least = 1 if key == "attempts" else 0
        if type(number) is not int or not least <= number <= MOST:
            raise BadAttribute(f"`{key}` of `retry` is a whole number from {least} to {MOST}")
    if "attempts" not in value:
        raise BadAttribute("`retry` needs `attempts`", remedy="write {attempts: 3, delay_ms: 200}")
    return Retry(**value)
