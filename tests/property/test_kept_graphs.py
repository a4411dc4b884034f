"""Kept graphs against lowering anew: after any edits, whoever has kept graphs is told what somebody without them is told.

`FLOWBUILD_KEPT=5000` makes so many edits; the usual few hundred are what each change is tested with.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

from flowbuild.core.errors import Faults, FlowError

EDITS = int(os.environ.get("FLOWBUILD_KEPT", "300"))
SEEDS = (1, 2, 8)
ROUND = 25  # edits until the workspace is whole again
GOOD = 3  # of so many edits that leave a fault, all but one are followed by a whole workspace

NOTED = """
rule: noted
attributes:
  note: {type: file, required: true}
  more: {type: files, default: []}
  draft: {type: boolean, default: false}
outputs: {said: "${{ states.note.outputs.said }}"}
states:
  note: {kind: write, with: {content: "${{ attr.note }} ${{ params.loud }}"}, outputs: {said: "said.txt"}}
  draft:
    when: "${{ attr.draft }}"
    kind: exec
    with: {script: "cat ${{ inputs.more }} > ${{ outputs.all }}"}
    inputs: {more: "${{ attr.more }}"}
    outputs: {all: all.txt}
"""
EACH = """
rule: each_file
attributes: {files: {type: files, required: true}}
outputs: {made: "${{ states.call.outputs.made }}"}
states:
  call:
    each: {file: "${{ attr.files }}"}
    kind: exec
    with: {script: "cp ${{ inputs.source }} ${{ outputs.made }}"}
    inputs: {source: "${{ file }}"}
    outputs: {made: "${{ file.name }}.out"}
