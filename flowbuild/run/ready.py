"""States that may start: lowest number first, but for those whose pool is empty.

Knows nothing of performances. A pool is a scarce thing of which there are only so many; whoever takes a state of one
gives its place back.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from flowbuild.graph.state import State


class Ready:
    """The ready states of one evaluation. `pools` says how many of each there are."""

    def __init__(self, states: Sequence[State], pools: Mapping[str, int]) -> None:
        self._states = states
        self._room = dict(pools)
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
            pool = self._states[number].pool
            if pool is None or self._room[pool]:
                found = number
            else:
                full.append(number)
        for number in full:
            heapq.heappush(self._heap, number)
        return found

    def has_room(self, number: int) -> bool:
        """Whether the pool of a state has room."""
        pool = self._states[number].pool
        return pool is None or self._room[pool] > 0

    def take(self, number: int) -> None:
        """This state is performed, and is in its pool."""
        pool = self._states[number].pool
        if pool is not None:
            self._room[pool] -= 1

    def leave(self, number: int) -> None:
        """It has ended, and leaves its pool."""
        pool = self._states[number].pool
        if pool is not None:
            self._room[pool] += 1
