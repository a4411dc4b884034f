"""The benchmark of durable runs does the work that it measures. Nothing is timed here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import durable, events, resume
from benchmarks.cpu import Failed, Spent
from benchmarks.graph import Graph
from benchmarks.peers import Peer, peers, versions

SMALL = Graph(2)


def named(name: str) -> Peer:
    (peer,) = [peer for peer in peers(sys.executable) if peer.name == name]
    if peer.distribution not in versions(sys.executable, [peer]):
        pytest.skip(f"{peer.distribution} is not installed here")
    return peer


@pytest.mark.parametrize("name", [peer.name for peer in peers(sys.executable)])
def test_each_tool_makes_what_the_sum_says(name: str, tmp_path: Path) -> None:
    peer = named(name)
    rates = durable.measure([peer], SMALL, tmp_path, rounds=1)
    assert len(rates[peer.name]) == 1
    root = tmp_path / "0-0"
    (root / peer.output(1, 0)).write_text("1\n")
    with pytest.raises(Failed, match="something else"):
        peer.verify(SMALL, root)


def test_a_killed_run_is_gone_on_with_and_its_rest_is_counted(tmp_path: Path) -> None:
    found = resume.resume(named("flowbuild -j1"), SMALL, tmp_path, share=0.5)
    assert found.states == 200 and 0 < found.left <= 100
    assert found.rest.wall_s > 0


def test_events_are_kept_each_way(tmp_path: Path) -> None:
    found = events.measure(tmp_path / "new", 50)
    lines = {path.parent.name: len(path.read_bytes().splitlines()) for path in tmp_path.rglob("journal.jsonl")}
    assert lines == {"groups": 50, "each": 50, "none": 50} and all(cost > 0 for cost in found.values())


def test_rows_say_rates_ratios_and_what_was_left() -> None:
    rates = {"flowbuild": [Spent(9.0, 9.0), Spent(3.0, 2.0)], "doit": [Spent(0.5, 0.5)]}
    assert durable.rate_rows(1000, rates) == [
        "1,000 states            states/s   CPU/state  flowbuild is",
        "flowbuild                    500    3,000 us",
        "doit                       2,000      500 us        0.25 x",
    ]
    found = resume.Resumed(1000, Spent(4.0, 4.0), 100, Spent(0.8, 0.8))
    assert durable.resume_rows(found)[-1] == "going on with it took 0.80 s: 2.00 times the work left"
    assert durable.event_rows({"flushed one by one": 0.001})[-1] == "flushed one by one         1,000    1,000 us"


def test_what_is_not_installed_is_left_out() -> None:
    absent = Peer("nobody", (), lambda graph, root: None, lambda layer, place: "", "no-such-distribution")
    assert versions(sys.executable, [absent]) == {}
