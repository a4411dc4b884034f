"""States that may start: lowest number first, but for those whose pool is empty.

Knows nothing of performances. A pool is a scarce thing of which there are only so many, see `run.room`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from flowbuild.graph.state import State
from flowbuild.run.room import Room


class Ready:
    """The ready states of one evaluation."""

    def __init__(self, states: Sequence[State], room: Room) -> None:
        self._states = states
        self._room = room
        self._heap: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, number: int) -> None:
        """This state needs nothing any more."""
        heapq.heappush(self._heap, number)

    def pop(self) -> int | None:
        """The first state that may start; None when each waits for its pool."""
        full: list[int] = []
        found = None
        while self._heap and found is None:
            number = heapq.heappop(self._heap)
            if self._room.fits(self._states[number].pool):
                found = number
            else:
                full.append(number)
        for number in full:
            heapq.heappush(self._heap, number)
        return found
