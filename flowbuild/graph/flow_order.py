"""The order of a flow's steps: which come before which, and circles.

Knows nothing of what steps do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter

Edges = Iterable[tuple[str, str]]


def circle(names: Collection[str], edges: Edges) -> list[str]:
    """A circle of names along the edges, the first one again at its end; empty where there is none."""
    try:
        ordered(names, edges)
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def ordered(names: Collection[str], edges: Edges) -> list[str]:
    """Names, each after all that lead to it; CycleError where that can't be. The same text gives the same order."""
    sorter = TopologicalSorter[str]({name: () for name in names})
    for one, two in edges:
        sorter.add(two, one)
    return list(sorter.static_order())


def comes_before(one: str, two: str, edges: Edges) -> bool:
    """Whether edges lead from one name to another."""
    back: dict[str, list[str]] = {}
    for start, end in edges:
        back.setdefault(end, []).append(start)
    todo, seen = deque(back.get(two, ())), set[str]()
    while todo:
        name = todo.popleft()
        if name == one:
            return True
        if name not in seen:
            seen.add(name)
            todo.extend(back.get(name, ()))
    return False
