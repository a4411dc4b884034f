"""Flow IR: the schema and the rules beside it, the example of its page, and documents as states."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.canonical import digest
from flowbuild.core.errors import BadFlow, Faults, UnknownTarget
from flowbuild.core.label import parse
from flowbuild.graph.flow_ir import check, read_flow, schema
from flowbuild.graph.flow_states import flow_states
from flowbuild.graph.state import State
from flowbuild.graph.step import On, Way

PAGE = Path(__file__).parents[3] / "docs/formats/flow-ir.md"


def example() -> dict[str, Any]:
    """The document of the page."""
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.S)
    found: dict[str, Any] = json.loads(text)
    return found


def node(name: str, kind: str = "task", **with_: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "with": with_, "timeout_ms": 0, "retry": {"max": 0, "backoff_ms": 0}}


def edge(one: str, two: str, on: str = "success", **more: Any) -> dict[str, Any]:
    return {"from": one, "to": two, "on": on, **more}


def ir(nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> dict[str, Any]:
    return {**example(), "graph": {"nodes": nodes, "edges": edges}}


def states(doc: dict[str, Any], **inputs: Any) -> list[State]:
    check(doc, "it")
    return flow_states(doc, inputs, parse("//a:f"), {})


def test_the_example_of_the_page_is_flow_ir() -> None:
    check(example(), "the page")


def test_the_vector_of_the_inputs_schema() -> None:
    doc = {"endpoint": {"type": "string"}, "nodes": {"type": "list<string>"}}
    assert digest(doc) == "0060349a96536cb59c97e68ff4f1aae8ec35f7545711f341b4a011ae0dd9f6e9"


def test_two_nodes_are_three_states() -> None:
    ask, tell, last = states(example(), who="ada")
    assert (ask.kind, ask.with_, ask.step and ask.step.retry_max) == ("task", {"who": "ada"}, 1)
    assert tell.with_ == {"hello": "$step.ask.args.who"}  # known when it is bound
    assert tell.step is not None
    assert (tell.step.ways, tell.step.reads) == ((Way(0, On.SUCCESS),), {"step.ask": 0})
    assert (last.kind, set(last.needs)) == ("flow", {0, 1})


def edited(path: str, value: Any) -> dict[str, Any]:
    """The example with one value changed; `...` takes it away."""
    doc = copy.deepcopy(example())
    *parts, last = path.split("/")
    inner: Any = doc
    for part in parts:
        inner = inner[int(part)] if part.isdecimal() else inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return doc


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        *((key, ..., f"'{key}' is a required property") for key in example()),
        ("version", "2.0.0", "version: '2.0.0' does not match"),
        ("flow/name", "a b", "flow/name: 'a b' does not match"),
        ("flow/timeout_ms", -1, "flow/timeout_ms: -1 is less than"),
        ("flow/timeout_ms", 2**31, "flow/timeout_ms: 2147483648 is greater than"),
        ("flow/more", 1, "flow: Additional properties"),
        ("constants/policyRef", "", "constants/policyRef: '' should be non-empty"),
        ("graph/nodes", [], "graph/nodes: [] should be non-empty"),
        ("graph/nodes/0/retry/max", "1", "graph/nodes/0/retry/max: '1' is not of type 'integer'"),
        ("graph/nodes/0/type", "", "graph/nodes/0/type: '' should be non-empty"),
        ("graph/nodes/0/with", [], "graph/nodes/0/with: [] is not of type 'object'"),
        ("graph/nodes/1/id", "ask", "graph/nodes: there are two nodes 'ask'"),
        ("graph/nodes/0/type", "ir", "graph/nodes/0/type: 'ir' is no step kind"),
        ("graph/edges/0/on", "maybe", "graph/edges/0/on: 'maybe' is not one of"),
        ("graph/edges/0/to", "nobody", "graph/edges/0/to: there is no node 'nobody'"),
        ("graph/edges/0/to", "ask", "graph/edges: these nodes lead in a circle: ask -> ask"),
        ("metadata/source_file", None, "metadata/source_file: None is not of type 'string'"),
        ("metadata/generated_at", "2026-11-21T10:00:00+01:00", "is no time in UTC"),
    ],
)
def test_what_is_no_flow_ir_is_refused_with_its_place(path: str, value: Any, said: str) -> None:
    with pytest.raises((BadFlow, Faults)) as caught:
        check(edited(path, value), "it")
    error = caught.value
    messages = [one.message for one in error.exceptions] if isinstance(error, Faults) else [error.message]  # type: ignore[union-attr]
    assert error.exit_code == 2
    assert any(said in message for message in messages), messages


def test_a_thousand_faults_are_not_all_told() -> None:
    with pytest.raises(Faults) as caught:
        check(ir([node(f"n{number}") for number in range(2)] * 500, [edge("n0", "gone")] * 500), "it")
    assert len(caught.value.exceptions) == 21
    assert "and 482 more faults" in str(caught.value.exceptions[-1])


@pytest.mark.parametrize("doc", [None, [], "x", 3])
def test_what_is_no_object_is_refused(doc: Any) -> None:
    with pytest.raises(BadFlow):
        check(doc, "it")


@pytest.mark.parametrize(("path", "value"), [("more", 1), ("metadata/more", 1), ("graph/edges/0/case", "x")])
def test_what_later_versions_add_is_ignored(path: str, value: Any) -> None:
    check(edited(path, value), "it")


def test_a_switch_names_nodes() -> None:
    doc = ir([node("a"), node("s", "switch", key_from="$.vars.a.x", cases={"x": "b"}, default=None)], [edge("a", "s")])
    with pytest.raises(BadFlow, match="graph/nodes/1/with/cases/x: there is no node 'b'"):
        check(doc, "it")


def test_an_edge_of_a_switch_that_names_no_case_stands_for_those_that_lead_there() -> None:
    cases = {"x": "b", "y": "b", "z": "c"}
    nodes = [node("s", "switch", key_from="$.inputs.k", cases=cases, default="z"), node("b"), node("c")]
    _, b, c, _ = states(ir(nodes, [edge("s", "b"), edge("s", "c", case="z")]), k="y")
    assert b.step is not None
    assert c.step is not None
    assert [way.case for way in b.step.ways] == ["x", "y"]
    assert [way.case for way in c.step.ways] == ["z"]


def test_the_order_is_that_of_the_edges_and_else_of_the_document() -> None:
    doc = ir([node("c"), node("b"), node("a"), node("d")], [edge("a", "b"), edge("b", "c")])
    assert [state.step.name for state in states(doc) if state.step] == ["a", "b", "c", "d", ""]


def test_a_node_comes_after_what_it_refers_to_if_that_can_be() -> None:
    doc = ir([node("a", x="$step.b"), node("b")], [])
    first, second, _ = states(doc)
    assert (first.step and first.step.name, second.step and second.step.reads) == ("b", {"step.b": 0})
    circular = ir([node("a", x="$step.b"), node("b", x="$step.a")], [])
    first, second, _ = states(circular)
    assert (first.step and first.step.reads, second.step and second.step.reads) == ({}, {"step.a": 0})


def test_ids_that_share_a_slug_are_told_apart() -> None:
    doc = ir([node("A-b"), node("a.b"), node("a_b")], [])
    assert len({state.id for state in states(doc)}) == 4


def test_a_node_whose_name_has_a_dot_is_gathered() -> None:
    *_, last = states(ir([node("a.b")], []))
    assert last.step is not None
    assert last.step.reads == {"step.a.b": 0}


def test_a_policy_stands_in_the_step_that_applies_it() -> None:
    doc = ir([node("p", "policy.apply", values={"a": 1})], [])
    doc["constants"] = {"policyRef": "cool", "policy": {"rules": []}}
    assert states(doc)[0].with_ == {"policy": {"rules": []}, "policy_id": "cool", "values": {"a": 1}}


def test_a_manifest_names_its_flows(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps([{"name": "greet", "ir_path": "flows/greet.ir.json"}]))
    with pytest.raises(BadFlow, match=r"there is no Flow IR .*greet.ir.json"):
        read_flow(tmp_path / "manifest.json", "greet")
    with pytest.raises(UnknownTarget, match="has no flow 'gret'"):
        read_flow(tmp_path / "manifest.json", "gret")


@pytest.mark.parametrize("text", ["{", "{}", '[{"name": "x"}]', "[" * 100_000])
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadFlow):
        read_flow(tmp_path / "manifest.json", "x")


def test_the_schema_is_one() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema())
