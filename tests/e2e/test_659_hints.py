"""Dependency hints: what a target comes after, said by tag, by each strategy.

Seed 001: 001-13.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.testing import Space

BUILD = """
targets:
  one:   {rule: python, handler: "steps.py:one", outputs: {o: o}, tags: [fetch_data], writes: [who]}
  two:   {rule: python, handler: "steps.py:two", outputs: {o: o}, tags: [fetch_data], writes: [who]}
  tell:  {rule: python, handler: "steps.py:tell", outputs: {o: o}, reads: [who],
          depends_on: [fetch_data], depends_on_strategy: STRATEGY}
  three: {rule: python, handler: "steps.py:two", outputs: {o: o}, tags: [fetch_data], writes: [who]}
  bad:   {rule: exec, script: "exit 1", outputs: {o: o}}
  next:  {rule: exec, script: "echo > ${{ outputs.o }}", outputs: {o: o}, depends_on: [fetch_data]}
"""
STEPS = """
def one(o, context):
    BAD_ONE
    context.write("who", "one")
    o.write_text("")

def two(o, context):
    BAD_TWO
    context.write("who", "two")
    o.write_text("")

def tell(o, context):
    o.write_text(str(context.read("who")))
"""


def space(tmp_path: Path, strategy: str, *bad: str) -> Space:
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", BUILD.replace("STRATEGY", strategy))
    steps = STEPS
    for name in ("one", "two"):
        steps = steps.replace(f"BAD_{name.upper()}", "raise ValueError('no')" if name in bad else "pass")
    space.write("steps.py", steps)
    return space


@pytest.mark.parametrize(("strategy", "told"), [("latest", "two"), ("earliest", "one"), ("latest_successful", "two")])
def test_it_comes_after_the_one_that_its_strategy_chooses(tmp_path: Path, strategy: str, told: str) -> None:
    here = space(tmp_path, strategy)
    ran = here.build("//:tell")
    assert here.read("out/bin/tell/o") == told
    assert ran.performed == (3 if strategy == "latest_successful" else 2)


@pytest.mark.parametrize("strategy", ["latest", "earliest"])
def test_what_it_comes_after_must_succeed(tmp_path: Path, strategy: str) -> None:
    here = space(tmp_path, strategy, "one", "two")
    ran = here.run("//:tell", "--continue", "always")
    assert ran.code == 1
    assert "not started  //:tell" in ran.out


def test_the_latest_that_succeeded_is_enough(tmp_path: Path) -> None:
    here = space(tmp_path, "latest_successful", "two")
    ran = here.run("//:tell", "--continue", "dependencies-successful")
    assert (ran.code, "1 failed" in ran.out, "2 performed" in ran.out) == (1, True, True)
    assert here.read("out/bin/tell/o") == "one"


def test_one_of_them_must_succeed(tmp_path: Path) -> None:
    here = space(tmp_path, "latest_successful", "one", "two")
    ran = here.run("//:tell", "--continue", "always")
    assert (ran.code, "2 failed" in ran.out) == (1, True)
    assert "not started  //:tell" in ran.out
    assert here.run("//:tell").out.count("failed ") >= 1


def test_a_tag_that_nothing_before_has(tmp_path: Path) -> None:
    here = space(tmp_path, "latest")
    here.write(
        "BUILD.yaml",
        BUILD.replace("STRATEGY", "latest").replace("depends_on: [fetch_data], d", "depends_on: [fetch_dato], d"),
    )
    ran = here.run("//:tell")
    assert ran.code == 2
    assert "BUILD.yaml:5:24: DanglingDependencyTag: no target before //:tell has the tag 'fetch_dato'" in ran.err
    assert "did you mean 'fetch_data'?" in ran.err


def test_only_what_stands_before_counts(tmp_path: Path) -> None:
    here = space(tmp_path, "latest")
    here.write(
        "BUILD.yaml",
        "targets:\n  a: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}, depends_on: [x]}\n"
        "  b: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}, tags: [x]}\n",
    )
    ran = here.run("//:a")
    assert (ran.code, "DanglingDependencyTag" in ran.err) == (2, True)


def test_a_command_has_hints_too(tmp_path: Path) -> None:
    here = space(tmp_path, "latest")
    assert here.build("//:next").performed == 2  # three, which is the latest before it


def test_what_changes_the_world_has_a_tag_by_that(tmp_path: Path) -> None:
    here = space(tmp_path, "latest")
    here.write(
        "BUILD.yaml",
        "targets:\n  deed: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}, side_effects: apply_side_effect}\n"
        "  told: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}, depends_on: [apply_side_effect]}\n",
    )
    assert here.run("//:told").performed == 2
