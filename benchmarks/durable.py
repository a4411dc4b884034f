"""`python -m benchmarks.durable`: trivial Python functions a second, in flowbuild, doit, redun and Snakemake.

Knows nothing of the tools; it takes them in turn, and prints. What each writes down is told in docs/performance.md.
The others are measured if they are installed: `pip install doit redun snakemake`, here or in the environment of
`--python`. Beside that: what an event costs in the journal, and what it costs to go on with a run that was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import events, resume, tools
from benchmarks.cpu import Failed, Spent, reap_orphans, spend
from benchmarks.graph import Graph
from benchmarks.peers import Peer, peers, versions
from benchmarks.resume import Resumed
from benchmarks.table import machine

PARTS = ("states", "events", "resume")
_OURS = ("flowbuild", "flowbuild -j1", "flowbuild inline")  # which call a handler
_SHARE = 0.9  # of a run is done when it is killed

Rates = dict[str, list[Spent]]


def main() -> int:
    """Measure what is asked for, and print it."""
    options = _read_flags()
    wanted = [peer for peer in peers(options.python) if options.tools is None or peer.name in options.tools]
    known = versions(options.python, wanted)
    chosen = [peer for peer in wanted if peer.distribution in known]
    absent = [f"{peer.name} is not installed: not measured" for peer in wanted if peer not in chosen]
    path = tools.import_path()
    if path is not None:
        os.environ["PYTHONPATH"] = path
    reap_orphans()
    parent = Path(tempfile.mkdtemp(prefix="flowbuild-bench-", dir=options.directory))
    facts = machine(parent) | {"versions": ", ".join(f"{name} {known[name]}" for name in known)}
    facts |= {"rounds": f"{options.rounds} in turn, the fastest by wall time"}
    show = _silent if options.json else _say
    found: dict[str, Any] = {"machine": facts, "notes": absent}
    show([*(f"{name}: {fact}" for name, fact in facts.items()), *absent])
    try:
        if "states" in options.parts:
            found["states"] = {}
            for size in options.sizes:
                rates = measure(chosen, Graph.of(size), parent / f"states{size}", options.rounds)
                found["states"][size] = {name: [one._asdict() for one in spent] for name, spent in rates.items()}
                show(["", *rate_rows(Graph.of(size).targets, rates)])
        if "events" in options.parts:
            found["events"] = events.measure(parent / "events", options.events)
            show(["", *event_rows(found["events"])])
        if "resume" in options.parts:
            flowbuild = peers(options.python)[0]
            resumed = resume.resume(flowbuild, Graph.of(max(options.sizes)), parent / "resume", _SHARE)
            found["resume"] = resumed._asdict()
            show(["", *resume_rows(resumed)])
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(parent, ignore_errors=True)
    if options.json:
        print(json.dumps(found))
    return 0


def _read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__)
    parser.add_argument("--sizes", type=_numbers, default=[1000], metavar="N,N", help="states: 1000,10000")
    parser.add_argument("--rounds", type=int, default=3, help="how often each tool is measured, in turn")
    parser.add_argument("--events", type=int, default=5000, help="how many events are kept each way")
    parser.add_argument("--tools", type=_words, help="only these, as they stand in the table, with commas")
    parser.add_argument("--parts", type=_words, default=PARTS, help=f"only these of {', '.join(PARTS)}")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the others' environment")
    parser.add_argument("--directory", help="where the workspaces are made; default: the system's temporary directory")
    parser.add_argument("--json", action="store_true", help="every measurement as one JSON object")
    return parser.parse_args()


def measure(chosen: list[Peer], graph: Graph, directory: Path, rounds: int) -> Rates:
    """What each tool spends on all states, round by round. Each time it begins in a new directory: removing files
    would make those slow that are made next."""
    rates: Rates = {peer.name: [] for peer in chosen}
    for turn in range(rounds):
        for place in range(len(chosen)):
            peer = chosen[(place + turn) % len(chosen)]
            root = directory / f"{turn}-{place}"
            peer.prepare(graph, root)
            rates[peer.name].append(spend(list(peer.argv), root, directory / f"{turn}-{place}.log"))
            peer.verify(graph, root)
    return rates


def rate_rows(states: int, rates: Rates) -> list[str]:
    """States a second by the wall, CPU time for each, and flowbuild's best rate as a multiple of each other's."""
    fastest = {name: min(spent, key=lambda one: one.wall_s) for name, spent in rates.items()}
    ours = [one.wall_s for name, one in fastest.items() if name in _OURS]
    rows = [f"{f'{states:,} states':<22}{'states/s':>10}{'CPU/state':>12}{'flowbuild is':>14}"]
    for name, one in fastest.items():
        ratio = "" if name.startswith("flowbuild") or not ours else f"{one.wall_s / min(ours):.2f} x"
        row = f"{name:<22}{states / one.wall_s:>10,.0f}{one.cpu_s / states * 1e6:>9,.0f} us{ratio:>14}"
        rows.append(row.rstrip())
    return rows


def event_rows(found: Mapping[str, float]) -> list[str]:
    """What a person reads of the journal."""
    rows = [f"{'an event of a journal':<22}{'events/s':>10}{'each':>12}"]
    return rows + [f"{name:<22}{1 / cost:>10,.0f}{cost * 1e6:>9,.0f} us" for name, cost in found.items()]


def resume_rows(found: Resumed) -> list[str]:
    """What a person reads of a run that was killed."""
    share = found.left / found.states
    due = found.whole.wall_s * share
    return [
        f"a whole run of {found.states:,} states took {found.whole.wall_s:.2f} s",
        f"another was killed with {found.left:,} states left, {share:.1%} of the work: {due:.2f} s of a whole run",
        f"going on with it took {found.rest.wall_s:.2f} s: {found.rest.wall_s / due:.2f} times the work left",
    ]


def _say(lines: list[str]) -> None:
    print("\n".join(lines), flush=True)


def _silent(lines: list[str]) -> None:
    """Nothing is for people."""


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
