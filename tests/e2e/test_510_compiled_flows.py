"""Compiled flows: files, manifest, running by name, and what bad input gets."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import flowbuild
from flowbuild.core.canonical import digest
from flowbuild.testing import Ran, Space

PLANT = """
targets:
  monitor:
    rule: flow
    flow: plant.monitor
    inputs:
      nodes: {type: list<string>, default: [boiler]}
      limit: integer
    policies:
      cooling: {rules: [{when: {boiler: {above: 75}}, emit: {action: COOL}}]}
    triggers:
      often: {every_ms: 1000}
    handlers: {plant.count: "count.py:count"}
    modules: [words.py]
    steps:
      read: {type: opcua.read, with: {node_ids: $input.nodes}, timeout_ms: 500, retry: {max: 2, backoff_ms: 100}, next: decide, on_failure: alarm}
      decide: {type: policy.apply, with: {values: $step.read.values}, next: branch}
      branch: {type: switch, key: $step.decide.action, cases: {COOL: count}, default: alarm}
      alarm: {type: dsl.emit, with: {alarm: true}, next: done}
      count: {type: plant.count, with: {values: $step.read.values, limit: $input.limit}, next: done}
      done: {type: finish}

  broken:
    rule: flow
    handlers: {plant.count: "count.py:count"}
    modules: [words.py]
    steps:
      only: {type: plant.count, with: {values: {}, limit: -1}}

  other:
    rule: exec
    command: "true"
    outputs: {}
"""
COUNT = """
from words import WORD

def count(values, limit):
    if limit is not None and limit < 0:
        raise ValueError("a limit is above zero")
    return {WORD: len(values), "limit": limit}
