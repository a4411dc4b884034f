"""The order of a flow's steps: which come before which, and circles.

Knows nothing of what steps do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

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
    """Names, each after all that lead to it, and else as they come; CycleError where that can't be."""
    sorter = TopologicalSorter[str]({name: () for name in names})
    for one, two in edges:
        sorter.add(two, one)
    sorter.prepare()
    places = {name: place for place, name in enumerate(names)}
    ready: list[tuple[int, str]] = []
    done: list[str] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, (places[name], name))
        done.append(heappop(ready)[1])
        sorter.done(done[-1])
    return done


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