"""
TOP = """
targets:
  words: {rule: filegroup, files: {glob: "a/texts/**/*.txt", exclude: ["no*"], optional: true}}
  all: {rule: group, targets: [//a:shout, //b:judged]}
""".replace("  all:", "  everything:")
A = """
targets:
  texts: {rule: filegroup, files: {glob: "**/*.txt", exclude: [texts/not.txt], optional: true}}
  shout:
    rule: python
    handler: h.py:shout
    modules: {glob: "mod*.py"}
    inputs: {texts: ":texts"}
    outputs: {said: said.txt}
    params: {limit: 3}
    with: {limit: "${{ params.limit }}"}
    env: [LANG_OF_TEST]
    tags: [first]
  after:
    rule: exec
    script: "cat ${{ inputs.it }} > ${{ outputs.o }}"
    inputs: {it: "texts/one.txt"}
    outputs: {o: o.txt}
    depends_on: [first]
  noted: {rule: noted, note: note.txt, more: [texts/one.txt], params: {loud: "no"}}
"""
B = """
targets:
  copies: {rule: each_file, files: {glob: "data/*"}}
  spread:
    rule: python
    handler: sub/spread.py:spread
    inputs: {one: //a:shout}
    outputs: {o: o.json}
  judged: {rule: golden, actual: ":spread", expected: golden.json}
  installed: {rule: python, handler: "pack_of_test.mod:call", outputs: {o: o.txt}}
  many: {rule: run, targets: [":spread", ":copies"]}
  flow:
    rule: flow
    steps:
      start: {type: emit, with: {value: 1}, next: end}
      end: {type: own}
    handlers: {own: "h.py:own"}
"""
PROBED = """
targets:
  probes:
    rule: registry
    probes: {read: {operation: file-read-data, target: /etc/hosts}}
    profiles: {free: {restrict: {}}}
  plan: {rule: plan, registry: ":probes", profiles: [free], lanes: [baseline, scenario]}
  run: {rule: run, plan: ":plan"}
"""
SHOUT = "import maybe_here\nimport mod_one\nimport pack_of_test\n\n\ndef shout(texts, said, limit):\n    pass\n"
FILES = {
    "flowbuild.yaml": "pools: {few: 2}\n",
    "BUILD.yaml": TOP,
    "rules/noted.rule.yaml": NOTED,
    "rules/each_file.rule.yaml": EACH,
    "a/BUILD.yaml": A,
    "a/h.py": SHOUT,
    "a/mod_one.py": "import json\n",
    "a/note.txt": "note\n",
    "a/texts/one.txt": "one\n",
    "a/texts/not.txt": "not\n",
    "a/texts/deep/two.txt": "two\n",
    "b/BUILD.yaml": B,
    "b/h.py": "def own():\n    return 1\n",
    "b/sub/spread.py": "def spread(one, o):\n    pass\n",
    "b/data/x.csv": "1\n",
    "b/data/y.csv": "2\n",
    "probed/BUILD.yaml": PROBED,
    "templates/t/BUILD.yaml": "targets: {left: {rule: group, targets: []}}\n",
    "templates/t/template.yaml": "",
    "apart/kept.txt": "apart\n",
    "apart/sub/spread.py": "def spread(one, o):\n    pass\n",
}
PACK = {"pack_of_test/__init__.py": "", "pack_of_test/mod.py": "def call(o):\n    pass\n"}
REQUESTS = (
    ("//...",),
    ("//a/...", "//b/..."),
    ("//a:shout", "//a:noted"),
    ("//a:noted",),
    ("//b:judged",),
    ("//b:copies",),
    ("//b:installed",),
    ("//b:flow",),
    ("//:words",),
    ("//...", "-//a/texts/..."),
    ("//a:all", "--set", "limit=4"),
    ("//b:many",),
    ("//probed:run",),
    ("test", "//..."),
)
SWAPS = (
    ("flowbuild.yaml", "few: 2", "few: 3"),
    ("flowbuild.yaml", "pools: {few: 2}", "ignore: [deep/]"),
    ("flowbuild.yaml", "pools: {few: 2}", "handlers: {own: h.py:own}"),
    ("flowbuild.yaml", "pools: {few: 2}", "cache: {dir: ~/texts}"),
    ("flowbuild.yaml", "pools: {few: 2}", "stage: false"),
    ("rules/noted.rule.yaml", "said.txt", "told.txt"),
    ("rules/noted.rule.yaml", "default: false", "default: true"),
    ("rules/each_file.rule.yaml", ".out", ".new"),
    ("a/BUILD.yaml", "limit: 3", "limit: 5"),
    ("a/BUILD.yaml", "texts/not.txt", "texts/one.txt"),
    ("a/BUILD.yaml", "LANG_OF_TEST", "LONG_OF_TEST"),
    ("a/BUILD.yaml", "tags: [first]", "tags: [fist]"),
    ("a/BUILD.yaml", "shout:", "shoot:"),
    ("a/BUILD.yaml", "more: [texts/one.txt]", "more: [note.txt]"),
    ("b/BUILD.yaml", "data/*", "dat*/*"),
    ("b/BUILD.yaml", "golden.json", "another.json"),
    ("b/BUILD.yaml", "value: 1", "value: 2"),
    ("probed/BUILD.yaml", "/etc/hosts", "/etc/group"),
    ("a/h.py", "texts, said", "texts, sadi"),
    ("a/h.py", "maybe_here", "maybe_gone"),
    ("a/h.py", "maybe_here", "pack_of_more"),
    ("a/h.py", "shout(texts", "shout(taxts"),
    ("a/mod_one.py", "import json", "import abcd"),
    ("a/mod_one.py", "import json", "x = r'\\d'\n'\\d'"),
    ("b/h.py", "own()", "own(a)"),
    ("b/sub/spread.py", "one, o", "two, o"),
)
PLACES = (
    *["a/note.txt", "a/texts/one.txt", "apart/late.txt", "apart/kept.txt"] * 3,
    "maybe_here.py", "a/maybe_here.py", "a/maybe_here/__init__.py", "a/mod_two.py", "a/mod_one.py", "a/note.txt",
    "a/texts", "a/texts/one.txt", "a/texts/no.txt", "a/texts/three.txt", "a/texts/deep", "a/texts/deep/four.txt",
    "a/texts/BUILD.yaml", "a/texts/deep/BUILD.yaml", "a/texts/flowbuild.yaml", "a/flowbuild.yaml", "b/flowbuild.yaml",
    "b/sub/flowbuild.yaml", "b/sub/BUILD.yaml", "b/sub", "b/data", "b/data/x.csv", "b/data/z.csv", "b/data/d",
    "b/golden.json", "b/another.json", "b/pack_of_test.py", "pack_of_test/__init__.py", "c/BUILD.yaml", "c",
    "rules/other.rule.yaml", "rules/noted.rule.yaml", "rules", "templates/t/template.yaml", "templates/t/BUILD.yaml",
    "templates/t/deep/BUILD.yaml", "templates/template.yaml", "apart/kept.txt", "apart/late.txt", "apart", "a", "b",
    "out/BUILD.yaml", "a/out/BUILD.yaml", "a/.git/x.txt", "a/texts/__pycache__/x.txt", "a/BUILD.yaml", "BUILD.yaml",
)  # fmt: skip
LEADS = (
    "kept.txt",
    "late.txt",
    "apart/kept.txt",
    "apart/late.txt",
    "apart",
    "apart/sub",
    "away/far.txt",
    "away",
    "a/note.txt",
)


class Wood:
    """A workspace that is edited at random. Beside it lies `away`, and `lib` with what is installed."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.base = base
        self.root = base / "workspace"
        self.monkeypatch = monkeypatch
        self.random = random.Random(seed)
        self.space = Workshop(self.root)
        self.kept = 0
        self.said: list[str] = []
        for lib in ("lib", "more"):
            for path, text in PACK.items():
                self.write(
                    base / lib / path.replace("pack_of_test", "pack_of_test" if lib == "lib" else "pack_of_more"), text
                )
        self.write(base / "away/far.txt", "far\n")
        self.whole()

    def whole(self) -> None:
        """The workspace as it was in the beginning."""
        self.said = []
        for one in self.root.iterdir():
            if one.name != ".flowbuild":
                one.unlink() if one.is_symlink() or not one.is_dir() else shutil.rmtree(one)
        for path, text in FILES.items():
            self.write(self.root / path, text)
        self.monkeypatch.setenv("HOME", str(self.base))
        self.path(str(self.base / "lib"))

    def path(self, *entries: str) -> None:
        rest = [one for one in sys.path if not one.startswith(str(self.base))]
        self.monkeypatch.setattr(sys, "path", [*entries, *rest])
        self.monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entries))

    @staticmethod
    def write(place: Path, text: str) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def edit(self) -> None:
        """One edit that is possible here."""
        while True:
            one = self.random.choice(EDIT)
            try:
                said = one(self)
            except (OSError, shutil.Error):
                continue
            if said:
                self.said.append(f"{one.__name__} {said}")
                return

    def place(self) -> Path:
        return self.root / self.random.choice(PLACES)

    def swap(self) -> str:
        path, old, new = self.random.choice(SWAPS)
        place = self.root / path
        if not place.is_file():
            return ""
        before, text = place.stat(), place.read_text()
        if self.random.random() < 0.3:
            old, new = new, old
        if old not in text:
            return ""
        place.write_text(text.replace(old, new, 1))
        if self.random.random() < 0.7:
            os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
        return f"{path} {old} {new}"

    def add(self) -> str:
        place = self.place()
        if place.exists() or place.is_symlink():
            return ""
        path = str(place.relative_to(self.root))
        text = FILES.get(
            path,
            "targets: {}\n"
            if place.name == "BUILD.yaml"
            else EACH.replace("each_file", "other")
            if place.name == "other.rule.yaml"
            else "",
        )
        if place.suffix:
            self.write(place, text)
        else:
            place.mkdir(parents=True)
        return path

    def remove(self) -> str:
        place = self.place()
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        return str(place)

    def rename(self) -> str:
        place, to = self.place(), self.place()
        if to.exists():
            return ""
        place.rename(to)
        return f"{place} {to}"

    def link(self) -> str:
        """A link, perhaps to nothing; what stood there is moved to where it leads, or lost."""
        place, lead = self.place(), self.random.choice(LEADS)
        to = self.base / lead if lead.startswith("away") else self.root / lead
        if self.random.random() < 0.3:
            to = self.base / "away" / f"moved{self.random.randrange(10**9)}"
            place.rename(to)
        elif place.is_symlink() or place.is_file():
            place.unlink()
        elif place.is_dir():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(to if self.random.random() < 0.5 else os.path.relpath(to, place.parent.resolve()))
        return f"{place} {to}"

    def pipe(self) -> str:
        """Something that is no file, or a file again."""
        place = self.place()
        if not place.suffix:
            return ""
        if place.is_fifo():
            place.unlink()
            place.write_text("")
        else:
            if place.exists():
                place.unlink()
            os.mkfifo(place)
        return str(place)

    def mode(self) -> str:
        place = self.place()
        place.chmod(self.random.choice((0o644, 0o755, 0o600)))
        return str(place)

    def source(self) -> str:
        place = self.place()
        if place.suffix not in (".txt", ".csv", ".json") or place.is_fifo():
            return ""
        place.write_text(str(self.random.random()))
        return str(place)

    def home(self) -> str:
        home = self.random.choice((self.base, self.root / "a", self.root))
        self.monkeypatch.setenv("HOME", str(home))
        return str(home)

    def installed(self) -> str:
        libs = self.random.choice((["lib"], ["lib", "more"], ["more"], ["more", "lib"], []))
        self.path(*(str(self.base / one) for one in libs))
        return str(libs)

    def library(self) -> str:
        place = self.base / self.random.choice(("lib", "more")) / "pack_of_test/mod.py"
        self.write(place, self.random.choice(("def call(o):\n    pass\n", "def call(p):\n    pass\n", "")))
        return str(place)

    def ask(self, words: tuple[str, ...], *, anew: bool) -> Any:
        """The targets and their graph, or the faults."""
        try:
            asked = [one for one in words if one != "test"]
            with self.space.open(*asked, *(["--policy", "dry"] if anew else [])) as build:
                build.request.command = "test" if "test" in words else build.request.command
                if anew:
                    build.session.parsed.clear()
                    build._lowering.__dict__["_kept"] = None
                else:
                    self.kept += build._lowering._kept is not None
                return build.labels, build.graph
        except FlowError as error:
            return [_told(error)]
        except Faults as several:
            return [_told(one) for one in several.exceptions]


EDIT: tuple[Callable[[Wood], str], ...] = (
    *[Wood.swap] * 5, *[Wood.add] * 4, *[Wood.remove] * 3, *[Wood.link] * 4, Wood.rename, Wood.pipe, Wood.mode,
    Wood.source, Wood.home, Wood.installed, Wood.library,
)  # fmt: skip


def _told(error: Any) -> Any:
    return type(error).__name__, str(error), getattr(error, "remedy", ""), str(getattr(error, "location", ""))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kept_graph_is_what_would_be_lowered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    wood = Wood(tmp_path, monkeypatch, seed)
    for number in range(EDITS // len(SEEDS)):
        if number % ROUND == 0:
            wood.whole()
        words = wood.random.choice(REQUESTS)
        wood.ask(words, anew=False)
        for _ in range(wood.random.choice((1, 1, 1, 2, 3))):
            wood.edit()
        found = wood.ask(words, anew=False)
        expected = wood.ask(words, anew=True)
        assert found == expected, (words, wood.said)
        if isinstance(expected, list) and wood.random.randrange(GOOD):
            wood.whole()
    assert wood.kept > EDITS // len(SEEDS) // 4
