"""`python -m benchmarks`: CPU time of flowbuild, ninja and GNU make on one generated graph.

Knows nothing of the graph or the tools; it reads the flags and prints.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import table, tools
from benchmarks.cpu import Failed, reap_orphans
from benchmarks.graph import Graph
from benchmarks.rounds import measure


def main() -> int:
    """Measure, and print one table for each size."""
    options = _read_flags()
    jobs = os.cpu_count() or 1
    found, absent = tools.find(jobs, set(options.tools.split(",")))
    path = tools.import_path()
    if path is not None:
        os.environ["PYTHONPATH"] = path
    if not reap_orphans():
        absent.append("children that outlive their tool are not counted here")
    parent = Path(tempfile.mkdtemp(prefix="flowbuild-bench-", dir=options.directory))
    facts = table.machine(parent) | {"versions": ", ".join(map(tools.version, found))}
    facts |= {"jobs": str(jobs), "rounds": f"{options.rounds}, cold {options.cold_rounds}, medians of CPU time"}
    documents = []
    try:
        if not options.json:
            print("\n".join([*(f"{name}: {fact}" for name, fact in facts.items()), *absent]), flush=True)
        for size in options.sizes:
            graph = Graph.of(size)
            results = measure(found, graph, parent / str(size), options.rounds, options.cold_rounds)
            documents.append(table.document(graph.targets, results))
            if not options.json:
                print("\n" + table.render(graph.targets, results, [tool.name for tool in found]), flush=True)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(parent, ignore_errors=True)
    if options.json:
        print(json.dumps({"machine": facts, "notes": absent, "sizes": documents}))
    return 0


def _read_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, default=[1000, 10000], metavar="N,N", help="targets: 1000,10000")
    parser.add_argument("--rounds", type=int, default=3, help="how often all is measured in turn")
    parser.add_argument("--cold-rounds", type=int, default=1, help="in how many rounds the cold build is measured too")
    parser.add_argument("--tools", default="flowbuild,ninja,make", help="which to measure")
    parser.add_argument("--directory", help="where the workspaces are made; default: the system's temporary directory")
    parser.add_argument("--keep", action="store_true", help="leave the workspaces there")
    parser.add_argument("--json", action="store_true", help="every measurement as one JSON object")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
