"""Which steps of a flow run, and on what: two readings of Flow IR that share no code must agree on any flow.

Ours makes states of a document and reads the way from artifacts; `flowbuild.rep` walks the document in an executor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.canonical import canonical
from flowbuild.engine.engine import Capabilities, Io, Performance
from flowbuild.front.flow_run import run
from flowbuild.graph.flow_ir import check
from flowbuild.rep import flow as other
from flowbuild.run.session import Session

MOST = 7


class Steps:
    """Performs `do`: what it got, or a failure where that is asked for."""

    capabilities = Capabilities("steps", "1", ("do",))

    def perform(self, action: Action, io: Io) -> Performance:
        yield from ()
        if action.with_["fails"]:
            return Outcome(error=ErrorInfo("asked", "it was asked to"))
        place = io.scratch(action) / "result"
        place.write_bytes(canonical({"got": action.with_}))
        return Outcome({name: io.collect(place) or {} for name in action.outputs})

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """A flow of a few steps whose edges lead on, with switches, failures, joins and references."""
    count = draw(st.integers(1, MOST))
    names = [f"n{number}" for number in range(count)]
    nodes, edges = [], []
    for number, name in enumerate(names):
        later = names[number + 1 :]
        if later and draw(st.booleans()) and draw(st.booleans()):
            cases = draw(st.dictionaries(st.sampled_from("abc"), st.sampled_from(later), min_size=1, max_size=3))
            default = draw(st.sampled_from([None, *sorted(cases)]))
            with_: dict[str, Any] = {"key_from": "$.inputs.k", "cases": cases, "default": default}
            nodes.append(node(name, "switch", with_))
            edges += [{"from": name, "to": to, "on": "success", "case": case} for case, to in cases.items()]
            continue
        seen = draw(st.lists(st.sampled_from(names[:number]), max_size=2)) if number else []
        with_ = {"fails": draw(st.integers(0, 3)) == 0, "own": number, "seen": [f"$step.{one}.got.own" for one in seen]}
        nodes.append(node(name, "do", with_))
        for on in ("success", "failure"):
            edges += [
                {"from": name, "to": to, "on": on}
                for to in draw(st.lists(st.sampled_from(later), unique=True, max_size=2) if later else st.just([]))
            ]
    return {
        "version": "1.0.0",
        "flow": {"name": "f", "timeout_ms": 0},
        "constants": {"policyRef": "none", "policy": {}},
        "inputs_schema": {"k": {"type": "string"}},
        "graph": {"nodes": nodes, "edges": edges},
        "metadata": {"generated_at": "2026-01-01T00:00:00Z", "source_file": "f"},
    }


def node(name: str, kind: str, with_: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "type": kind, "with": with_, "timeout_ms": 0, "retry": {"max": 0, "backoff_ms": 0}}


def theirs(ir: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the executor's reading comes to: the steps that succeeded; None when the flow fails."""

    def perform(node: Mapping[str, Any], with_: Any) -> Any:
        if with_["fails"]:
            raise other.StepFailed("it was asked to")
        return {"got": with_}

    try:
        state = other.follow(other.check(ir, {"do"}), inputs, perform)
    except other.StepFailed:
        return None
    return {name: result for name, result in state.steps.items() if "error" not in result}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root: Path = tmp_path_factory.mktemp("flows")
    (root / "flowbuild.yaml").touch()
    with Session(root, world=dict) as opened:
        opened.steps = Steps()
        yield opened


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ir=flows(), key=st.sampled_from("abcd"))
def test_both_readings_of_a_flow_agree(session: Session, ir: dict[str, Any], key: str) -> None:
    check(ir, "it")
    ours = run(session, ir, {"k": key})
    expected = theirs(ir, {"k": key})
    assert (ours.status == "completed") == (expected is not None)
    if expected is not None:
        kinds = {one["id"]: one["type"] for one in ir["graph"]["nodes"]}
        steps = {name: result for name, result in ours.state["steps"].items() if kinds[name] == "do"}
        assert {name: result for name, result in steps.items() if "error" not in result} == expected
