"""Builds in this process: the real road from words to bytes, with an engine that a test chooses.

Knows nothing of pytest. Everything but the engine is what the program itself uses, and a build ends before `build`
returns, so the next one reads all from disk.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbuild.core.action import Action, Outcome
from flowbuild.core.event import Event, from_doc
from flowbuild.engine.engine import Capabilities, Engine, Io, Performance, Wait
from flowbuild.front.arguments import parse
from flowbuild.front.build import Build
from flowbuild.front.console import Console
from flowbuild.graph.state import StateGraph
from flowbuild.run.explain import Verdict, explain
from flowbuild.testing import ScriptedEngine, Space

WORDS = {
    "words/BUILD.yaml": """
targets:
  texts:
    rule: filegroup
    files: {glob: texts/**/*.txt}

  sorted:
    rule: exec
    command: sort -u ${{ inputs.names }} -o ${{ outputs.sorted }}
    inputs: {names: names.txt}
    outputs: {sorted: sorted.txt}
    env: {LC_ALL: C}

  stats:
    rule: exec
    script: |
      wc -w ${{ inputs.texts }} > ${{ outputs.counts }}
      mkdir ${{ outputs.parts }} && split -l 100 ${{ inputs.names }} ${{ outputs.parts }}/part.
    inputs:
      texts: :texts
      names: :sorted
    outputs: {counts: counts.txt, parts: parts/}

  top:
    rule: python
    handler: top.py:most_frequent
    modules: [tokens.py]
    inputs: {words: //words:stats#counts}
    outputs: {top: top.json}
    params: {limit: 10}
    with: {limit: "${{ params.limit }}"}

  words:
    rule: group
    targets: [//words:top, //words:stats]
""",
    "words/top.py": """
import json
from pathlib import Path
from tokens import split_words


def most_frequent(words: Path, top: Path, limit: int) -> None:
    top.write_text(json.dumps(split_words(words.read_text())[:limit]))
""",
    "words/tokens.py": "def split_words(text):\n    return text.split()\n",
    "words/names.txt": "mo\nada\nada\n",
    "words/texts/a.txt": "one two\n",
}


@dataclass
class Result:
    """What one build in this process came to."""

    code: int
    out: str
    performed: list[str]

    @property
    def events(self) -> list[Event]:
        """The events of a build with --json."""
        docs = map(json.loads, self.out.splitlines())
        return [from_doc(doc["event"]) for doc in docs if "event" in doc]


class Workshop(Space):
    """A workspace whose builds happen here."""

    def __init__(self, root: Path, engine: Callable[[], Engine] = ScriptedEngine) -> None:
        super().__init__(root)
        self.engine = engine
        self.out = io.StringIO()

    def words(self) -> Workshop:
        """Write the workspace of the examples, with programs of its own: `sort` is a file that is never run."""
        self.write("flowbuild.yaml", f"path: [{self.root}/bin]\n")
        self.write("bin/sort", "sort\n", executable=True)
        for path, text in WORDS.items():
            self.write(path, text)
        return self

    def open(self, *words: str) -> Build:
        """A request that is not begun. Enter it as a context."""
        request = parse(["-C", str(self.root), *words])
        assert request is not None, words
        self.out = io.StringIO()
        console = Console(as_json=request.json, quiet=request.quiet, verbose=request.verbose, out=self.out)
        build = Build(request, console)
        build.session.engine = self.engine()
        return build

    def make(self, *words: str) -> Result:
        """Build to the end."""
        with self.open(*words) as build:
            code = build.build()
            return Result(code, self.out.getvalue(), list(getattr(build.session.engine, "performed", ())))

    def verdicts(self, *words: str) -> list[Verdict]:
        """What a build would do."""
        with self.open(*words) as build:
            return list(build.verdicts(explain))


@dataclass
class AddingEngine:
    """Really reads its inputs: the one output is the sum of all numbers in them and in the command, modulo `modulo`.

    A small modulus gives equal outputs of unequal inputs often, which is what early cutoff lives on.
    """

    modulo: int = 3
    performed: list[str] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("adding", str(self.modulo), ("exec",))

    def perform(self, action: Action, io: Io) -> Performance:
        self.performed.append(action.label)
        yield Wait((), 0.0)  # the deadline has passed: the evaluator comes back at once
        place = io.scratch(action)
        io.stage(action.staged, place)
        files = [file for one in action.staged for file in _files(place / one.path)]
        constants = [int(word) for word in action.with_["command"] if word.isdigit()]
        total = sum(int(file.read_text()) for file in files) + sum(constants)
        made = place / "sum"
        made.write_text(f"{total % self.modulo}\n")
        collected = io.collect(made)
        assert collected is not None
        return Outcome({name: collected for name in action.outputs})

    def interrupt(self) -> None:
        """Nothing is ever under way."""

    def close(self) -> None:
        """Nothing is kept."""


def _files(path: Path) -> Sequence[Path]:
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())


def target(command: str, **more: Any) -> dict[str, Any]:
    """A declaration of an exec target with one output."""
    return {"rule": "exec", "command": command, "outputs": {"o": "o"}, **more}


def declare(targets: dict[str, Any]) -> str:
    """A BUILD.yaml; JSON is YAML."""
    return json.dumps({"targets": targets})


def lowered(space: Workshop, *words: str) -> StateGraph:
    """The graph of a request; `//...` if nothing is asked for."""
    return space.open(*(words or ("//...",))).graph
