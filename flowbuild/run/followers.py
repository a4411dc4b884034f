"""Who waits for whom: the states of an evaluation that become ready as others end, and those that never will.

Knows nothing of performances. What follows a lost state is lost too, but for what can do without it: a state that comes
after the latest that succeeded of several, as long as one of them is left; and, where that is asked for, one that
accepts missing inputs.

Shapes:  `free` and `lose` give the numbers of the states that now wait for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowbuild.graph.state import State


class Followers:
    """The edges of one evaluation, used up as states end."""

    def __init__(self, states: Sequence[State], wanted: Sequence[int]) -> None:
        self._states = states
        self._after: dict[int, list[int]] = {number: [] for number in wanted}
        self._waiting: dict[int, int] = {}
        self._lost: set[int] = set()
        for number in wanted:
            needs = set(states[number].needs)
            self._waiting[number] = len(needs)
            for need in needs:
                self._after[need].append(number)

    @property
    def ready(self) -> list[int]:
        """Those that wait for nothing from the start."""
        return [number for number, count in self._waiting.items() if not count]

    def free(self, number: int) -> Iterator[int]:
        """A state has what it promised."""
        for follower in self._after[number]:
            yield from self._release(follower)

    def lose(self, number: int, *, tolerant: bool) -> Iterator[int]:
        """A state failed. `tolerant` is whether missing inputs are accepted by who says so."""
        todo = [number]
        while todo:
            lost = todo.pop()
            if lost in self._lost:
                continue
            self._lost.add(lost)
            for follower in self._after[lost]:
                if self._does_without(self._states[follower], lost, tolerant):
                    yield from self._release(follower)
                else:
                    todo.append(follower)

    def _does_without(self, state: State, lost: int, tolerant: bool) -> bool:
        if tolerant and state.accepts_missing:
            return True
        mine = [one for one in state.either if any(lost in numbers for numbers in one)]
        has_another = all(any(self._lost.isdisjoint(numbers) for numbers in one) for one in mine)
        return bool(mine) and has_another and lost not in state.firm

    def _release(self, number: int) -> Iterator[int]:
        """One of the states that it waits for has ended."""
        self._waiting[number] -= 1
        if not self._waiting[number]:
            yield number
