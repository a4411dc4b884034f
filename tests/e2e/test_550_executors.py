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


def test_flags_that_are_wrong(space: Workshop) -> None:
    for words in (["--with", "{", "./greeter.py"], ["--failing", "[]", "./greeter.py"], []):
        ran = space.run("executor", "check", *words)
        assert ran.code == 2 and ran.err.startswith("flowbuild: ") and "Traceback" not in ran.err
