"""Our flows at the real peer: what we compile is Flow IR by TraceMind's schema, and TraceMind runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from trace_mind_peer import TraceMind

from flowbuild import run_ir_flow
from flowbuild.core.errors import BadFlow, Faults
from flowbuild.graph.flow_ir import check
from flowbuild.testing import Space

pytestmark = pytest.mark.peers

EXAMPLE = Path(__file__).parents[2] / "examples/flows/plant-monitor"

# Of the peer's own kinds, in a row: it follows the first edge of each node only.
ROW = """
targets:
  row:
    rule: flow
    inputs: {endpoint: {type: string}, nodes: {type: list<string>}}
    steps:
      read: {type: opcua.read, with: {endpoint: $input.endpoint, node_ids: $input.nodes}, next: write}
      write: {type: opcua.write, with: {endpoint: $input.endpoint, node_id: v, value: $step.read.values.a}, next: tell}
      tell: {type: dsl.emit, with: {wrote: $step.write.value, read: $step.read.values}}
"""
INPUTS = {"endpoint": "opc.tcp://plant", "nodes": ["a", "b"]}


@pytest.fixture
def compiled(tmp_path: Path) -> Space:
    space = Space(tmp_path / "ws")
    shutil.copytree(EXAMPLE, space.root / "plant")
    space.write("row/BUILD.yaml", ROW)
    ran = space.run("compile", "//...", "--emit-ir", "--out", "dsl")
    assert ran.code == 0, ran
    return space


def documents(space: Space) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((space.root / "dsl/flows").glob("*.ir.json"))]


def test_what_we_compile_is_flow_ir_by_their_schema(trace_mind: TraceMind, compiled: Space) -> None:
    theirs = Draft202012Validator(json.loads(trace_mind.schema.read_text()))
    found = documents(compiled)
    assert len(found) == 2
    for document in found:
        assert [error.message for error in theirs.iter_errors(document)] == []


@pytest.mark.parametrize("change", ["version", "policyRef", "retry", "source_file"])
def test_both_schemas_refuse_the_same(trace_mind: TraceMind, compiled: Space, change: str) -> None:
    theirs = Draft202012Validator(json.loads(trace_mind.schema.read_text()))
    document = documents(compiled)[0]
    wrong = {
        "version": {"version": "2.0.0"},
        "policyRef": {"constants": {"policyRef": "", "policy": {}}},
        "retry": {"graph": {"nodes": [{**document["graph"]["nodes"][0], "retry": {"max": -1}}], "edges": []}},
        "source_file": {"metadata": {**document["metadata"], "source_file": None}},
    }[change]
    assert list(theirs.iter_errors({**document, **wrong}))
    with pytest.raises((BadFlow, Faults)):
        check({**document, **wrong}, "it")


@pytest.mark.parametrize("flow", ["row", "plant-monitor"])
def test_they_run_what_we_compile(trace_mind: TraceMind, compiled: Space, flow: str) -> None:
    done = told(trace_mind, compiled, "runtime", "run", "--manifest", "dsl/manifest.json", "--flow", flow)
    assert json.loads(done.stdout)["status"] == "completed"


def test_their_python_engine_comes_to_what_ours_comes_to(trace_mind: TraceMind, compiled: Space) -> None:
    script = (
        "import json, sys; from pathlib import Path; from tm.runtime.ir_runner import run_flow; "
        "result = run_flow('row', manifest_path=Path('dsl/manifest.json'), inputs=json.loads(sys.argv[1])); "
        "print(json.dumps([result.status, result.state]))"
    )
    argv = [trace_mind.python, "-c", script, json.dumps(INPUTS)]
    done = subprocess.run(argv, cwd=compiled.root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done
    status, state = json.loads(done.stdout)
    ours = run_ir_flow("row", manifest_path=compiled.root / "dsl/manifest.json", inputs=INPUTS)
    assert status == ours.status
    assert state["outputs"] == ours.state["outputs"] == {"wrote": 80, "read": {"a": 80, "b": 80}}
    assert {name: state["steps"][name] for name in ("read", "write")} == {
        name: ours.state["steps"][name] for name in ("read", "write")
    }


def told(peer: TraceMind, space: Space, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(peer.tm), *words, "--inputs", json.dumps(INPUTS)]
    done = subprocess.run(argv, cwd=space.root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done
    return done
