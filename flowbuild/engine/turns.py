"""Turns: at most so many at a time, first come first served, for generators that must not block.

Knows nothing of what the turns are for. Who has to wait does so on a pipe of its own, which whoever is done rings.

Shapes:  `yield from turns.take()` comes back when it is your turn; `give()` passes it on.
"""

from __future__ import annotations

import os
from collections import deque

from flowbuild.engine.engine import Wait
from flowbuild.engine.process import Pump


class Turns:
    """So many may be taken at a time."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._line: deque[tuple[int, int]] = deque()

    def take(self) -> Pump[None]:
        """Wait for a turn. Closed meanwhile, it steps out of the line."""
        if self._free and not self._line:
            self._free -= 1
            return
        bell = os.pipe()
        self._line.append(bell)
        is_mine = False
        try:
            while bell in self._line:
                yield Wait((bell[0],))
            is_mine = True
        finally:
            if bell in self._line:
                self._line.remove(bell)
            elif not is_mine:  # it was passed on to us while we were closed
                self.give()
            os.close(bell[0])
            os.close(bell[1])

    def give(self) -> None:
        """Pass a turn on to the first in line."""
        if self._line:
            os.write(self._line.popleft()[1], b"\n")
        else:
            self._free += 1
