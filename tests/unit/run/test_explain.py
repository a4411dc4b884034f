"""Explain: the verdict on each state of a real workspace."""

from __future__ import annotations

import sys

import pytest
from workshop import Workshop

from flowbuild.core.action import ErrorInfo
from flowbuild.core.errors import CapabilitiesMismatch
from flowbuild.run.explain import Verdict, Would
from flowbuild.testing import ScriptedEngine


@pytest.fixture
def words(workshop: Workshop) -> Workshop:
    return workshop.words()


def said(verdicts: list[Verdict]) -> list[tuple[str, Would, str]]:
    return [(str(one.state.label), one.would, one.reason) for one in verdicts]


def test_before_the_first_build(words: Workshop) -> None:
    assert said(words.verdicts("//words")) == [
        ("//words:sorted", Would.RUN, "never built"),
        ("//words:stats", Would.MAY, "if the output of //words:sorted changes"),
        ("//words:top", Would.MAY, "if the output of //words:stats changes"),
    ]


def test_after_a_build_everything_would_be_reused(words: Workshop) -> None:
    words.make("//words")
    assert {one.would for one in words.verdicts("//words")} == {Would.REUSE}


def test_an_edit_is_told_field_by_field(words: Workshop) -> None:
    words.make("//words")
    words.write("words/names.txt", "bo\n")
    first, *others = words.verdicts("//words")
    assert (first.would, first.reason) == (Would.RUN, "its action changed")
    assert [change.field for change in first.changes] == ["inputs.names.sha256"]
    assert {one.would for one in others} == {Would.MAY}
    assert [str(one.label) for one in others[0].waits_for] == ["//words:sorted"]


def test_a_file_of_several_is_named(words: Workshop) -> None:
    words.make("//words")
    words.write("words/texts/b.txt", "three\n")
    stats = words.verdicts("//words")[1]
    assert [change.field for change in stats.changes] == ["inputs.texts[words/texts/b.txt]", "with.script"]
    assert stats.changes[0].old is None


def test_force_is_a_reason(words: Workshop) -> None:
    words.make("//words")
    verdicts = words.verdicts("//words", "--force", "//words:stats")
    assert said(verdicts)[1] == ("//words:stats", Would.RUN, "--force asks for it")
    assert [one.would for one in verdicts] == [Would.REUSE, Would.RUN, Would.MAY]


def test_a_lost_output_is_a_reason(words: Workshop) -> None:
    words.make("//words")
    words.remove(".flowbuild/cas")
    assert words.verdicts("//words")[0].reason == "an output of its last run is no longer in the store"


def test_a_result_of_direct_is_not_taken_by_clean_and_the_other_way_it_is(words: Workshop) -> None:
    words.make("//words")
    assert words.verdicts("//words", "--channel", "clean")[0].reason == "its last result was made in channel direct"
    assert words.make("//words", "--channel", "clean").performed == ["//words:sorted", "//words:stats", "//words:top"]
    assert words.make("//words", "--channel", "clean").performed == []
    assert words.make("//words").performed == []


def test_a_lost_memo_is_a_reason(words: Workshop) -> None:
    words.make("//words")
    words.remove(".flowbuild/memo")
    words.remove(".flowbuild/runs")
    assert words.verdicts("//words")[0].reason == "its last result was not remembered"


def test_a_failure_would_run_again(words: Workshop) -> None:
    words.make("//words")
    words.write("words/names.txt", "bo\n")
    words.engine = lambda: ScriptedEngine({"//words:sorted": ErrorInfo("x", "m")})
    words.make("//words")
    assert words.verdicts("//words")[0].would is Would.RUN


def test_it_writes_nothing_new(words: Workshop) -> None:
    words.verdicts("//words")
    assert not (words.root / "out").exists()
    assert not (words.root / ".flowbuild/runs").exists()
    assert not (words.root / ".flowbuild/memo").exists()


def test_a_channel_that_this_host_has_not_is_refused_whoever_asks(words: Workshop) -> None:
    if sys.platform == "darwin":
        pytest.skip("macOS has it")
    with pytest.raises(CapabilitiesMismatch, match="launchd_clean is macOS's"):
        words.open("//words", "--channel", "launchd_clean")
