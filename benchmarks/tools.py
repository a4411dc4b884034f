"""The tools that are compared: where they are, how they are asked, what a cold start means for each.

Knows nothing of measuring. flowbuild is asked by its console script, and for a build with nothing to do also as a
module, since the two launchers differ by more than the check takes at 1,000 targets.

Errors:  Failed when a tool's outputs are not what they must be: nothing is measured that did not do its work.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import graph
from benchmarks.cpu import Failed
from benchmarks.graph import WIDTH, Graph


class Tool(NamedTuple):
    """A build system, and how it is asked in its own workspace."""

    name: str
    argv: list[str]
    write: Callable[[Graph, Path], None]
    made: tuple[str, ...]
    """What a cold start has not."""
    output: Callable[[int, int], str]
    everything: Callable[[Graph], str]
    last: Callable[[Graph], str]
    other_argv: list[str] | None = None
    """Another launcher of the same tool."""

    def prepare(self, built: Graph, root: Path) -> None:
        graph.write_sources(built, root)
        self.write(built, root)

    def forget(self, built: Graph, root: Path) -> None:
        """As if it had never run."""
        for name in self.made:
            path = root / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self.name == "make":
            for layer in range(built.layers):
                (root / graph.output(layer, 0)).parent.mkdir(parents=True)

    def verify(self, built: Graph, root: Path, edited_to: int | None) -> None:
        """The last layer's outputs, which depend on all others, are right."""
        last = built.layers - 1
        found = [(root / self.output(last, place)).read_text().strip() for place in range(WIDTH)]
        if found != [str(line) for line in built.last_lines(edited_to)]:
            raise Failed(f"{self.name} built something else than it should")


def find(jobs: int, names: set[str]) -> tuple[list[Tool], list[str]]:
    """The tools that are here, and a sentence for each that is not."""
    tools, absent = [], []
    if "flowbuild" in names:
        script, module = Path(sys.executable).with_name("flowbuild"), [sys.executable, "-m", "flowbuild"]
        launchers = ([str(script)], module) if script.exists() else (module, None)
        tools.append(Tool("flowbuild", launchers[0], *_FLOWBUILD, launchers[1]))
        if not script.exists():
            absent.append("flowbuild is not installed beside this Python: measured as `python -m flowbuild` only")
    for name, how in (("ninja", _NINJA), ("make", _MAKE)):
        found = shutil.which(name)
        if name in names and found:
            tools.append(Tool(name, [found, f"-j{jobs}"], *how))
        elif name in names:
            absent.append(f"{name} is not on PATH: not measured")
    return tools, absent


# flowbuild uses all processors by default, as the others are told to.
_FLOWBUILD = (
    graph.write_flowbuild,
    (".flowbuild", "out"),
    graph.shown,
    lambda built: "//...",
    lambda built: f"//layer{built.layers - 1:03}:last",
)
_NINJA = (
    graph.write_ninja,
    ("out", ".ninja_log", ".ninja_deps"),
    graph.output,
    lambda built: "all",
    lambda built: "last",
)
_MAKE = (graph.write_make, ("out",), graph.output, lambda built: "all", lambda built: "last")


def version(tool: Tool) -> str:
    """What the tool calls itself."""
    argv = [word for word in tool.argv if not word.startswith("-j")]
    found = subprocess.run([*argv, "--version"], capture_output=True, text=True, check=True)
    line = found.stdout.splitlines()[0]
    return line if line[:1].isalpha() else f"{tool.name} {line}"


def import_path() -> str | None:
    """What PYTHONPATH must hold for `python -m flowbuild` to be found from elsewhere: nothing, if it is installed."""
    probe = [sys.executable, "-c", "import flowbuild"]
    if subprocess.run(probe, cwd="/", capture_output=True, check=False).returncode == 0:
        return None
    return os.fspath(Path(__file__).resolve().parents[1])
