"""The tally of a command: a target ends as the worst of its states, and the end of its log is kept."""

from __future__ import annotations

import pytest
from workshop import Workshop, declare, target

from flowbuild.core.action import ErrorInfo
from flowbuild.core.event import LIFECYCLE, StateStatus
from flowbuild.front.build import Build
from flowbuild.front.tally import LOG_END, WORST_FIRST, Ended, _end
from flowbuild.testing import ScriptedEngine

BROKEN = ErrorInfo("exit", "exit 3 after 0.01 s\nmore", details=None)
CHAIN = {
    "a": target("true"),
    "b": target("true", inputs={"i": ":a"}),
    "c": target("true", inputs={"i": ":b"}),
}


def built(space: Workshop, *words: str, **script: ErrorInfo) -> dict[str, Ended]:
    space.engine = lambda: ScriptedEngine({f"//:{name}": info for name, info in script.items()})
    with space.open(*words) as build:
        build.build()
        return {one.label.name: one for one in told(build)}


def told(build: Build) -> list[Ended]:
    return build.tally.ended(build.graph)


@pytest.fixture
def chain(workshop: Workshop) -> Workshop:
    workshop.write("BUILD.yaml", declare(CHAIN))
    return workshop


def test_every_way_to_end_is_ranked() -> None:
    assert set(WORST_FIRST) == {status for status, after in LIFECYCLE.items() if not after}


def test_what_was_performed_and_what_was_reused(chain: Workshop) -> None:
    assert {one.status for one in built(chain, "//:b").values()} == {StateStatus.COMPLETED}
    again = built(chain, "//:c")
    assert [again[name].status for name in "abc"] == [StateStatus.REUSED, StateStatus.REUSED, StateStatus.COMPLETED]


def test_a_failure_and_what_it_held_up(chain: Workshop) -> None:
    ended = built(chain, "//:c", a=BROKEN)
    assert (ended["a"].status, ended["a"].headline, ended["a"].code) == (
        StateStatus.FAILED,
        "exit 3 after 0.01 s",
        "exit",
    )
    assert (ended["c"].status, ended["c"].message) == (StateStatus.NOT_STARTED, "needs //:a")


def test_what_nobody_holds_up_was_left_by_the_end_of_the_build(workshop: Workshop) -> None:
    workshop.write("BUILD.yaml", declare({"a": target("true"), "b": target("true")}))
    assert built(workshop, "//...", "-j", "1", a=BROKEN)["b"].message == "the build ended before it"


def test_the_end_of_a_log(workshop: Workshop) -> None:
    log = workshop.write("log", b"x" * LOG_END + b"\xffthe end")
    assert _end(str(log)).endswith("xx\ufffdthe end") and len(_end(str(log))) == LOG_END
    assert _end(str(workshop.root / "gone")) == ""
