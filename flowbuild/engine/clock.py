"""The clock of a task: how long it may take in all, and how long without a sign of life.

Knows nothing of processes. A sign of life is a heartbeat or any other question of its handler; while somebody else
works on the answer, the handler need not say anything.

Errors:  `heartbeat_timeout`, as the error of an outcome.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from flowbuild.core.action import ErrorInfo


@dataclass(slots=True)
class Clock:
    """Both limits are seconds, or None for no limit. `begin` starts it."""

    total: float | None
    silence: float | None
    _started: float = 0.0
    _heard: float = 0.0

    def begin(self, started: float) -> None:
        """The task began at this moment."""
        self._started = self._heard = started

    def hear(self) -> None:
        """A sign of life has come."""
        self._heard = time.monotonic()

    @property
    def deadline(self) -> float | None:
        """When it is over, if nothing more is heard."""
        ends = (self.end, None if self.silence is None else self._heard + self.silence)
        return min((one for one in ends if one is not None), default=None)

    @property
    def silent(self) -> ErrorInfo | None:
        """What a task ended for whose deadline has come, if that was its silence and not its time."""
        if self.silence is None or (self.end is not None and time.monotonic() >= self.end):
            return None
        message = f"the handler gave no sign of life for {self.silence:g} s"
        details = {"heartbeat_timeout_ms": round(self.silence * 1000)}
        return ErrorInfo("heartbeat_timeout", message, retryable=True, details=details)

    @property
    def end(self) -> float | None:
        """When its time is over, whatever is heard."""
        return None if self.total is None else self._started + self.total
