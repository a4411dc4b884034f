"""Room: how much may be performed at once, for a run and for all runs that it spawns together.

Knows nothing of states or of time. A performance takes a place, and one of its pool if it names one, and gives both
back. Whoever only waits for a child run lends its place meanwhile, so that one place is enough for both.
"""

from __future__ import annotations

from collections.abc import Mapping


class Room:
    """So many places, and so many of each pool. `moved` counts what was given back: who found none looks again."""

    def __init__(self, places: int, pools: Mapping[str, int] | None = None) -> None:
        self._places = places
        self._pools = dict(pools or {})
        self.moved = 0

    @property
    def has_place(self) -> bool:
        return self._places > 0

    def fits(self, pool: str | None) -> bool:
        """Whether one of a pool is left."""
        return pool is None or self._pools[pool] > 0

    def enter(self, pool: str | None) -> None:
        """A performance begins."""
        self._places -= 1
        if pool is not None:
            self._pools[pool] -= 1

    def leave(self, pool: str | None) -> None:
        """It has ended."""
        if pool is not None:
            self._pools[pool] += 1
        self.lend()

    def lend(self) -> None:
        """Give a place to others until `reclaim`."""
        self._places += 1
        self.stir()

    def reclaim(self) -> None:
        """Take it back, whether one is free or not."""
        self._places -= 1

    def stir(self) -> None:
        """Something that others may wait for has changed."""
        self.moved += 1
