"""Tools that run Python functions in an order, and remember: what is written down for each, and how each is asked.

Knows nothing of measuring. The graph is that of `benchmarks.graph`, and every tool calls the same function of the same
file, once a state. Each is asked in the way that is fastest for it on such states:

- flowbuild calls handlers in workers, and is measured with one of them and with one for each processor. `inline` is the
  same handlers with `inline: true`, called in the build's own process. With `no
  worker` each state writes a text that stands in its target, in the build's own process: the kernel, and no handler.
- doit calls a Python action in its own process, one after another.
- redun calls a task in a thread of its own process. Files are handed on as values, a layer at a time: one
  expression of 100 layers is written down as a tree, and has no end.
- Snakemake calls a `run:` block in a thread of its own process (`--force-use-threads`; else each is a new interpreter).

Errors:  Failed when the outputs are not what they must be.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.cpu import Failed
from benchmarks.graph import WIDTH, Graph, source, write_sources

WORK = """\
from pathlib import Path


def write_line(target, a, b=None, c=None):
    numbers = [int(Path(one).read_text().split()[0]) for one in (a, b, c) if one]
    total = sum(number * factor for number, factor in zip(numbers, (1, 3, 5)))
    Path(target).write_text(f"{total % 1000003}\\n")
"""

DODO = """\
from work import write_line

def task_line():
    for layer in range(LAYERS):
        for place in range(WIDTH):
            needs = [f"layer{layer:03}/s{place:03}.txt"]
            if layer:
                needs += [f"out/layer{layer - 1:03}/t{p % WIDTH:03}.txt" for p in (place, place + 1)]
            target = f"out/layer{layer:03}/t{place:03}.txt"
            action = write_line, [target, *needs]
            yield {"name": f"{layer:03}.{place:03}", "actions": [action], "file_dep": needs, "targets": [target]}
"""

REDUN = """\
from redun import File, task
from work import write_line

redun_namespace = "durable"

@task()
def line(target: str, *needs: File) -> File:
    write_line(target, *(file.path for file in needs))
    return File(target)

@task()
def lines_from(layer: int, before: list) -> list:
    lines = []
    for place in range(WIDTH):
        needs = [File(f"layer{layer:03}/s{place:03}.txt")]
        if layer:
            needs += [before[place], before[(place + 1) % WIDTH]]
        lines.append(line(f"out/layer{layer:03}/t{place:03}.txt", *needs))
    return lines if layer == LAYERS - 1 else lines_from(layer + 1, lines)

@task()
def main() -> list:
    return lines_from(0, [])
"""

SNAKEFILE = """\
from work import write_line

def needs(wildcards):
    layer, place = int(wildcards.layer), int(wildcards.place)
    found = [f"layer{layer:03}/s{place:03}.txt"]
    if layer:
        found += [f"out/layer{layer - 1:03}/t{p % WIDTH:03}.txt" for p in (place, place + 1)]
    return found

rule all:
    input: [f"out/layer{LAYERS - 1:03}/t{place:03}.txt" for place in range(WIDTH)]

rule line:
    input: needs
    output: "out/layer{layer,[0-9]+}/t{place,[0-9]+}.txt"
    run: write_line(output[0], *input)
"""

NOTED = """\
rule: noted
attributes:
  inputs: {type: inputs, required: true}
  content: {type: string, required: true}
outputs: "${{ states.note.outputs }}"
states:
  note:
    kind: write
    with: {content: "${{ attr.content }}"}
    inputs: "${{ attr.inputs }}"
    outputs: {target: line.txt}
"""


class Peer(NamedTuple):
    """A tool, and how it is asked in a workspace of its own."""

    name: str
    argv: tuple[str, ...]
    write: Callable[[Graph, Path], None]
    output: Callable[[int, int], str]
    distribution: str = "flowbuild"

    def prepare(self, graph: Graph, root: Path) -> None:
        write_sources(graph, root)
        (root / "work.py").write_text(WORK)
        self.write(graph, root)

    def verify(self, graph: Graph, root: Path) -> None:
        """The last layer's outputs, which depend on all others, are right."""
        last = graph.layers - 1
        found = [(root / self.output(last, place)).read_text().strip() for place in range(WIDTH)]
        if found != [str(line) for line in graph.last_lines()]:
            raise Failed(f"{self.name} made something else than it should")


