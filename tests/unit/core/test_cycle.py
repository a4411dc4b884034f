"""The shortest cycle is found, wherever a search has met a longer one."""

from __future__ import annotations

import pytest

from flowbuild.core import cycle
from flowbuild.core.cycle import shortest_cycle


@pytest.mark.parametrize(
    ("edges", "known", "shortest"),
    [
        ({"a": "a"}, "a", "a"),
        ({"a": "b", "b": "a"}, "ab", "ab"),
        ({"a": "b", "b": "c", "c": "d", "d": "a"}, "abcd", "abcd"),
        ({"a": "c", "b": "a", "c": "b"}, "abc", "acb"),  # of all that are known, in the order of its edges
        ({"a": "b", "b": "c", "c": "db", "d": "a"}, "abcd", "bc"),
        ({"a": "bx", "b": "c", "c": "d", "d": "a", "x": "a"}, "abcd", "ax"),  # by a node that the search had not met
        ({"a": "b", "b": "cb", "c": "a"}, "abc", "b"),
        ({"a": "xb", "b": "a", "x": ""}, "ab", "ab"),
    ],
)
def test_the_shortest_cycle(edges: dict[str, str], known: str, shortest: str) -> None:
    assert "".join(shortest_cycle(known, edges.__getitem__)) == shortest


def test_a_graph_without_end_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle, "STEPS", 1000)
    known = list(range(1_000_000, 1_002_000))
    assert shortest_cycle(known, lambda number: [number + 1, 2 * number, 3 * number]) == known
