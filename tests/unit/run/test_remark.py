"""Remarks: the cause of a state's run in a few words, and whether its output stayed the same."""

from __future__ import annotations

import pytest
from workshop import Workshop

from flowbuild.run.remark import SAME
from flowbuild.testing import ScriptedEngine


@pytest.fixture
def words(workshop: Workshop) -> Workshop:
    workshop.words().make("//words")
    return workshop


def line(space: Workshop, label: str, *words: str) -> str:
    """What the console says of a label."""
    return next(line for line in space.make("//words", *words).out.splitlines() if label in line)


def test_a_first_run_has_no_cause(workshop: Workshop) -> None:
    assert "changed" not in line(workshop.words(), "//words:sorted")


def test_a_cause_and_an_equal_output(words: Workshop) -> None:
    words.write("words/names.txt", "x\n")
    said = line(words, "//words:sorted")
    assert "words/names.txt changed" in said
    assert said.endswith(SAME)


def test_an_equal_output_that_nobody_reads_is_nothing_to_tell(words: Workshop) -> None:
    words.write("words/top.py", words.read("words/top.py") + "# more\n")
    said = line(words, "//words:top")
    assert "handler changed" in said
    assert SAME not in said


def test_another_output_is_not_the_same(words: Workshop) -> None:
    words.write("words/names.txt", "x\n")
    words.engine = lambda: ScriptedEngine({"//words:sorted": "other"})
    assert SAME not in line(words, "//words:sorted")


def test_two_causes_are_named_and_more_are_counted(words: Workshop) -> None:
    for name in "bcd":
        words.write(f"words/texts/{name}.txt", name)
    assert "words/texts/b.txt is new, words/texts/c.txt is new and 2 more" in line(words, "//words:stats")


def test_force_has_no_cause(words: Workshop) -> None:
    said = line(words, "//words:sorted", "--force", "//words:sorted")
    assert "changed" not in said
