"""The shortest cycle: what to show somebody whose declarations wait for one another.

Knows nothing of what the nodes are. A search that meets a cycle has seldom met the shortest one, and a long one hides
which edge should not be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")

STEPS = 100_000  # edges to follow; then the shortest cycle met so far will do


def shortest_cycle(known: Sequence[T], edges: Callable[[T], Iterable[T]]) -> list[T]:
    """The nodes, in order, of the shortest cycle through one of these nodes; the nodes as given if none is found."""
    best, shortest = list(known), len(known) + 1
    left = STEPS
    for start in known:
        came: dict[T, T] = {}
        level = [start]
        depth = 1
        while level and depth < shortest and left > 0:
            after: list[T] = []
            for node in level:
                for other in edges(node):
                    left -= 1
                    if other == start:
                        best, shortest = _path(came, start, node), depth
                        after.clear()
                        break
                    if other not in came:
                        came[other] = node
                        after.append(other)
                else:
                    continue
                break
            level = after
            depth += 1
    return best


def _path(came: dict[T, T], start: T, end: T) -> list[T]:
    path = [end]
    while path[-1] != start:
        path.append(came[path[-1]])
    return path[::-1]
