"""The scenarios, measured in turn: in each round every tool does the same, and no tool is always first.

Knows nothing of how results are shown. Between scenarios a tool runs twice unmeasured, so that each starts from a
build that has nothing to do and has written down all that it wants to know.

Errors:  Failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.cpu import Spent, spend
from benchmarks.graph import Graph, number, write_source
from benchmarks.tools import Tool

NOTHING, NOTHING_LAST, NOTHING_MODULE, SAME, OTHER, COLD = SCENARIOS = (
    "nothing to do",
    "nothing to do, asked for the last layer",
    "nothing to do, by python -m",
    "one source edited, same result",
    "one source edited, another result",
    "cold",
)
_REPEATS = 5  # of what takes milliseconds, in each round
_TICK_S = 0.05  # longer than the coarsest clock of a file system that we know of, so that no edit looks old

Results = dict[tuple[str, str], list[Spent]]


class Bench(NamedTuple):
    """One tool in its workspace."""

    tool: Tool
    graph: Graph
    root: Path
    log: Path

    def ask(self, what: str, argv: list[str] | None = None) -> Spent:
        return spend([*(argv or self.tool.argv), what], self.root, self.log)

    def settle(self) -> None:
        for what in (self.tool.everything, self.tool.last):
            time.sleep(_TICK_S)
            self.ask(what(self.graph))
            self.ask(what(self.graph))

    def edit(self, value: int, remark: str) -> None:
        time.sleep(_TICK_S)
        write_source(self.root, *self.graph.edited, value, remark)
        time.sleep(_TICK_S)


def measure(tools: list[Tool], graph: Graph, directory: Path, rounds: int, cold_rounds: int) -> Results:
    """All scenarios of all tools; the times of all rounds."""
    results: Results = {}
    benches = []
    for tool in tools:
        bench = Bench(tool, graph, directory / tool.name, directory / f"{tool.name}.log")
        bench.tool.prepare(graph, bench.root)
        benches.append(bench)
    for turn in range(rounds):
        order = benches[turn % len(benches) :] + benches[: turn % len(benches)]
        for scenario in (_cold if turn < cold_rounds else _warm, _nothing, _edited):
            for bench in order:
                for name, spent in scenario(bench, turn):
                    results.setdefault((name, bench.tool.name), []).append(spent)
    return results


Measured = Iterator[tuple[str, Spent]]


def _cold(bench: Bench, turn: int) -> Measured:
    bench.edit(number(*bench.graph.edited), f"cold, round {turn}")
    bench.tool.forget(bench.graph, bench.root)
    yield COLD, bench.ask(bench.tool.everything(bench.graph))
    bench.tool.verify(bench.graph, bench.root, None)


def _warm(bench: Bench, turn: int) -> Measured:
    bench.edit(number(*bench.graph.edited), f"warm, round {turn}")
    bench.ask(bench.tool.everything(bench.graph))
    yield from ()


def _nothing(bench: Bench, turn: int) -> Measured:
    bench.settle()
    asked: list[tuple[str, Callable[[Graph], str], list[str] | None]] = [
        (NOTHING, bench.tool.everything, None),
        (NOTHING_LAST, bench.tool.last, None),
    ]
    if bench.tool.other_argv:
        asked.append((NOTHING_MODULE, bench.tool.everything, bench.tool.other_argv))
    for name, what, argv in asked:
        for _ in range(_REPEATS):
            yield name, bench.ask(what(bench.graph), argv)


def _edited(bench: Bench, turn: int) -> Measured:
    everything = bench.tool.everything(bench.graph)
    bench.edit(number(*bench.graph.edited), f"edited, round {turn}")
    yield SAME, bench.ask(everything)
    bench.tool.verify(bench.graph, bench.root, None)
    bench.settle()
    value = 10**6 + turn
    bench.edit(value, f"edited, round {turn}")
    yield OTHER, bench.ask(everything)
    bench.tool.verify(bench.graph, bench.root, value)
