"""What people read, word for word: the terminal, explain, why, lists and help, over the workspace of the examples.

Run ids and times are given, not found; the engine is a scripted one; nothing else is made up.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from syrupy.assertion import SnapshotAssertion
from workshop import Workshop

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.core.ids import RunId
from flowbuild.engine.python import CAPABILITIES
from flowbuild.front import cli
from flowbuild.run.bind import bind
from flowbuild.store.journal import read
from flowbuild.testing import ScriptedEngine

MORNING = 1_795_255_000_000  # 21 Nov 2026, 09:56:40 UTC


class Teller:
    """The command line in this process: what it prints, under a clock that stands still."""

    def __init__(self, space: Workshop, capture: pytest.CaptureFixture[str]) -> None:
        self.space = space
        self.script: dict[str, object] = {}
        self._capture = capture

    def tell(self, *lines: str) -> str:
        """What these command lines print, one after the other."""
        return "\n".join(self._one(line) for line in lines)

    def _one(self, line: str) -> str:
        code = cli.main(line.split())
        out, err = self._capture.readouterr()
        status = f"(exit {code})\n" if code else ""
        return f"$ flowbuild {line}\n{out}{err}{status}"


@pytest.fixture
def words(workshop: Workshop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Teller]:
    teller = Teller(workshop.words(), capsys)
    still = SimpleNamespace(monotonic=lambda: 0.0)
    numbers = itertools.count(1)
    monkeypatch.chdir(workshop.root)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    time.tzset()
    monkeypatch.setattr("flowbuild.front.console.time", still)
    monkeypatch.setattr("flowbuild.front.report.time", still)
    monkeypatch.setattr("flowbuild.run.run.now_millis", lambda: MORNING)
    monkeypatch.setattr(
        "flowbuild.front.build.new_run_id", lambda: RunId(f"{next(numbers):08d}-0000-4000-8000-000000000000")
    )
    monkeypatch.setattr("flowbuild.run.session.PythonEngine", lambda reaper, **more: ScriptedEngine(teller.script))  # type: ignore[arg-type]
    yield teller
    monkeypatch.undo()
    time.tzset()


def test_a_first_build_and_the_next(words: Teller, snapshot: SnapshotAssertion) -> None:
    assert words.tell("//words", "//words", "//words -v", "//words -q") == snapshot


def test_an_edit_whose_result_is_the_same(words: Teller, snapshot: SnapshotAssertion) -> None:
    words.tell("//words")
    words.space.write("words/names.txt", "bo\n")
    assert words.tell("//words") == snapshot


def test_an_edit_that_goes_through(words: Teller, snapshot: SnapshotAssertion) -> None:
    words.tell("//words")
    words.space.write("words/names.txt", "bo\n")
    words.script = {"//words:sorted": "bo\n", "//words:stats": "1\n"}
    assert words.tell("explain //words", "//words", "why //words:top", "why //words:sorted") == snapshot


def test_a_failure(words: Teller, snapshot: SnapshotAssertion) -> None:
    def fail(action: Action) -> Outcome:
        error = ErrorInfo("exit_1", "exit 1 after 0.02 s")
        log, place = "logs/words_stats.stderr", "cd stage/words && env -i LC_ALL=C sh -eu ../script"
        return Outcome(error=error, stderr_tail="wc: texts/a.txt: Permission denied\n", log=log, reproduce=place)

    words.script = {"//words:stats": fail}
    assert words.tell("//words") == snapshot


def test_explain(words: Teller, snapshot: SnapshotAssertion) -> None:
    first = words.tell("explain //words")
    words.tell("//words")
    words.space.write("words/texts/b.txt", "three\n")
    words.space.write("words/tokens.py", "def split_words(text):\n    return []\n")
    second = words.tell("explain //words", "explain //words -v --force //words:sorted")
    words.space.write("words/names.txt", "bo\n")
    third = words.tell("explain --json //words:sorted")  # the keys of the others name this host's shell and Python
    assert f"{first}\n{second}\n{third}" == snapshot


def test_why(words: Teller, snapshot: SnapshotAssertion) -> None:
    lines = ["why //words:top", "//words", "why //words:top", "//words:top --set limit=3", "why //words:top"]
    told = words.tell(*lines)
    words.space.write("words/names.txt", "bo\n")
    words.script = {"//words:sorted": "bo\n", "//words:stats": "1\n"}
    told += "\n" + words.tell("//words", "why --json //words:top")
    words.space.write("words/names.txt", "mo\nada\nada\n")
    assert told + "\n" + words.tell("//words", "why //words:sorted", "why //words:texts") == snapshot


def test_lists(words: Teller, snapshot: SnapshotAssertion) -> None:
    lines = ["list", "list rules", "list plans", "list nonsense", "describe exec", "describe //words:top"]
    assert words.tell(*lines, "describe exce", "outputs //words:sorted") == snapshot


def test_what_runs_inline(words: Teller, snapshot: SnapshotAssertion) -> None:
    build = words.space.read("words/BUILD.yaml").replace("    handler:", "    inline: true\n    handler:")
    words.space.write("words/BUILD.yaml", build)
    told = words.tell("explain //words:top", "describe //words:top", "//words:top", "why //words:top")
    assert told == snapshot


@pytest.mark.parametrize(
    "line",
    [
        *("//words:sorted//", "//word", "//words:sortd", "//words --continu always", "explian //words"),
        *("//words:top --set lmit=3", "--policy replay //words", "//words --policy biuld", "//words/nothing/..."),
    ],
)
def test_what_is_wrong_is_said_kindly(words: Teller, line: str, snapshot: SnapshotAssertion) -> None:
    assert words.tell(line) == snapshot


@pytest.mark.parametrize("line", ["--help", "build --help", "explain --help"])
def test_help(words: Teller, line: str, snapshot: SnapshotAssertion) -> None:
    assert words.tell(line) == snapshot


def test_the_action_of_a_command(workshop: Workshop, snapshot: SnapshotAssertion) -> None:
    engine = {"name": CAPABILITIES.name, "version": CAPABILITIES.version, "capabilities": CAPABILITIES.digest}
    with workshop.words().open("//words:sorted") as build:
        action = bind(build.graph.states[0], {}, engine, build.session.facts)
    assert json.loads(canonical(action.doc)) == action.doc
    assert canonical(action.doc).decode() == snapshot


def test_a_journal(words: Teller, snapshot: SnapshotAssertion) -> None:
    """Without checksums and with the manifest's digest, which names this host and version, put aside."""
    words.tell("//words:sorted")
    (journal,) = Path(words.space.root / ".flowbuild/runs").glob("*/journal.jsonl")
    envelopes = list(read(journal))
    for number, envelope in enumerate(envelopes):
        envelope["ts_millis"] = MORNING + number
    envelopes[0]["event"]["Kernel"]["RunStarted"]["manifest_id"] = "(of this host)"
    assert "\n".join(canonical(envelope).decode() for envelope in envelopes) == snapshot