"""


@pytest.fixture
def plant(tmp_path: Path) -> Space:
    space = Space(tmp_path / "ws")
    space.write("plant/BUILD.yaml", PLANT)
    space.write("plant/count.py", COUNT)
    space.write("plant/words.py", 'WORD = "counted"\n')
    return space


def compiled(space: Space, *words: str) -> Ran:
    ran = space.run("compile", "//plant:monitor", "//plant:broken", "--emit-ir", "--out", "dsl", *words)
    assert ran.code == 0, ran
    return ran


def summary(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.out)
    return found


def run(space: Space, flow: str = "plant.monitor", *words: str) -> Ran:
    return space.run("ir", "run", "--manifest", "dsl/manifest.json", "--flow", flow, *words)


def test_what_a_compile_writes(plant: Space) -> None:
    ran = compiled(plant)
    names = ["flows/plant.monitor.yaml", "flows/plant.monitor.ir.json", "flows/broken.yaml", "flows/broken.ir.json"]
    assert ran.out.split() == [f"dsl/{n}" for n in [*names, "policies/cooling.json", "triggers.yaml", "manifest.json"]]
    first, second = json.loads(plant.read("dsl/manifest.json"))
    assert (first["name"], first["policyRef"], first["ir_path"]) == ("plant.monitor", "cooling", names[1])
    assert first["step_kinds"] == sorted({"opcua.read", "policy.apply", "switch", "dsl.emit", "plant.count", "finish"})
    assert (second["name"], second["policyRef"]) == ("broken", "none")
    ir = json.loads(plant.read(f"dsl/{names[1]}"))
    assert ir["metadata"]["source_file"] == "plant/BUILD.yaml"
    assert ir["graph"]["nodes"][0]["retry"] == {"max": 2, "backoff_ms": 100}
    assert ir["graph"]["edges"][:2] == [
        {"from": "read", "to": "decide", "on": "success"},
        {"from": "read", "to": "alarm", "on": "failure"},
    ]
    switch = next(node for node in ir["graph"]["nodes"] if node["type"] == "switch")
    cases = {"COOL": "count", "_DEFAULT": "alarm"}
    assert switch["with"] == {"key_from": "$.vars.decide.action", "cases": cases, "default": "_DEFAULT"}
    assert plant.read("dsl/triggers.yaml") == "triggers:\n- id: often\n  flow: plant.monitor\n  every_ms: 1000\n"


def test_a_manifest_says_what_each_flow_was_made_of(plant: Space) -> None:
    compiled(plant)
    source = sha256((plant.root / "plant/BUILD.yaml").read_bytes()).hexdigest()
    for entry in json.loads(plant.read("dsl/manifest.json")):
        ir = json.loads(plant.read(f"dsl/{entry['ir_path']}"))
        assert (entry["source_file"], entry["source_sha256"]) == ("plant/BUILD.yaml", source)
        assert ir["metadata"]["source_sha256"] == source
        assert entry["inputs_schema_hash"] == f"sha256:{digest(ir['inputs_schema'])}"
        assert datetime.fromisoformat(entry["generated_at"]).utcoffset() == timedelta(0)


def test_a_manifest_has_this_compile_s_flows_and_is_replaced_at_once(plant: Space) -> None:
    compiled(plant)
    os.link(plant.root / "dsl/manifest.json", plant.root / "before.json")  # who is reading it meanwhile
    before = plant.read("before.json")
    assert plant.run("compile", "//plant:broken", "--emit-ir", "--out", "dsl", "--force").code == 0
    assert [entry["name"] for entry in json.loads(plant.read("dsl/manifest.json"))] == ["broken"]
    assert plant.read("before.json") == before
    assert [path.name for path in (plant.root / "dsl").rglob(".tmp-*")] == []


def test_the_same_sources_give_the_same_bytes(plant: Space) -> None:
    compiled(plant)
    first = {path: path.read_text() for path in (plant.root / "dsl").rglob("*.*")}
    compiled(plant, "--force")
    stamp = json.loads(first[plant.root / "dsl/manifest.json"])[0]["generated_at"]
    again = json.loads(plant.read("dsl/manifest.json"))[0]["generated_at"]
    assert {path: path.read_text().replace(again, stamp) for path in first} == first


def test_what_is_there_is_not_written_over(plant: Space) -> None:
    compiled(plant)
    plant.write("dsl/flows/plant.monitor.yaml", "mine\n")
    ran = plant.run("compile", "//plant:monitor", "--emit-ir", "--out", "dsl")
    assert ran.code == 1
    assert "--force writes over it" in ran.err
    assert plant.read("dsl/flows/plant.monitor.yaml") == "mine\n"


def test_clean_takes_earlier_ir_away_and_clean_all_everything(plant: Space) -> None:
    compiled(plant)
    plant.write("dsl/note", "mine\n")
    compile_ = ("compile", "//plant:monitor", "--emit-ir", "--out", "dsl", "--force")
    assert plant.run(*compile_, "--clean").code == 0
    assert not (plant.root / "dsl/flows/broken.ir.json").exists()
    assert [entry["name"] for entry in json.loads(plant.read("dsl/manifest.json"))] == ["plant.monitor"]
    assert plant.run(*compile_, "--clean-all").code == 2
    assert (plant.root / "dsl/note").exists()
    assert plant.run(*compile_, "--clean-all", "--yes").code == 0
    assert not (plant.root / "dsl/note").exists()
    plant.write("mine/thesis.txt", "all of it\n")
    assert plant.run(*compile_, "--clean-all", "--yes", "--out", "mine").code == 2
    assert plant.read("mine/thesis.txt") == "all of it\n"
    refused = plant.run(*compile_, "--clean-all", "--yes", "--out", ".")
    assert refused.code == 2
    assert (plant.root / "plant/BUILD.yaml").exists()


def test_without_emit_ir_there_is_no_ir(plant: Space) -> None:
    assert plant.run("compile", "//plant:monitor", "--out", "dsl").code == 0
    assert sorted(path.name for path in (plant.root / "dsl").rglob("*.*")) == [
        *("cooling.json", "plant.monitor.yaml", "triggers.yaml")
    ]


def test_a_flow_runs_by_its_name(plant: Space) -> None:
    compiled(plant)
    ran = run(plant, "plant.monitor", "--inputs", '{"limit": 3}')
    assert ran.code == 0, ran
    doc = summary(ran)
    assert list(doc) == ["flow", "status", "summary", "events"]
    assert (doc["flow"], doc["status"]) == ("plant.monitor", "completed")
    assert ran.out.startswith('{\n  "flow"')
    counts = {key: doc["summary"][key] for key in ("completed_steps", "failed_steps", "skipped_steps")}
    assert counts == {"completed_steps": 5, "failed_steps": 0, "skipped_steps": 1}
    states = [(one["step_id"], one["state"]) for one in doc["events"] if one["type"] == "step"]
    assert states[:2] == [("read", "started"), ("read", "succeeded")]
    assert ("alarm", "skipped") in states


def test_inputs_may_stand_in_a_file(plant: Space) -> None:
    compiled(plant)
    plant.write("inputs.json", '{"limit": 7}')
    assert run(plant, "plant.monitor", "--inputs", "@inputs.json").code == 0


def test_a_flow_that_fails_exits_1_and_says_so(plant: Space) -> None:
    compiled(plant)
    ran = run(plant, "broken")
    assert ran.code == 1
    doc = summary(ran)
    assert (doc["status"], doc["summary"]["error"]) == ("failed", "ValueError: a limit is above zero")
    assert doc["events"][-1]["state"] == "failed"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ('{"nodes": 3}', "the input 'nodes' is list<string>, and 3 is not"),
        ('{"nodes": [1]}', "the input 'nodes' is list<string>, and [1] is not"),
        ('{"limit": true}', "the input 'limit' is integer, and true is not"),
        ('{"nods": []}', "did you mean 'nodes'?"),
        ("[]", "--inputs is a JSON object"),
        ("{", "--inputs is no JSON"),
        ("@nothing.json", "there is no file of inputs"),
    ],
)
def test_inputs_that_are_wrong_exit_2(plant: Space, inputs: str, said: str) -> None:
    compiled(plant)
    ran = run(plant, "plant.monitor", "--inputs", inputs)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_ir_that_fails_its_schema_exits_2_before_anything_runs(plant: Space) -> None:
    compiled(plant)
    path = "dsl/flows/broken.ir.json"
    plant.write(path, plant.read(path).replace('"policyRef": "none"', '"policyRef": ""'))
    ran = run(plant, "broken")
    assert (ran.code, ran.out) == (2, "")
    assert "constants/policyRef" in ran.err
    assert not list((plant.root / ".flowbuild").glob("runs/*"))


def test_a_kind_that_nobody_performs_exits_3(plant: Space) -> None:
    compiled(plant)
    plant.remove("plant/BUILD.yaml")  # and with it the handlers
    ran = run(plant)
    assert (ran.code, ran.out) == (3, "")
    assert "engine python has no step kind 'plant.count'" in ran.err


def test_verify_compiles_and_runs(plant: Space) -> None:
    ran = plant.run("verify", "online", "--flow", "plant.monitor", "--sources", "plant/", "--out", "out/v")
    assert ran.code == 0, ran
    assert list(summary(ran)) == ["flow", "manifest", "status", "summary", "events"]
    assert summary(ran)["manifest"] == "out/v/manifest.json"
    again = plant.run("verify", "online", "--flow", "plant.monitor", "--manifest", "out/v/manifest.json")
    assert again.code == 0
    assert plant.run("verify", "online", "--flow", "broken", "--manifest", "out/v/manifest.json").code == 1
    assert plant.run("verify", "online", "--flow", "x").code == 2  # there is no out/dsl/manifest.json
    both = plant.run("verify", "online", "--flow", "broken", "--sources", "//plant:broken", "//plant:monitor")
    assert both.code == 1
    assert len(json.loads(plant.read("out/dsl/manifest.json"))) == 2


def test_sources_are_where_one_stands(plant: Space) -> None:
    plant.write("other/BUILD.yaml", "targets: {f: {rule: flow, steps: {a: {type: finish}}}}\n")
    ran = plant.run("-C", "plant", "verify", "online", "--flow", "plant.monitor", "--sources", ".")
    assert ran.code == 0, ran
    assert len(json.loads(plant.read("plant/out/dsl/manifest.json"))) == 2
    refused = plant.run("verify", "online", "--flow", "f", "--sources", "../..")
    assert refused.code == 2
    assert "there is no such directory in the workspace" in refused.err


def test_a_workspace_may_have_handlers(plant: Space) -> None:
    compiled(plant)
    plant.remove("plant/BUILD.yaml")
    plant.write("count.py", COUNT.replace("from words import WORD", 'WORD = "counted"'))
    plant.write("flowbuild.yaml", 'handlers: {plant.count: "count.py:count"}\n')
    assert run(plant).code == 0


def test_a_program_may_run_a_flow(plant: Space) -> None:
    compiled(plant)
    manifest = plant.root / "dsl/manifest.json"
    result = flowbuild.run_ir_flow("plant.monitor", manifest_path=manifest, inputs={"nodes": ["boiler", "pump"]})
    assert isinstance(result, flowbuild.RunResult)
    assert result.status == "completed"
    assert result.state["steps"]["count"] == {"counted": 2, "limit": None}
    assert result.events
    assert result.summary["completed_steps"] == 5


def test_a_flow_runs_where_there_is_no_workspace(plant: Space, tmp_path: Path) -> None:
    compiled(plant)
    elsewhere = tmp_path / "elsewhere"
    (plant.root / "dsl").rename(elsewhere)
    ir = json.loads((elsewhere / "flows/broken.ir.json").read_text())
    ir["graph"]["nodes"][0]["type"] = "task"
    (elsewhere / "flows/broken.ir.json").write_text(json.dumps(ir))
    result = flowbuild.run_ir_flow("broken", manifest_path=elsewhere / "manifest.json")
    assert result.state["steps"] == {"only": {"args": {"limit": -1, "values": {}}, "target": "task"}}


def test_two_flows_of_one_name_are_refused(plant: Space) -> None:
    plant.write("b/BUILD.yaml", "targets: {broken: {rule: flow, steps: {a: {type: finish}}}}\n")
    ran = plant.run("compile", "//...", "--emit-ir", "--out", "dsl")
    assert ran.code == 2
    assert "//b:broken and //plant:broken are both the flow 'broken'" in ran.err


def test_what_is_no_flow_is_no_source(plant: Space) -> None:
    ran = plant.run("compile", "//plant:other", "--emit-ir")
    assert ran.code == 2
    assert "none of these targets is a flow" in ran.err
