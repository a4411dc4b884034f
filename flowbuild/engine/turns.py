"""Turns: at most so many at a time, first come first served, for generators that must not block.

Knows nothing of what the turns are for. Who has to wait does so on a bell of its own, which whoever is done rings. A
bell is one for all that its owner ever waits for: whoever watches descriptors may not notice that one was closed and
its number taken by another.

Shapes:  `yield from turns.take(bell)` comes back when it is your turn; `give()` passes it on.
"""

from __future__ import annotations

import os
from collections import deque

from flowbuild.engine.engine import Wait
from flowbuild.engine.process import Pump


class Bell:
    """A pipe, made when it is first needed. Its owner closes it."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: tuple[int, int] | None = None

    @property
    def descriptor(self) -> int:
        """What is readable once it has rung."""
        if self._ends is None:
            self._ends = os.pipe()
        return self._ends[0]

    def ring(self) -> None:
        """Wake its owner. It is waiting, so the pipe is there."""
        assert self._ends is not None
        os.write(self._ends[1], b"\n")

    def still(self) -> None:
        """It was heard."""
        os.read(self.descriptor, 1)

    def close(self) -> None:
        """Let go of it."""
        if self._ends is not None:
            os.close(self._ends[0])
            os.close(self._ends[1])
            self._ends = None


class Turns:
    """So many may be taken at a time."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._line: deque[Bell] = deque()

    def take_now(self) -> bool:
        """A turn at once, if there is one and nobody waits for it."""
        if not self._free or self._line:
            return False
        self._free -= 1
        return True

    def take(self, bell: Bell) -> Pump[None]:
        """Wait for a turn. Closed meanwhile, it steps out of the line."""
        if self.take_now():
            return
        wait = Wait((bell.descriptor,))
        self._line.append(bell)
        is_mine = False
        try:
            while bell in self._line:
                yield wait
            bell.still()
            is_mine = True
        finally:
            if bell in self._line:
                self._line.remove(bell)
            elif not is_mine:  # it was passed on to us while we were closed
                self.give()

    def give(self) -> None:
        """Pass a turn on to the first in line."""
        if self._line:
            self._line.popleft().ring()
        else:
            self._free += 1
