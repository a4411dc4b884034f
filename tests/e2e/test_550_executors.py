"""`flowbuild executor check`, as somebody who writes an executor runs it."""

from __future__ import annotations

import json
import sys

import pytest
from workshop import Workshop

from flowbuild.engine.conformance import CHECKS

EXECUTOR = """
    from flowbuild.rep import StepFailed, serve

    def greet(with_, context):
        if not with_.get("name"):
            raise StepFailed("nobody to greet", retriable=False)
        return {"text": f"Hello, {with_['name']}"}

    serve({"greet": greet})
"""


@pytest.fixture
def space(workshop: Workshop) -> Workshop:
    workshop.write("greeter.py", f"#!{sys.executable}\n", executable=True)
    with open(workshop.root / "greeter.py", "a") as file:
        from textwrap import dedent

        file.write(dedent(EXECUTOR))
    return workshop


def test_an_executor_that_keeps_to_it(space: Workshop) -> None:
    ran = space.run("executor", "check", "--with", '{"name": "Ada"}', "--failing", "{}", "./greeter.py")
    assert ran.code == 0, ran
    lines = ran.out.splitlines()
    assert lines[-1] == "it keeps to REP v0.1"
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * len(CHECKS)
    assert "  ok       failure                    2001 nobody to greet" in lines


def test_one_that_does_not(space: Workshop) -> None:
    ran = space.run("executor", "check", "--json", "--timeout", "1", "./greeter.py", "--failing")
    assert ran.code == 1
    found = {row["name"]: row for row in map(json.loads, ran.out.splitlines())}
    assert list(found) == list(CHECKS)
    assert found["completion"]["verdict"] == "failed"
    assert "nobody to greet" in found["completion"]["detail"] and "--with gives" in found["completion"]["detail"]
    assert found["failure"]["verdict"] == "skipped"  # words after the executor are its own


DECLARED = """
    targets:
      greeter: {rule: executor, command: ./greeter.py, sources: [greeter.py, words.txt]}
      made: {rule: exec, command: touch x, outputs: {x: x}}
      bad: {rule: executor, command: ./greeter.py, sources: [":made"]}
"""
FLOW = """
    targets:
      hello:
        rule: flow
        steps:
          greet: {type: greet, with: {name: Ada}, next: out}
          out: {type: dsl.emit, with: {text: $step.greet.text}}
"""


@pytest.fixture
def declared(space: Workshop) -> Workshop:
    (space.root / "p").mkdir()
    (space.root / "greeter.py").rename(space.root / "p" / "greeter.py")
    with open(space.root / "p" / "greeter.py") as file:
        text = file.read().replace("serve({", 'serve({"dsl.emit": lambda with_, context: dict(with_), ')
    space.write("p/greeter.py", text, executable=True)
    space.write("p/words.txt", "Hello")
    space.write("p/BUILD.yaml", DECLARED)
    space.write("f/BUILD.yaml", FLOW)
    space.write("flowbuild.yaml", "runtime: {engine: proc, executor_path: //p:greeter}\n")
    return space


def test_a_flow_names_an_executor_by_its_label(declared: Workshop) -> None:
    declared.build("//f:hello")
    assert json.loads(declared.read("out/bin/f/hello/result.json"))["outputs"] == {"text": "Hello, Ada"}
    declared.write("p/words.txt", "Hi")  # a source of the executor: another content, another executor
    assert declared.run("//f:hello").performed == 2


def test_a_declared_executor_is_checked_by_its_label(declared: Workshop) -> None:
    ran = declared.run("executor", "check", "--step", "greet", "--with", '{"name": "Ada"}', "//p:greeter")
    assert ran.code == 0, ran
    assert declared.run("-C", "p", "executor", "check", "--step", "dsl.emit", "./greeter.py").code == 0


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("//p:made", "of rule 'exec', and no executor"),
        ("//p:bad", "files of the workspace, not outputs"),
        ("//p:nope", "nope"),
    ],
)
def test_what_is_no_executor_is_said(declared: Workshop, label: str, message: str) -> None:
    ran = declared.run("//f:hello", "--executor-path", label)
    assert ran.code == 2 and message in ran.err, ran
    assert declared.run("executor", "check", label).code == 2


def test_flags_that_are_wrong(space: Workshop) -> None:
    for words in (["--with", "{", "./greeter.py"], ["--failing", "[]", "./greeter.py"], []):
        ran = space.run("executor", "check", *words)
        assert ran.code == 2 and ran.err.startswith("flowbuild: ") and "Traceback" not in ran.err
