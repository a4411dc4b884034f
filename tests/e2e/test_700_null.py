"""The null road against the slow one: whatever the slow road has something to say about, the null table must see.

After each change the table is asked first, which changes nothing; then the slow road runs without any table. "Nothing
moved" is a lie if the slow road does more than say "up to date".
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild import __main__ as launcher
from flowbuild.front.arguments import key, parse
from flowbuild.store import null
from flowbuild.testing import Space

BUILD = """
targets:
  copied:
    rule: exec
    script: |
      cat ${{ inputs.name }} ${{ inputs.rest }} > ${{ outputs.all }}
      echo "${FLOW_TEST-none}" >> ${{ outputs.all }}
    inputs: {name: n.txt, rest: {glob: "texts/**/*.txt"}}
    outputs: {all: all.txt}
    env: [FLOW_TEST]
  tool:
    rule: exec
    command: greet ${{ inputs.name }} ${{ outputs.said }}
    inputs: {name: n.txt}
    outputs: {said: said/}
  handled:
    rule: python
    handler: h.py:shout
    modules: [m.py]
    inputs:
      name: :copied
    outputs: {loud: loud.txt}
"""

HANDLER = """
from pathlib import Path
from m import up

def shout(name: Path, loud: Path) -> None:
    loud.write_text(up(name.read_text()))
"""


@pytest.fixture
def built(space: Space, monkeypatch: pytest.MonkeyPatch) -> Space:
    """A workspace of every kind of row, built, with a null table that stands."""
    space.write("tools/greet", '#!/bin/sh\nmkdir "$2" && cat "$1" > "$2/greeting"\n', executable=True)
    (space.root / "before").mkdir()
    space.write("flowbuild.yaml", f"path: [{space.root}/before, {space.root}/tools, /usr/bin, /bin]\nignore: [x/]\n")
    space.write("a/b/BUILD.yaml", BUILD)
    space.write("a/b/n.txt", "name\n")
    space.write("a/b/texts/one.txt", "one\n")
    space.write("a/b/h.py", HANDLER)
    space.write("a/b/m.py", "def up(text: str) -> str:\n    return text.upper()\n")
    monkeypatch.chdir(space.root)
    monkeypatch.delenv("FLOW_TEST", raising=False)
    time.sleep(0.02)
    return space


Say = Callable[..., str]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Say:
    """Run flowbuild in this process; what it printed."""

    def run(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["flowbuild", *words])
        code = launcher.main()
        caught = capfd.readouterr()
        return f"{caught.out}{caught.err}exit {code}"

    return run


def is_nothing(said: str) -> bool:
    return said.startswith("up to date") and said.endswith("exit 0")


def table_stands(space: Space, *words: str) -> bool:
    request = parse(list(words))
    assert request is not None
    return null.check(str(space.root.resolve()), key(request, ".")) is not None


def append(path: str, text: str = "more\n") -> Callable[[Path], object]:
    return lambda root: (root / path).write_text((root / path).read_text() + text)


def create(path: str, text: str = "") -> Callable[[Path], object]:
    def write(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return write


def damage_objects(root: Path) -> None:
    for path in (root / ".flowbuild/cas").glob("??/*"):
        path.chmod(0o644)
        path.write_bytes(b"x" * path.stat().st_size)


CHANGES: dict[str, Callable[[Path], object]] = {
    "source edited": append("a/b/n.txt"),
    "source deleted": lambda root: (root / "a/b/n.txt").unlink(),
    "source replaced by a directory": lambda root: ((root / "a/b/n.txt").unlink(), (root / "a/b/n.txt").mkdir()),
    "globbed file edited": append("a/b/texts/one.txt"),
    "globbed file added": create("a/b/texts/two.txt"),
    "globbed file added in a new directory": create("a/b/texts/new/er/two.txt"),
    "globbed file deleted": lambda root: (root / "a/b/texts/one.txt").unlink(),
    "glob cut short by a package": create("a/b/texts/BUILD.yaml", "targets: {}\n"),
    "package edited": append("a/b/BUILD.yaml", "  # a remark\n"),
    "package added": create("c/BUILD.yaml", BUILD.replace("h.py:shout", "//a/b/h.py:shout")),
    "package deleted": lambda root: (root / "a/b/BUILD.yaml").unlink(),
    "package added above": create("a/BUILD.yaml", "targets:\n  g: {rule: group, targets: [//a/b:copied]}\n"),
    "package added in a directory called out": create("a/b/out/BUILD.yaml", "targets: {t: {rule: nonsense}}\n"),
    "package added in a directory called .git": create("a/.git/BUILD.yaml", "targets: {t: {rule: nonsense}}\n"),
    "workspace begins below": create("a/flowbuild.yaml"),
    "settings edited": append("flowbuild.yaml", "ignore: [a/]\n"),
    "rule added": create("rules/own.rule.yaml", "rule: nonsense\n"),
    "handler edited": append("a/b/h.py"),
    "module edited": append("a/b/m.py"),
    "program edited": append("tools/greet", 'echo more >> "$2/greeting"\n'),
    "program found earlier": lambda root: shutil.copy2(root / "tools/greet", root / "before/greet"),
    "program lost its mode": lambda root: (root / "tools/greet").chmod(0o644),
    "variable set": lambda root: os.environ.__setitem__("FLOW_TEST", "yes"),
    "output edited": append("out/bin/a/b/handled/loud.txt"),
    "output deleted": lambda root: (root / "out/bin/a/b/handled/loud.txt").unlink(),
    "file added to an output": create("out/bin/a/b/tool/said/other"),
    "output's mode changed": lambda root: (root / "out/bin/a/b/handled/loud.txt").chmod(0o755),
    "all outputs deleted": lambda root: shutil.rmtree(root / "out"),
    "objects damaged": damage_objects,
    "objects deleted": lambda root: shutil.rmtree(root / ".flowbuild/cas"),
    "a directory became a link": lambda root: (
        (root / "a/b/texts").rename(root / "texts"),
        (root / "a/b/texts").symlink_to("../../texts"),
    ),
}


# What no listing in the rows says yet; strict, so that whoever mends it hears of it.
ASKED = ("//...", "//a/b:handled")


@pytest.mark.parametrize("change", CHANGES)
def test_null_road_never_hides_what_the_slow_road_sees(
    built: Space, say: Say, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setenv("FLOW_TEST", "no")
    for asked in ASKED:
        say(asked)
        assert table_stands(built, asked)
    CHANGES[change](built.root)
    stands = [table_stands(built, asked) for asked in ASKED]
    shutil.rmtree(built.root / null.PLACE)
    for asked, said_nothing in zip(ASKED, stands, strict=True):
        said = say(asked)
        assert is_nothing(said) or not said_nothing, said


def test_first_build_leaves_a_table(built: Space, say: Say) -> None:
    assert "3 performed" in say("//...")
    assert table_stands(built, "//...")
    assert is_nothing(say("//..."))
