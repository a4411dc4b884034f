"""The real peer: TraceMind's flow on TraceMind's executor by our engine, and TraceMind driving our executor."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from trace_mind_peer import TraceMind

import flowbuild
from flowbuild.engine.conformance import Trial, checked
from flowbuild.testing import Space

pytestmark = pytest.mark.peers

WDL = """
version: dsl/v0
workflow: plant-monitor
inputs:
  endpoint: string
  nodes: list<string>
steps:
  - read(opcua.read):
      endpoint: $input.endpoint
      node_ids: $input.nodes
  - decide(policy.apply):
      values: $step.read.values
  - when $step.read.endpoint in ["opc.tcp://plant"]:
      - write(opcua.write):
          endpoint: $input.endpoint
          node_id: valve
          value: 40
outputs:
  values: $step.read.values
"""
PDL = """
version: pdl/v0
arms:
  cooling:
    setpoint: 70
evaluate:
  temp := first_numeric(values)
emit:
  action: "COOL"
"""
INPUTS = json.dumps({"endpoint": "opc.tcp://plant", "nodes": ["a", "b"]})


def tell(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv], cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def compiled(trace_mind: TraceMind, tmp_path: Path) -> Path:
    """The manifest of a flow that TraceMind compiled."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "plant-monitor.wdl").write_text(WDL.lstrip())
    (tmp_path / "flows" / "plant-monitor.pdl").write_text(PDL.lstrip())
    done = tell(trace_mind.tm, "dsl", "compile", "flows", "--emit-ir", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done
    return tmp_path / "out" / "manifest.json"


def test_our_engine_runs_their_flow_on_their_executor(trace_mind: TraceMind, compiled: Path, tmp_path: Path) -> None:
    space = Space(tmp_path / "ws")
    argv = f"{trace_mind.python} {trace_mind.mock}"
    run = ["ir", "run", "--manifest", str(compiled), "--flow", "plant-monitor", "--inputs", INPUTS]
    ran = space.run(*run, "--engine", "proc", "--executor-path", argv)
    assert ran.code == 0, ran
    said = json.loads(ran.out)
    assert (said["flow"], said["status"]) == ("plant-monitor", "completed")
    assert [event["message"] for event in said["events"]] == ["run started", "run completed"]


def test_their_flow_runs_in_process_as_well(compiled: Path, tmp_path: Path) -> None:
    space = Space(tmp_path / "ws")
    ran = space.run("ir", "run", "--manifest", str(compiled), "--flow", "plant-monitor", "--inputs", INPUTS)
    assert ran.code == 0, ran
    assert json.loads(ran.out)["status"] == "completed"


def test_their_client_drives_our_executor(trace_mind: TraceMind, compiled: Path, tmp_path: Path) -> None:
    # It starts `python FILE`, with its own python: so our package is found by path.
    ours = tmp_path / "ours.py"
    root = Path(flowbuild.__file__).parents[1]
    ours.write_text(
        dedent(f"""
            import runpy, sys
            sys.path.insert(0, {str(root)!r})
            runpy.run_module("flowbuild.rep.mock", run_name="__main__")
        """)
    )
    proc = [trace_mind.tm, "--engine", "proc", "--executor-path", ours]
    run = ["runtime", "run", "--manifest", compiled, "--flow", "plant-monitor", "--inputs", INPUTS]
    done = tell(*proc, *run, cwd=tmp_path)
    assert done.returncode == 0, done
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["status"] == "completed"
    assert said["summary"]["result"] == {"values": {"a": 80.0, "b": 80.0}}
    assert {event["step_id"] for event in said["events"]} == {"read", "decide", "write", "emit_1"}
    verify = ["verify", "online", "--manifest", compiled, "--flow", "plant-monitor", "--inputs", INPUTS]
    assert tell(*proc, *verify, cwd=tmp_path).returncode == 0


def test_the_checks_find_what_their_executor_leaves_out(trace_mind: TraceMind, tmp_path: Path) -> None:
    """What was seen by hand: the table must say the same."""
    trial = Trial((str(trace_mind.python), str(trace_mind.mock)), tmp_path, timeout=2)
    failed = {finding.name for finding in checked(trial) if finding.verdict == "failed"}
    assert failed == {
        "cancel",
        "unsupported version",
        "unknown step kind",
        "invalid IR",
        "bad JSON",
        "huge frame",
        "end of input",
    }
