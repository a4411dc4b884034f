"""Replay by the seed's rules: no transport is made, a call without a key has no answer, and what it can't repeat it says.

Seed 001: 001-03, 001-09, 001-15, 001-18.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

from flowbuild.core.canonical import digest, sha256
from flowbuild.core.errors import StoreCorrupt
from flowbuild.engine.python import PythonEngine
from flowbuild.engine.transport import Router
from flowbuild.engine.transport_exec import ExecTransport
from flowbuild.engine.transport_http import HttpTransport
from flowbuild.front import cli
from flowbuild.run.outside import Outside
from flowbuild.run.replay import rebuilt
from flowbuild.run.story import Told
from flowbuild.store.cas import Cas
from flowbuild.testing import Space

ONE = "targets:\n  a: {rule: python, handler: h.py:a, outputs: {o: o.txt}}\n  report: {rule: run, targets: [':a']}\n"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of what is constructed that could reach outside."""
    names: list[str] = []
    for kind in (Outside, Router, ExecTransport, HttpTransport):

        def counted(
            self: Any, *words: Any, __init: Any = kind.__init__, __name: str = kind.__name__, **more: Any
        ) -> None:
            names.append(__name)
            __init(self, *words, **more)

        monkeypatch.setattr(kind, "__init__", counted)
    yield names


def test_a_replay_makes_no_transport(
    tmp_path: Path, made: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = Workshop(tmp_path / "workspace", PythonEngine)
    space.write("BUILD.yaml", ONE)
    space.write("h.py", "def a(o): o.write_text('')\n")
    assert (space.make("//:report").code, made) == (0, ["Outside"])  # no question, and none is made
    space.write("h.py", "def a(o, io): o.write_text(str([io.call('clock', {}, 'now').response, io.now_millis()]))\n")
    assert space.make("//:report").code == 0
    assert set(made) == {"Outside", "Router", "ExecTransport", "HttpTransport"}
    made.clear()
    monkeypatch.chdir(space.root)
    assert cli.main(["runs", "replay", "//:report"]) == 0
    assert "1 equal" in capsys.readouterr().out
    assert made == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("io.call('clock', {})", "missing_fact_key: clock: a replayed call needs a fact key"),
        ("io.call('clock', {}, f'at {os.getpid()} {time.time_ns()}')", "missing_fact: the source run has no fact 'at "),
        ("io.record_value(f'{time.time_ns()}', 1)", "missing_fact: the source run has no fact '"),
    ],
)
def test_what_a_run_did_not_record_has_no_answer(space: Space, body: str, said: str) -> None:
    space.write("BUILD.yaml", ONE)
    space.write("h.py", f"import os, time\ndef a(o, io):\n    {body}\n    o.write_text('same')\n")
    assert space.run("//:report").code == 0
    ran = space.run("runs", "replay", "//:report")
    assert ran.code == 1 and f"  differs  //:a  {said}" in ran.out, ran
    assert "the first that differs is //:a, event " in ran.out


