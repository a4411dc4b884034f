"""The executor's side of a Flow IR: what is refused, and what is performed in which order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from flowbuild.rep.flow import Refused, State, StepFailed, check, follow, resolve

KINDS = ("do", "dsl.emit")


def node(id_: str, type_: str = "do", with_: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"id": id_, "type": type_, "with": dict(with_ or {}), "timeout_ms": 0, "retry": {"max": 0, "backoff_ms": 0}}


def edge(text: str, **more: Any) -> dict[str, Any]:
    """`a b` on success, `a !b` on failure, `a b=x` for the case x of a switch."""
    from_, to = text.split()
    on = "failure" if to.startswith("!") else "success"
    to, _, case = to.lstrip("!").partition("=")
    return {"from": from_, "to": to, "on": on, **({"case": case} if case else {}), **more}


def ir(nodes: list[dict[str, Any]], *edges: str, **more: Any) -> dict[str, Any]:
    return {
        "version": "1.0.0",
        "flow": {"name": "f", "timeout_ms": 0},
        "graph": {"nodes": nodes, "edges": [edge(text) for text in edges]},
        **more,
    }


def ran(doc: Mapping[str, Any], inputs: Mapping[str, Any] | None = None, failing: str = "") -> tuple[str, State]:
    """The ids of the nodes in the order in which they are performed, and what it came to."""
    order: list[str] = []

    def perform(node: Mapping[str, Any], with_: Any) -> Any:
        order.append(node["id"])
        if node["id"] in failing.split():
            raise StepFailed("asked to")
        return {"id": node["id"], **with_}

    state = follow(check(doc, KINDS), inputs or {}, perform)
    return " ".join(order), state


def test_nodes_run_after_what_leads_to_them_and_else_in_the_order_of_the_document() -> None:
    nodes = [node(id_) for id_ in "zyxab"]
    assert ran(ir(nodes))[0] == "z y x a b"
    assert ran(ir(nodes, "b z", "b y", "x y"))[0] == "x a b z y"


def test_a_failure_takes_its_own_edges() -> None:
    doc = ir([node(id_) for id_ in "abcd"], "a b", "a !c", "b d", "c d")
    assert ran(doc)[0] == "a b d"
    order, state = ran(doc, failing="a")
    assert order == "a c d"
    assert state.skipped == ["b"]
    assert state.steps["a"] == {"error": {"code": "step_failed", "message": "asked to", "retryable": True}}
    assert list(state.steps) == ["a", "c", "d"]


def test_a_failure_without_an_edge_ends_the_flow() -> None:
    with pytest.raises(StepFailed, match="asked to"):
        ran(ir([node("a"), node("b")], "a b"), failing="a")


SWITCH = {"key_from": "$.vars.a.value", "cases": {"on": "b", "off": "c", "80": "b"}, "default": "_DEFAULT"}


@pytest.mark.parametrize(
    ("value", "order"), [("on", "a b d"), ("off", "a c d"), ("else", "a d"), (True, "a d"), (80.0, "a b d")]
)
def test_a_switch_takes_one_case_or_its_default(value: Any, order: str) -> None:
    nodes = [node("a", with_={"value": value}), node("s", "switch", SWITCH), *map(node, "bcd"), node("end", "finish")]
    doc = ir(nodes, "a s", "s b=on", "s b=80", "s c=off", "s d=_DEFAULT", "b d", "c d", "d end")
    assert ran(doc)[0] == order


def test_a_switch_may_name_its_targets_in_its_cases_only() -> None:
    with_ = {"key_from": "$.inputs.mode", "cases": {"true": "b", "1": "c"}, "default": "1"}
    doc = ir([node("s", "switch", with_), node("b"), node("c")], "s b", "s c")
    assert [ran(doc, {"mode": mode})[0] for mode in (True, 1, "?")] == ["b", "c", "c"]


def test_a_switch_without_a_case_or_a_default_fails() -> None:
    doc = ir([node("s", "switch", {"key_from": "$input.x", "cases": {"a": "b"}, "default": None}), node("b")], "s b=a")
    with pytest.raises(StepFailed, match="no case for '3', and no default; cases are a"):
        ran(doc, {"x": 3})


def test_a_skipped_branch_is_skipped_to_its_end() -> None:
    with_ = {"key_from": "$input.x", "cases": {"go": "b"}, "default": "b"}
    doc = ir([node("s", "switch", {**with_, "default": "none"}), *map(node, "bcde")], "s b", "b c", "d e")
    order, state = ran(doc, {"x": "stay"})
    assert order == "d e"
    assert state.skipped == ["b", "c"]


def test_references_are_looked_up_and_else_left_alone() -> None:
    state = State({"a": {"b": 1}}, {"read": {"values": {"x": 2.5}}})
    given = {
        "whole": "$step.read",
        "deep": ["$input.a.b", {"x": " $step.read.values.x "}],
        "gone": ["$input.nope.more", "$step.read.values.x.y", "$step.none"],
        "plain": ["$inputs.a", "$input", "$input.", "80", "", 3],
    }
    assert resolve(given, state) == {
        "whole": {"values": {"x": 2.5}},
        "deep": [1, {"x": 2.5}],
        "gone": [None, None, None],
        "plain": ["$inputs.a", "$input", "$input.", "80", "", 3],
    }


def test_what_a_step_came_to_is_there_for_the_next() -> None:
    doc = ir([node("a", with_={"n": "$input.n"}), node("out", "dsl.emit", {"n": "$step.a.n"})], "a out")
    _, state = ran(doc, {"n": 7})
    assert state.doc() == {
        "inputs": {"n": 7},
        "steps": {"a": {"id": "a", "n": 7}, "out": {"id": "out", "n": 7}},
        "current": {"id": "out", "n": 7},
        "outputs": {"id": "out", "n": 7},
    }


def test_unknown_properties_and_minor_versions_are_fine() -> None:
    assert ran(ir([{**node("a"), "color": "red"}], version="1.7.2", extra=1))[0] == "a"


BAD = {
    "another major version": (ir([node("a")], version="2.0.0"), 1001),
    "no version": ({"graph": {}}, 1003),
    "no document": (None, 1003),
    "a list": ([], 1003),
    "no nodes": (ir([]), 1003),
    "two of one id": (ir([node("a"), node("a")]), 1003),
    "an id that is no text": (ir([{**node("a"), "id": 7}]), 1003),
    "`with` that is a list": (ir([{**node("a"), "with": []}]), 1003),
    "no retry": (ir([{k: v for k, v in node("a").items() if k != "retry"}]), 1003),
    "a negative time": (ir([{**node("a"), "timeout_ms": -1}]), 1003),
    "a boolean time": (ir([{**node("a"), "timeout_ms": True}]), 1003),
    "an edge to nowhere": (ir([node("a")], "a b"), 1003),
    "an edge on neither": (
        ir([node("a"), node("b")]) | {"graph": {"nodes": [node("a")], "edges": [edge("a a", on="x")]}},
        1003,
    ),
    "a circle": (ir([node("a"), node("b")], "a b", "b a"), 1003),
    "an unknown kind": (ir([node("a", "cook")]), 1002),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_has_its_code(name: str) -> None:
    doc, code = BAD[name]
    with pytest.raises(Refused) as caught:
        check(doc, KINDS)
    assert caught.value.code == code
    assert caught.value.message


def test_a_thousand_nodes_in_a_row() -> None:
    names = [f"n{number}" for number in range(1000)]
    doc = ir([node(name) for name in reversed(names)], *(f"{a} {b}" for a, b in itertools.pairwise(names)))
    assert ran(doc)[0] == " ".join(names)
