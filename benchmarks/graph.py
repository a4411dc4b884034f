"""The graph that is measured: targets in layers of 100, written down for flowbuild, ninja and GNU make.

Knows nothing of how the tools are run. Each target reads one source of its layer and two outputs of the layer before,
and writes one line: a number that depends on all three.

What is as fair as we could make it, and what is not:
- All three run the same words by /bin/sh. They are shell builtins only, so that a command costs one process, and what
  is measured is the tools. Real commands cost more, and bring all ratios nearer to 1.
- flowbuild stages inputs, captures output, hashes, records a journal, stores and flushes. These are its defaults, so
  they are on. ninja and make do none of it.
- make gets `-rR` and its output directories ready-made; else it would look for built-in rules of each file.
- A command that writes an equal result looks changed to ninja and make, which look at times. They would need a
  `cmp || mv` in each command, and then the commands would differ. So an edit lies where it reaches few targets.

Shapes:  <root>/layer000/s000.txt, two lines: a number that counts, a remark that does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WIDTH = 100
REACH = 10
"""An edit lies that many layers from the end, and so reaches 1 + 2 + ... + 10 = 55 targets at every size."""

_PRIME = 1000003
_FIRST = "read a < {source}; echo $((a % 1000003)) > {line}"
_LATER = "read a < {source}; read b < {left}; read c < {right}; echo $(((a + 3 * b + 5 * c) % 1000003)) > {line}"


class Graph(NamedTuple):
    """How many layers there are. A target is its layer and its place in it."""

    layers: int

    @classmethod
    def of(cls, targets: int) -> Graph:
        return cls(max(REACH, targets // WIDTH))

    @property
    def targets(self) -> int:
        return self.layers * WIDTH

    @property
    def edited(self) -> tuple[int, int]:
        """The target whose source is edited."""
        return self.layers - REACH, WIDTH // 2

    def places(self) -> Iterator[tuple[int, int]]:
        return ((layer, place) for layer in range(self.layers) for place in range(WIDTH))

    def last_lines(self, edited_to: int | None = None) -> list[int]:
        """What stands in the outputs of the last layer, computed without any of the tools."""
        return self.lines(edited_to)[-1]

    def lines(self, edited_to: int | None = None) -> list[list[int]]:
        """What stands in every output, layer by layer."""
        lines: list[list[int]] = []
        for layer in range(self.layers):
            mine = [number(layer, place) for place in range(WIDTH)]
            if edited_to is not None and layer == self.edited[0]:
                mine[self.edited[1]] = edited_to
            if lines:
                before = lines[-1]
                mine = [a + 3 * before[place] + 5 * before[(place + 1) % WIDTH] for place, a in enumerate(mine)]
            lines.append([a % _PRIME for a in mine])
        return lines


def number(layer: int, place: int) -> int:
    """The number in a source, before any edit."""
    return layer * WIDTH + place + 1


def source(layer: int, place: int) -> str:
    """A source's path in each of the three workspaces."""
    return f"layer{layer:03}/s{place:03}.txt"


def write_source(root: Path, layer: int, place: int, value: int, remark: str) -> None:
    """A source: the remark may change without consequence."""
    (root / source(layer, place)).write_text(f"{value}\n# {remark}\n")


def write_sources(graph: Graph, root: Path) -> None:
    """All sources, with their directories."""
    for layer in range(graph.layers):
        (root / f"layer{layer:03}").mkdir(parents=True)
    for layer, place in graph.places():
        write_source(root, layer, place, number(layer, place), "as generated")


def write_flowbuild(graph: Graph, root: Path) -> None:
    """A package for each layer, as people write them."""
    (root / "flowbuild.yaml").write_text("runtime: {engine: python}\n")
    for layer in range(graph.layers):
        targets = "".join(_flowbuild_target(layer, place) for place in range(WIDTH))
        if layer == graph.layers - 1:
            names = "".join(f"      - :t{place:03}\n" for place in range(WIDTH))
            targets += f"  last:\n    rule: group\n    targets:\n{names}"
        (root / f"layer{layer:03}/BUILD.yaml").write_text(f"targets:\n{targets}")


def _flowbuild_target(layer: int, place: int) -> str:
    names = {"line": "${{ outputs.line }}"} | {
        name: f"${{{{ inputs.{name} }}}}" for name in ("source", "left", "right")
    }
    inputs = [f"source: s{place:03}.txt"]
    if layer:
        before = f"//layer{layer - 1:03}:t"
        inputs += [f"left: {before}{place:03}", f"right: {before}{(place + 1) % WIDTH:03}"]
    lines = [
        f"t{place:03}:",
        "  rule: exec",
        f"  script: {(_LATER if layer else _FIRST).format_map(names)}",
        f"  inputs: {{{', '.join(inputs)}}}",
        "  outputs: {line: line.txt}",
    ]
    return "".join(f"  {line}\n" for line in lines)


def output(layer: int, place: int) -> str:
    """An output's path for ninja and make."""
    return f"out/layer{layer:03}/t{place:03}.txt"


def shown(layer: int, place: int) -> str:
    """An output's path for flowbuild."""
    return f"out/bin/layer{layer:03}/t{place:03}/line.txt"


def write_ninja(graph: Graph, root: Path) -> None:
    """One rule for the first layer, one for the others."""
    names = {name: f"${name}" for name in ("source", "left", "right")} | {"line": "$out"}
    lines = []
    for rule, command in (("first", _FIRST), ("later", _LATER)):
        lines += [f"rule {rule}", f"  command = {command.replace('$(', '$$(').format_map(names)}"]
    for layer, place in graph.places():
        needs = _needs(layer, place)
        lines.append(f"build {output(layer, place)}: {'later' if layer else 'first'} {' '.join(needs.values())}")
        lines += [f"  {name} = {path}" for name, path in needs.items()]
    lines.append(f"build last: phony {_last(graph)}")
    lines.append(f"build all: phony {' '.join(output(layer, place) for layer, place in graph.places())}")
    (root / "build.ninja").write_text("\n".join(lines) + "\n")


def write_make(graph: Graph, root: Path) -> None:
    """One rule for each target."""
    every = " ".join(output(layer, place) for layer, place in graph.places())
    lines = ["MAKEFLAGS += -rR", ".SUFFIXES:", ".PHONY: all last", f"all: {every}", f"last: {_last(graph)}"]
    for layer, place in graph.places():
        needs = _needs(layer, place)
        command = (_LATER if layer else _FIRST).replace("$(", "$$(").format(line=output(layer, place), **needs)
        lines += [f"{output(layer, place)}: {' '.join(needs.values())}", f"\t@{command}"]
    (root / "Makefile").write_text("\n".join(lines) + "\n")


def _needs(layer: int, place: int) -> dict[str, str]:
    needs = {"source": source(layer, place)}
    if layer:
        needs |= {"left": output(layer - 1, place), "right": output(layer - 1, (place + 1) % WIDTH)}
    return needs


def _last(graph: Graph) -> str:
    return " ".join(output(graph.layers - 1, place) for place in range(WIDTH))
