"""A cycle of targets as a person can cut it: the shortest, each edge with the attribute that makes it and its place.

Knows nothing of states: this is told before there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from flowbuild.core.cycle import shortest_cycle
from flowbuild.core.errors import CycleFound, Faults, FlowError
from flowbuild.core.label import Label
from flowbuild.load.catalog import Catalog

Pointer = tuple[str | int, ...]
Edges = Callable[[Label], Iterable[tuple[Label, Pointer]]]
"""The labels that a target names, each with the place of the value."""

MOST = 20  # edges that are shown


def cycle_found(catalog: Catalog, known: Sequence[Label], edges: Edges) -> CycleFound:
    """The fault of targets of which each names the next, and the last the first."""
    labels = shortest_cycle(known, lambda label: _sound(edges, label))
    lines = []
    for label, need in zip(labels, [*labels[1:], labels[0]], strict=True):
        pointer = next(pointer for other, pointer in edges(label) if other == need)
        attribute = ".".join(map(str, pointer))
        where = replace(catalog.locate(catalog.target(label), pointer), column=0)
        lines.append(f"    {label} --{attribute}--> {need}    {where}")
    if len(lines) > MOST:
        lines[MOST // 2 : -MOST // 2] = [f"    ... and {len(lines) - MOST} more"]
    where = replace(catalog.locate(catalog.target(labels[0])), text="")
    message = "\n".join([f"{labels[0]} needs itself:", *lines])
    return CycleFound(message, remedy="cut one of these edges", location=where)


def _sound(edges: Edges, label: Label) -> Iterator[Label]:
    """The labels that a target names; none for one that is not there or can't be read: it is on no known cycle."""
    try:
        yield from (need for need, _ in edges(label))
    except (FlowError, Faults):
        return
