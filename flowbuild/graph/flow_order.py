"""The order of a flow's steps: which come before which, and circles.

Knows nothing of what steps do.
"""

from __future__ import annotations

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


def before(names: Collection[str], edges: Edges) -> dict[str, set[str]]:
    """All names that come before each one."""
    leads: dict[str, list[str]] = {name: [] for name in names}
    for one, two in edges:
        leads[one].append(two)
    found: dict[str, set[str]] = {name: set() for name in names}
    for name in ordered(names, ((one, two) for one, others in leads.items() for two in others)):
        for two in leads[name]:
            found[two] |= found[name] | {name}
    return found