def peers(python: str) -> list[Peer]:
    """All of them. `python` is the interpreter of the others' environment."""
    ours = (sys.executable, "-m", "flowbuild")
    return [
        Peer("flowbuild", (*ours, "-q", "//..."), _write_handlers, _shown),
        Peer("flowbuild -j1", (*ours, "-q", "-j1", "//..."), _write_handlers, _shown),
        Peer("flowbuild inline", (*ours, "-q", "//..."), _write_inline, _shown),
        Peer("flowbuild no worker", (*ours, "-q", "//..."), _write_notes, _shown),
        Peer("doit", (python, "-m", "doit"), _writes("dodo.py", DODO), _made, "doit"),
        Peer("redun", (python, "-c", _REDUN, "run", "flow.py", "main"), _writes("flow.py", REDUN), _made, "redun"),
        Peer("snakemake", (python, "-m", "snakemake", *_THREADS), _writes("Snakefile", SNAKEFILE), _made, "snakemake"),
    ]


_REDUN = "import sys; from redun.cli import RedunClient; RedunClient().execute(['redun', *sys.argv[1:]])"
_THREADS = ("--cores", "1", "--force-use-threads", "--quiet", "all")


def versions(python: str, wanted: list[Peer]) -> dict[str, str]:
    """The version of each distribution; those that are not installed are left out."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    found = {}
    for name in dict.fromkeys(peer.distribution for peer in wanted):
        interpreter = sys.executable if name == "flowbuild" else python
        said = subprocess.run([interpreter, "-c", code, name], capture_output=True, text=True, check=False)
        if said.returncode == 0:
            found[name] = said.stdout.strip()
    return found


def _made(layer: int, place: int) -> str:
    return f"out/layer{layer:03}/t{place:03}.txt"


def _shown(layer: int, place: int) -> str:
    return f"out/bin/l{layer:03}t{place:03}/line.txt"


def _writes(name: str, text: str) -> Callable[[Graph, Path], None]:
    """What writes one file, with the size of the graph at its top, and makes the directories for outputs."""

    def write(graph: Graph, root: Path) -> None:
        (root / name).write_text(f"LAYERS, WIDTH = {graph.layers}, {WIDTH}\n{text}")
        for layer in range(graph.layers):
            (root / _made(layer, 0)).parent.mkdir(parents=True)

    return write


def _write_handlers(graph: Graph, root: Path, more: str = "") -> None:
    body = f"    rule: python\n    handler: work.py:write_line\n    outputs: {{target: line.txt}}\n{more}"
    _write_targets(graph, root, lambda layer, place: body)


def _write_inline(graph: Graph, root: Path) -> None:
    _write_handlers(graph, root, "    inline: true\n")


def _write_notes(graph: Graph, root: Path) -> None:
    lines = graph.lines()
    (root / "rules").mkdir()
    (root / "rules/noted.rule.yaml").write_text(NOTED)
    _write_targets(graph, root, lambda layer, place: f'    rule: noted\n    content: "{lines[layer][place]}\\n"\n')


def _write_targets(graph: Graph, root: Path, body: Callable[[int, int], str]) -> None:
    """One package, in which each target needs a source and two targets of the layer before."""
    (root / "flowbuild.yaml").write_text("")
    parts = ["targets:\n"]
    for layer, place in graph.places():
        needs = [source(layer, place)]
        if layer:
            needs += [f":l{layer - 1:03}t{one % WIDTH:03}" for one in (place, place + 1)]
        inputs = "".join(f"      {name}: {need}\n" for name, need in zip("abc", needs, strict=False))
        parts.append(f"  l{layer:03}t{place:03}:\n{body(layer, place)}    inputs:\n{inputs}")
    (root / "BUILD.yaml").write_text("".join(parts))