def test_a_handler_may_catch_what_a_replay_lacks(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    space.write(
        "h.py",
        """
        from flowbuild.io import MissingFact, MissingFactKey

        def a(o, io):
            said = []
            for key in (None, str(io)):
                try:
                    said.append(type(io.call("clock", {}, key)).__name__)
                except (MissingFact, MissingFactKey) as error:
                    said.append(type(error).__name__)
            o.write_text(" ".join(said))
        """,
    )
    assert space.run("//:report").code == 0
    (row, _) = map(json.loads, space.run("runs", "replay", "//:report", "--json").out.splitlines())
    assert (row["found"], list(row["outputs"])) == ("differs", ["o"])


def test_a_fact_is_not_recorded_twice_with_different_payloads(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    space.write("h.py", "def a(o, io):\n    for value in (1, 1, 2):\n        io.record_value('k', value)\n")
    ran = space.run("//:report", "--json")
    assert ran.code == 1
    rows = [json.loads(line)["event"] for line in ran.out.splitlines() if '"event"' in line]
    facts = [row["Domain"]["payload"] for row in rows if row.get("Domain", {}).get("name") == "fact_recorded"]
    assert [(fact["key"], fact["payload_id"]) for fact in facts] == [("k", sha256(b"1"))]
    errors = [row["Kernel"]["StateFailed"]["error"]["info"] for row in rows if "StateFailed" in row.get("Kernel", {})]
    assert [error["code"] for error in errors] == ["fact_payload_conflict"]


def last(space: Space) -> str:
    return str(json.loads(space.run("runs", "list", "--json").out.splitlines()[-1])["run_id"])


def test_what_failed_then_and_fails_now_is_equal(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    space.write("h.py", "def a(o): raise ValueError('no')\n")
    assert space.run("//:report").code == 1
    ran = space.run("runs", "replay", last(space))
    assert (ran.code, ran.out) == (0, f"replayed {last(space)[:8]}: 1 equal\n"), ran


def test_a_refusal_is_no_fact_and_can_t_be_repeated(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    space.write("h.py", "def a(o, io): io.call('file', {'path': '/nothing/of/this/name'}, 'k')\n")
    assert space.run("//:report").code == 1
    ran = space.run("runs", "replay", last(space))
    assert ran.code == 1 and "  absent   //:a  it failed then (file_missing), and a refusal is no fact\n" in ran.out


@pytest.mark.parametrize(("is_retryable", "tries"), [("true", 3), ("false", 1)])
def test_what_lacks_a_fact_may_be_tried_again(space: Space, tmp_path: Path, is_retryable: str, tries: int) -> None:
    count = tmp_path / "count"
    space.write("flowbuild.yaml", f"run: {{retry: {{attempts: 3}}, replay_missing_fact_retryable: {is_retryable}}}\n")
    space.write("BUILD.yaml", ONE)
    space.write(
        "h.py",
        f"""
        import time

        def a(o, io):
            with open({str(count)!r}, "a") as file:
                file.write("x")
            io.call("clock", {{}}, str(time.time_ns()))
            o.write_text("same")
        """,
    )
    assert space.run("//:report").code == 0
    count.unlink()
    ran = space.run("runs", "replay", "//:report")
    assert ran.code == 1 and "differs  //:a  missing_fact: " in ran.out, ran
    assert count.read_text() == "x" * tries


def test_a_replay_makes_as_many_attempts_as_the_run(space: Space, tmp_path: Path) -> None:
    """What failed for a reason that was never recorded, such as memory that ran out, fails the first attempt again."""
    count = tmp_path / "count"
    space.write("BUILD.yaml", ONE.replace("outputs:", "retry: {attempts: 2}, outputs:"))
    space.write(
        "h.py",
        f"""
        from flowbuild.io import HandlerFailed

        def a(o, io):
            with open({str(count)!r}, "a+") as file:
                file.write("x")
                if file.tell() % 2:
                    raise HandlerFailed("busy", retryable=True)
            o.write_text("same")
        """,
    )
    assert space.run("//:report").code == 0
    ran = space.run("runs", "replay", "//:report")
    assert (ran.code, "1 equal" in ran.out, count.read_text()) == (0, True, "xxxx"), ran


def test_a_later_attempt_of_a_replay_may_ask_in_other_words_too(space: Space, tmp_path: Path) -> None:
    count = tmp_path / "count"
    space.write("BUILD.yaml", ONE.replace("outputs:", "retry: {attempts: 2}, outputs:"))
    space.write(
        "h.py",
        f"""
        from flowbuild.io import HandlerFailed

        def a(o, io):
            with open({str(count)!r}, "a+") as file:
                file.write("x")
                first = file.tell() % 2
            said = io.call("env", {{"name": "LANG" if first else "LC_ALL"}}, fact_key="k").response
            if first:
                raise HandlerFailed("busy", retryable=True)
            o.write_text(str(said))
        """,
    )
    assert space.run("//:report").code == 0
    ran = space.run("runs", "replay", "//:report")
    assert (ran.code, "1 equal" in ran.out, count.read_text()) == (0, True, "xxxx"), ran


FLOW = """
targets:
  f:
    rule: flow
    handlers: {own.step: "h.py:step", task: "h.py:step"}
    inputs: {k: {type: string, default: "2"}}
    steps:
      which: {type: switch, key: $input.k, cases: {"1": own}, on_failure: own}
      own: {type: own.step, with: {}, next: named}
      named: {type: task, with: {}, next: done}
      done: {type: finish}
  report: {rule: run, targets: [":f"]}
"""


def test_a_flow_is_replayed_but_for_what_its_own_handlers_did(space: Space) -> None:
    """The error of a step that leads on is an output like any other; of a handler the bundle does not tell the place."""
    space.write("BUILD.yaml", FLOW)
    space.write("h.py", "def step():\n    return {}\n")
    assert space.run("//:report").code == 0
    ran = space.run("runs", "replay", "//:report")
    assert (ran.code, "3 equal, 2 absent" in ran.out) == (1, True), ran
    assert "absent   //:f  the bundle does not hold what performs own.step" in ran.out


@pytest.mark.parametrize("snapshot", [b"7", b"[]", b"{}", b'{"k":2}'])
def test_a_snapshot_that_does_not_say_what_was_read_is_damage(tmp_path: Path, snapshot: bytes) -> None:
    cas = Cas(tmp_path)
    told = Told("a.main.x", label="//:a", base=cas.put(snapshot))
    doc = {"inputs": {}, "outputs": {}, "with": {}, "context": {"k": digest(1)}}
    with pytest.raises(StoreCorrupt, match="the snapshot [0-9a-f]{64} (is no object|does not hold the 'k')"):
        rebuilt(told, doc, cas)
