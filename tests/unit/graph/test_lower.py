"""Targets to states: order, cycles, parameters, clashes; in real workspaces."""

from __future__ import annotations

import re
from typing import Any

import pytest
from workshop import Workshop, declare, lowered, target

from flowbuild.core.errors import BadFlag, BadPath, BadRule, CycleFound, FlowError, OutputClash, UnknownTarget
from flowbuild.core.label import parse


def chain(**needs: list[str]) -> str:
    """Targets that need each other, in this order."""
    return declare(
        {name: target("x ${{ inputs.i }} ${{ outputs.o }}", inputs={"i": need}) for name, need in needs.items()}
    )


def labels(space: Workshop, *words: str) -> list[str]:
    return [str(state.label) for state in lowered(space, *words).states]


def test_each_state_comes_after_its_needs_else_as_declared(workshop: Workshop) -> None:
    workshop.write("BUILD.yaml", chain(a=[":d"], b=[], c=[":b"], d=[":c"], e=[]))
    assert labels(workshop) == ["//:b", "//:c", "//:d", "//:a", "//:e"]


def test_only_what_is_needed_is_there(workshop: Workshop) -> None:
    workshop.write("BUILD.yaml", chain(a=[], b=[":a"], c=[]))
    assert labels(workshop, "//:b") == ["//:a", "//:b"]


def test_a_shared_need_is_there_once(workshop: Workshop) -> None:
    workshop.write("BUILD.yaml", chain(a=[], b=[":a"], c=[":a", ":b"]))
    assert labels(workshop) == ["//:a", "//:b", "//:c"]


def test_the_same_text_gives_the_same_graph(workshop: Workshop) -> None:
    workshop.words()
    assert lowered(workshop, "//words").states == lowered(workshop, "//words").states


def test_a_long_chain_is_no_recursion(workshop: Workshop) -> None:
    workshop.write("BUILD.yaml", chain(t0=[], **{f"t{n}": [f":t{n - 1}"] for n in range(1, 1500)}))
    assert len(lowered(workshop, "//:t1499").states) == 1500


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"a": [":a"]}, ["//:a needs itself", "//:a --inputs.i.0--> //:a    BUILD.yaml:1"]),
        (
            {"x": [":a"], "a": [":b"], "b": ["x.txt", ":c"], "c": [":a"]},
            [
                "//:a needs itself",
                "//:b --inputs.i.1--> //:c    BUILD.yaml:1",
                "//:c --inputs.i.0--> //:a    BUILD.yaml:1",
            ],
        ),
    ],
)
def test_a_cycle_is_told_edge_by_edge(workshop: Workshop, needs: dict[str, list[str]], said: list[str]) -> None:
    workshop.write("x.txt", "")
    workshop.write("BUILD.yaml", chain(**needs))
    with pytest.raises(CycleFound) as caught:
        lowered(workshop)
    assert [text for text in said if text not in str(caught.value)] == []
    assert caught.value.location is not None


def test_the_shortest_cycle_is_told(workshop: Workshop) -> None:
    """Not the long way round by which the search came."""
    workshop.write(
        "far/BUILD.yaml",
        declare({"z": target("x", inputs={"i": "//:b"}), "bad": target("x", inputs={"i": "//no:where"})}),
    )
    workshop.write("BUILD.yaml", chain(a=[":b"], b=[":c", "//far:bad", "//far:z"], c=[":d"], d=[":a"]))
    with pytest.raises(CycleFound) as caught:
        lowered(workshop, "//:a")
    place, *edges = caught.value.report().splitlines()
    assert place == "BUILD.yaml:1:139: //:b needs itself:"
    assert edges == [
        "    //:b --inputs.i.2--> //far:z    BUILD.yaml:1",
        "    //far:z --inputs.i--> //:b    far/BUILD.yaml:1",
        "  cut one of these edges",
    ]


def test_a_missing_need_is_told_where_it_is_asked_for(workshop: Workshop) -> None:
    workshop.write(
        "BUILD.yaml",
        """
        targets:
          a: {rule: exec, command: x, outputs: {o: o}, inputs: {i: "//:missin"}}
          missing: {rule: group, targets: []}
        """,
    )
    with pytest.raises(UnknownTarget) as caught:
        lowered(workshop)
    assert str(caught.value.location) == "BUILD.yaml:2:60"
    assert caught.value.remedy == "did you mean 'missing'?"


def test_what_needs_a_target_at_fault_is_not_lowered(workshop: Workshop) -> None:
    broken = target("x ${{ inputs.i }} ${{ outputs.o }}", inputs={"i": "gone.txt"})
    reader = target("x ${{ inputs.i }} ${{ outputs.o }}", inputs={"i": ":broken"})
    workshop.write("BUILD.yaml", declare({"broken": broken, "reader": reader}))
    with pytest.raises(BadPath, match="gone.txt is not there"):
        lowered(workshop)


