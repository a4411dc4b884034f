"""Results as a table for people and as JSON; the facts of the machine, without its name or paths.

Knows nothing of how anything was measured. Medians, and ratios of medians.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rounds import NOTHING, NOTHING_MODULE, SCENARIOS, Results


def machine(directory: Path) -> dict[str, str]:
    """What a reader must know to compare."""
    host = os.uname()
    return {
        "processors": str(os.cpu_count()),
        "kernel": f"{host.sysname} {host.release.partition('-')[0]} {host.machine}",
        "file system": _file_system(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "shell": Path(os.path.realpath("/bin/sh")).name,
    }


def _file_system(directory: Path) -> str:
    """The type of the mount that the directory lies on; Linux says, others don't."""
    if not sys.platform.startswith("linux"):
        return "unknown"
    best = ("", "unknown")
    place = f"{directory.resolve()}/"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if place.startswith(mount.rstrip("/") + "/") and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def medians(results: Results) -> dict[str, dict[str, float]]:
    """CPU seconds by scenario and tool. What only flowbuild was asked is compared with the plain question."""
    found: dict[str, dict[str, float]] = {}
    for scenario in SCENARIOS:
        for (name, tool), spent in results.items():
            if name == scenario:
                found.setdefault(scenario, {})[tool] = median(one.cpu_s for one in spent)
    if NOTHING_MODULE in found:
        found[NOTHING_MODULE] = found[NOTHING] | found[NOTHING_MODULE]
    return found


def render(targets: int, results: Results, tools: list[str]) -> str:
    """CPU milliseconds of each tool, and flowbuild's as a multiple of each other's."""
    others = [name for name in tools if name != "flowbuild"] if "flowbuild" in tools else []
    head = [f"{targets:,} targets", *tools, *(f"/ {name}" for name in others)]
    rows = [head]
    for scenario, cpu_s in medians(results).items():
        times = [f"{cpu_s[name] * 1000:,.0f} ms" for name in tools]
        rows.append([scenario, *times, *(f"{cpu_s['flowbuild'] / cpu_s[name]:.2f}" for name in others)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def document(targets: int, results: Results) -> dict[str, Any]:
    """Every measurement, for other programs."""
    measured = [
        {"scenario": name, "tool": tool, "cpu_s": [one.cpu_s for one in spent], "wall_s": [one.wall_s for one in spent]}
        for (name, tool), spent in results.items()
    ]
    return {"targets": targets, "median_cpu_s": medians(results), "measured": measured}
