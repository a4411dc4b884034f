"""The benchmark's graph means the same to all tools. Nothing is timed here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import executors, table
from benchmarks.cpu import Failed, Spent, spend
from benchmarks.graph import REACH, WIDTH, Graph
from benchmarks.rounds import NOTHING, NOTHING_MODULE, Bench
from benchmarks.tools import Tool, find


def tool(name: str) -> Tool:
    for found in find(os.cpu_count() or 1, {name})[0]:
        return found
    pytest.skip(f"{name} is not on PATH")


@pytest.mark.parametrize("name", ["ninja", "make"])
def test_tools_build_what_the_sum_says_and_an_edit_reaches_the_end(name: str, tmp_path: Path) -> None:
    graph = Graph.of(1000)
    bench = Bench(tool(name), graph, tmp_path / "work", tmp_path / "log")
    bench.tool.prepare(graph, bench.root)
    bench.tool.forget(graph, bench.root)
    bench.ask("all")
    bench.tool.verify(graph, bench.root, None)
    bench.edit(10**6, "edited")
    bench.ask("last")
    bench.tool.verify(graph, bench.root, 10**6)
    with pytest.raises(Failed):
        bench.tool.verify(graph, bench.root, None)


def test_an_edit_reaches_as_far_at_every_size() -> None:
    for size in (1000, 5000):
        graph = Graph.of(size)
        before, after = graph.last_lines(), graph.last_lines(10**6)
        assert graph.targets == size
        assert len(before) == WIDTH
        assert sum(a != b for a, b in zip(before, after, strict=True)) == REACH


def test_children_count_and_failures_are_said(tmp_path: Path) -> None:
    busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
    spent = spend(["/bin/sh", "-c", f"( {busy} ); true"], tmp_path, tmp_path / "log")
    assert spent.cpu_s > 0.004  # the shell itself takes one millisecond
    with pytest.raises(Failed, match="exit 3\nno luck"):
        spend(["/bin/sh", "-c", "echo no luck; exit 3"], tmp_path, tmp_path / "log")


def test_table_shows_medians_and_ratios() -> None:
    results = {
        (NOTHING, "flowbuild"): [Spent(cpu, cpu) for cpu in (0.9, 0.002, 0.001)],
        (NOTHING, "ninja"): [Spent(0.004, 0.004)],
        (NOTHING_MODULE, "flowbuild"): [Spent(0.003, 0.003)],
    }
    assert table.render(1000, results, ["flowbuild", "ninja"]).splitlines() == [
        "1,000 targets                flowbuild  ninja  / ninja",
        "nothing to do                     2 ms   4 ms     0.50",
        "nothing to do, by python -m       3 ms   4 ms     0.75",
    ]


def test_machine_facts_name_no_host_and_no_path(tmp_path: Path) -> None:
    said = "\n".join(table.machine(tmp_path).values())
    assert os.uname().nodename not in said.split()
    assert "/" not in said


def test_steps_of_an_executor_are_really_performed(tmp_path: Path) -> None:
    found = executors.measure(tmp_path, steps=3, rounds=2)
    assert all(len(found[name]) == 2 and min(found[name]) > 0 for name in ("step_s", "echo_s", "talk_s"))
    told = {"step_s": [0.0005, 0.0004, 9.0], "echo_s": [0.0001], "talk_s": [0.0002], "grown_bytes": 1 << 20}
    assert executors.rows(told) == [
        "steps a second         2,500",
        "a step                   400 us",
        "two echoes               100 us",
        "two echoes and JSON      200 us",
        "a step / two echoes      4.0",
        "with JSON / without      2.0",
        "memory, all rounds       1.0 MiB more",
    ]
