"""Executors that ship or are shown keep to REP, and come to the same bytes as our own engine."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_engines import action, perform

from flowbuild.engine.conformance import Trial, checked
from flowbuild.engine.engine import Engine
from flowbuild.engine.proc import ProcEngine
from flowbuild.engine.python import PythonEngine
from flowbuild.run.io import RunIo
from flowbuild.store.cas import Cas

PLANT = Path(__file__).parents[2] / "examples" / "executors" / "plant.js"
EXECUTORS = {"mock": (sys.executable, "-m", "flowbuild.rep.mock"), "JavaScript": (str(PLANT),)}

POLICY = {
    "rules": [{"when": {"x": {"above": 70, "below": 90}, "mode": "auto"}, "emit": {"action": "COOL"}}],
    "otherwise": {"action": "WAIT"},
}
STEPS: list[tuple[str, Mapping[str, Any]]] = [
    ("opcua.read", {"endpoint": "opc.tcp://plant", "node_ids": ["a", "ns=2;s=é"]}),
    ("opcua.read", {}),
    ("opcua.write", {"endpoint": "e", "node_id": "a", "value": 1.5}),
    ("opcua.write", {"value": [1, {"x": None}]}),
    ("policy.apply", {"policy": POLICY, "policy_id": "p", "values": {"x": 80, "mode": "auto"}}),
    ("policy.apply", {"policy": POLICY, "policy_id": "p", "values": {"x": 90, "mode": "auto"}}),
    ("policy.apply", {"policy": POLICY, "policy_id": None, "values": {"x": "80", "mode": "auto"}}),
    ("policy.apply", {"policy": {}, "policy_id": "p", "values": None}),
    ("dsl.emit", {"b": 1, "a": "$input.x", "é": [True, 1e21, 0.1, -0.0]}),
]


@pytest.fixture(params=EXECUTORS)
def argv(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param == "JavaScript" and shutil.which("node") is None:
        pytest.skip("needs node")
    return EXECUTORS[request.param]


@pytest.fixture
def io(tmp_path: Path) -> RunIo:
    return RunIo(tmp_path, (), Cas(tmp_path / "cas"), tmp_path / "run")


def test_every_check_of_the_contract_is_kept(argv: tuple[str, ...], tmp_path: Path) -> None:
    found = list(checked(Trial(argv, tmp_path)))
    assert [finding for finding in found if finding.verdict == "failed"] == []
    assert [finding.name for finding in found if finding.verdict == "skipped"] == ["failure"]


def test_steps_come_to_the_same_bytes_as_in_process(argv: tuple[str, ...], io: RunIo, tmp_path: Path) -> None:
    ours: Engine = PythonEngine()
    theirs: Engine = ProcEngine(argv, cwd=tmp_path, timeout=60)
    for step in STEPS:
        expected, found = (perform(engine, action(step), io) for engine in (ours, theirs))
        assert expected.ok and found.outputs == expected.outputs, (step, found)
    ours.close()
    theirs.close()


FLOW = {
    "version": "1.0.0",
    "flow": {"name": "f", "timeout_ms": 0},
    "constants": {"policyRef": "none", "policy": {}},
    "inputs_schema": {},
    "metadata": {"generated_at": "2026-01-01T00:00:00Z", "source_file": "f.yaml"},
}


def flow(*nodes: tuple[str, str, Mapping[str, Any]], edges: str) -> dict[str, Any]:
    found = []
    for edge in edges.split():
        from_, to = edge.split(">")
        to, _, case = to.partition("=")
        on = "failure" if to.startswith("!") else "success"
        found.append({"from": from_, "to": to.lstrip("!"), "on": on, **({"case": case} if case else {})})
    retry = {"max": 0, "backoff_ms": 0}
    made = [{"id": i, "type": t, "with": w, "timeout_ms": 0, "retry": retry} for i, t, w in nodes]
    return {**FLOW, "graph": {"nodes": made, "edges": found}}


READ = ("read", "opcua.read", {"endpoint": "$input.endpoint", "node_ids": ["a"]})
SWITCH = ("way", "switch", {"key_from": "$.inputs.mode", "cases": {"on": "hot", "off": "cold"}, "default": "_DEFAULT"})
FLOWS = {
    "a row": flow(READ, ("out", "dsl.emit", {"got": "$step.read.values.a", "none": "$step.nope"}), edges="read>out"),
    "a policy of the flow's": {
        **flow(READ, ("p", "policy.apply", {"values": {"x": 80, "mode": "$input.mode"}}), edges="read>p"),
        "constants": {"policyRef": "cooling", "policy": POLICY},
    },
    "a switch": flow(
        READ,
        SWITCH,
        ("hot", "dsl.emit", {"way": "hot"}),
        ("cold", "dsl.emit", {"way": "cold"}),
        ("out", "dsl.emit", {"was": "$step.hot.way"}),
        ("end", "finish", {}),
        edges="read>way way>hot=on way>cold=off hot>out cold>out way>out=_DEFAULT out>end",
    ),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("mode", ["on", "off", "?"])
def test_whole_flows_come_to_the_same_in_every_executor(name: str, mode: str, io: RunIo, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    found = []
    for argv in EXECUTORS.values():
        engine = ProcEngine(argv, cwd=tmp_path, timeout=60)
        what = action(("ir", {"ir": FLOWS[name], "inputs": {"endpoint": "e", "mode": mode}}))
        outcome = perform(engine, what, io)
        assert outcome.ok, outcome.error
        summary = json.loads(Cas(tmp_path / "cas").read(outcome.outputs["o"]["sha256"]))["summary"]
        found.append((summary["result"], summary["state"], summary["completed_steps"]))
        engine.close()
    assert found[0] == found[1]


def test_a_failure_takes_its_own_edge_in_javascript(io: RunIo, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    engine = ProcEngine(EXECUTORS["JavaScript"], cwd=tmp_path, timeout=60)
    bad, way = ("bad", "policy.apply", {"policy": {"x": 1}}), ("way", "dsl.emit", {"way": "other"})
    caught = flow(bad, ("never", "dsl.emit", {}), way, edges="bad>never bad>!way")
    outcome = perform(engine, action(("ir", {"ir": caught})), io)
    state = json.loads(Cas(tmp_path / "cas").read(outcome.outputs["o"]["sha256"]))["summary"]["state"]
    assert state["steps"]["way"] == {"way": "other"} and "never" not in state["steps"]
    assert state["steps"]["bad"]["error"]["code"] == "step_failed"
    outcome = perform(engine, action(("ir", {"ir": flow(bad, edges="")})), io)
    assert outcome.error is not None and outcome.error.details["code"] == 2001
    engine.close()