PARAMS: dict[str, Any] = {
    "a": target("x ${{ params.n }} ${{ outputs.o }}", params={"n": 1}),
    "b": target(
        "x ${{ params.n }} ${{ inputs.i }} ${{ outputs.o }}", params={"n": 1, "word": "w"}, inputs={"i": "//:a"}
    ),
}


def commands(space: Workshop, *words: str) -> dict[str, str]:
    return {str(state.label): state.with_["command"][1] for state in lowered(space, *words).states}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["//:b"], "1 1"),
        (["//:b", "--set", "n=2"], "1 2"),
        (["//...", "--set", "n=2"], "2 2"),
        (["//:b", "--set", "//:a.n=3"], "3 1"),
        (["//:b", "--set", "//:a.n=3", "--set", "n=4", "--set", "n=5"], "3 5"),
    ],
)
def test_set_reaches_what_is_named(workshop: Workshop, words: list[str], values: str) -> None:
    workshop.write("BUILD.yaml", declare(PARAMS))
    found = commands(workshop, *words)
    assert f"{found['//:a']} {found['//:b']}" == values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["//:b", "--set", "wrd=x"], "--set wrd=x: no target asked for has this parameter; did you mean 'word'?"),
        (["//:a", "--set", "word=x"], "--set word=x: no target asked for"),
        (["//:a", "--set", "//:b.n=2"], "--set //:b.n=2: no target asked for"),
        (["//:b", "--set", "//:b.m=2"], "--set //:b.m=2: no target asked for"),
        (["//:b", "--set", "n=x"], "--set n=x: "),
        (["//:b", "--set", "n"], "--set n: a value is missing"),
    ],
)
def test_set_refuses(workshop: Workshop, words: list[str], message: str) -> None:
    workshop.write("BUILD.yaml", declare(PARAMS))
    with pytest.raises(BadFlag, match=re.escape(message)):
        lowered(workshop, *words)


def test_set_on_a_group_reaches_what_it_stands_for(workshop: Workshop) -> None:
    groups = {"inner": {"rule": "group", "targets": [":b"]}, "g": {"rule": "group", "targets": [":inner"]}}
    workshop.write("BUILD.yaml", declare({**PARAMS, **groups}))
    assert commands(workshop, "//:g", "--set", "n=9")["//:b"] == commands(workshop, "//:b", "--set", "n=9")["//:b"]


def test_a_parameter_of_what_is_only_needed_is_told_with_its_label(workshop: Workshop) -> None:
    more = target("x ${{ inputs.i }} ${{ outputs.o }}", inputs={"i": "//:b"})
    workshop.write("BUILD.yaml", declare({**PARAMS, "c": more}))
    with pytest.raises(BadFlag) as caught:
        lowered(workshop, "//:c", "--set", "word=z")
    assert caught.value.remedy == "--set //:b.word=z sets that of //:b"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"a": target("x", outputs={"o": "x", "p": "x/y"})}, "a"),
        ({"a": target("x", outputs={"o": "b/c"}), "a/b": target("x", outputs={"o": "c"})}, "a"),
    ],
)
def test_two_states_never_write_one_place(workshop: Workshop, targets: dict[str, Any], message: str) -> None:
    workshop.write("BUILD.yaml", declare({name: one for name, one in targets.items() if "/" not in name}))
    for name, one in targets.items():
        if "/" in name:
            package, _, short = name.rpartition("/")
            workshop.write(f"{package}/BUILD.yaml", declare({short: one}))
    with pytest.raises(FlowError) as caught:
        lowered(workshop)
    assert isinstance(caught.value, OutputClash), caught.value


def test_a_golden_is_a_test_and_a_group_has_members(workshop: Workshop) -> None:
    workshop.words()
    found = lowered(workshop, "//words").targets
    assert [str(label) for label in found[parse("//words")].members] == ["//words:top", "//words:stats"]
    assert not found[parse("//words:top")].test


def test_a_rule_that_names_code_which_is_not_ours_has_its_place(workshop: Workshop) -> None:
    workshop.write("rules/mine.rule.yaml", "rule: mine\nlower: os:system\n")
    workshop.write("BUILD.yaml", "targets:\n  t: {rule: mine}\n")
    with pytest.raises(BadRule) as caught:
        lowered(workshop)
    assert caught.value.report() == (
        "rules/mine.rule.yaml:2:8: `lower: os:system` is none of flowbuild's own functions\n"
        "    lower: os:system\n           ^\n"
        "  write `states`: no text of a workspace makes flowbuild import and call just anything"
    )
