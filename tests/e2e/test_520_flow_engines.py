"""Flows on other engines: the same artifacts, whose retries are whose, and what each bad setting gets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.testing import Ran, Space

PLANT = """
targets:
  monitor:
    rule: flow
    inputs:
      nodes: {type: list<string>, default: [boiler, pump]}
      sign: {type: string, default: "ü \\u2028 😀"}
    policies:
      cooling: {rules: [{when: {boiler: {above: 75.5}}, emit: {action: COOL, rate: 0.1, most: 1.0e+21, little: 1.0e-7}}]}
    steps:
      read: {type: opcua.read, with: {endpoint: $input.sign, node_ids: $input.nodes}, next: decide, on_failure: alarm}
      decide: {type: policy.apply, with: {values: $step.read.values}, next: branch}
      branch: {type: switch, key: $step.decide.action, cases: {COOL: cool}, default: report}
      cool: {type: opcua.write, with: {node_id: valve, value: $step.decide.rate}, next: report}
      alarm: {type: dsl.emit, with: {alarm: true}, next: done}
      report: {type: dsl.emit, with: {values: $step.read.values, wrote: $step.cool, text: "$step", nothing: $step.read.x}, next: done}
      done: {type: finish}
"""
MOCK = f"{sys.executable} -m flowbuild.rep.mock"
EXECUTORS = {"mock": MOCK, "JavaScript": str(Path(__file__).parents[2] / "examples/executors/plant.js")}

EXECUTOR = """
import sys
import time
from pathlib import Path
from flowbuild.rep import StepFailed, serve

COUNT = Path(__file__).with_name("count")

def flaky(with_, context):
    tries = int(COUNT.read_text()) + 1 if COUNT.exists() else 1
    COUNT.write_text(str(tries))
    if tries < with_["good"]:
        raise StepFailed(f"try {tries}", retriable=with_.get("again", True))
    return {"tries": tries}

def slow(with_, context):
    context.sleep(60)
    return {}

serve({"own.flaky": flaky, "own.slow": slow})
"""


@pytest.fixture
def plant(tmp_path: Path) -> Space:
    space = Space(tmp_path / "ws")
    space.write("plant/BUILD.yaml", PLANT)
    return space


def result(space: Space, target: str = "monitor") -> bytes:
    return (space.root / f"out/bin/plant/{target}/result.json").read_bytes()


@pytest.mark.parametrize("name", EXECUTORS)
def test_every_executor_comes_to_the_same_bytes(plant: Space, name: str) -> None:
    if name == "JavaScript" and shutil.which("node") is None:
        pytest.skip("needs node")
    proc = ("--engine", "proc", "--executor-path", EXECUTORS[name])
    plant.build("//plant:monitor")
    first = result(plant)
    ran = plant.run("//plant:monitor", *proc)
    assert ran.code == 0, ran
    assert ran.performed == 4  # switch, finish and the end of the flow are ours, and reused
    assert result(plant) == first
    assert plant.run("//plant:monitor", *proc).performed == 0
    assert json.loads(first)["steps"]["report"]["values"] == {"boiler": 80, "pump": 80}


def own(space: Space, step: str, *words: str) -> Ran:
    space.write("executor.py", EXECUTOR)
    space.write("plant/BUILD.yaml", f"targets: {{f: {{rule: flow, steps: {{a: {step}}}}}}}\n")
    return space.run("//plant:f", "--engine", "proc", "--executor-path", "executor.py", *words)


def test_retries_are_ours_and_one_process_is_kept(plant: Space) -> None:
    ran = own(plant, "{type: own.flaky, with: {good: 3}, retry: {max: 2, backoff_ms: 20}}")
    assert ran.code == 0, ran
    assert ran.out.count("retry") == 2
    assert json.loads(result(plant, "f"))["steps"] == {"a": {"tries": 3}}


def test_a_failure_that_is_final_is_not_tried_again(plant: Space) -> None:
    ran = own(plant, "{type: own.flaky, with: {good: 3, again: false}, retry: {max: 2}}")
    assert ran.code == 1
    assert plant.read("count") == "1"


def test_a_step_of_an_executor_has_its_time(plant: Space) -> None:
    ran = own(plant, "{type: own.slow, timeout_ms: 300}")
    assert ran.code == 1, ran


def test_another_executor_is_another_key(plant: Space) -> None:
    step = "{type: own.flaky, with: {good: 1}}"
    assert own(plant, step).performed == 2
    assert own(plant, step).performed == 0
    plant.write("executor.py", EXECUTOR + "\n# edited\n")
    again = plant.run("//plant:f", "--engine", "proc", "--executor-path", "executor.py")
    assert again.performed is not None
    assert again.performed > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--engine", "proc"], 2, "engine proc needs an executor"),
        (["--engine", "prok", "--executor-path", "x"], 2, "there is no engine 'prok'; did you mean 'proc'?"),
        (["--runtime-config", "nothing.yaml"], 2, "there is no file nothing.yaml"),
        (["--runtime-config", "list.yaml"], 2, "list.yaml"),
        (["--runtime-config", "empty.yaml"], 2, "needs 'runtime'"),
        (["--runtime-config", "key.yaml"], 2, "did you mean 'engine'?"),
        (["--runtime-config", "language.yaml"], 3, "plugins_language is 'c' and language 'rust'"),
        (["--engine", "proc", "--executor-path", "/nonexistent/executor"], 4, "/nonexistent/executor"),
        (["--engine", "proc", "--executor-path", "false"], 4, "it ended without a reply"),
    ],
)
def test_what_is_wrong_with_a_runtime(plant: Space, words: list[str], code: int, said: str) -> None:
    plant.write("list.yaml", "[]\n")
    plant.write("empty.yaml", "{}\n")
    plant.write("key.yaml", "runtime: {engin: proc}\n")
    plant.write("language.yaml", "runtime: {engine: proc, executor_path: x, language: rust, plugins_language: c}\n")
    ran = plant.run("//plant:monitor", *words)
    assert (ran.code, ran.performed) == (code, None), ran
    assert said in ran.err.replace("\n  ", "; ")
    assert "Traceback" not in ran.err


def test_a_file_says_what_a_workspace_does_not_and_flags_win(plant: Space) -> None:
    argv = json.dumps([sys.executable, "-m", "flowbuild.rep.mock"])
    plant.write("conf/runtime.yaml", f"runtime: {{engine: proc, executor_path: {argv}}}\n")
    assert plant.run("//plant:monitor", "--runtime-config", "conf/runtime.yaml").code == 0
    assert plant.run("//plant:monitor", "--runtime-config", "conf/runtime.yaml", "--engine", "python").performed == 4
    plant.write("flowbuild.yaml", f"runtime: {{engine: proc, executor_path: {argv}}}\n")
    assert plant.run("//plant:monitor").performed == 0


def test_a_kind_that_an_executor_lacks_is_refused_before_anything_runs(plant: Space) -> None:
    plant.write(
        "plant/BUILD.yaml", "targets: {f: {rule: flow, steps: {a: {type: dsl.emit, next: b}, b: {type: robot.dance}}}}"
    )
    ran = plant.run("//plant:f", "--engine", "proc", "--executor-path", MOCK)
    assert (ran.code, ran.out) == (3, "")
    assert "has no step kind 'robot.dance'" in ran.err


def compiled(space: Space) -> tuple[str, ...]:
    assert space.run("compile", "//plant:all", "--emit-ir", "--force").code == 0
    return "ir", "run", "--manifest", "out/dsl/manifest.json", "--flow"


def doc(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.out)
    return found


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_whole_flow_goes_to_an_executor(plant: Space, name: str) -> None:
    if name == "JavaScript" and shutil.which("node") is None:
        pytest.skip("needs node")
    run = compiled(plant)
    ran = plant.run(*run, "monitor", "--engine", "proc", "--executor-path", EXECUTORS[name])
    assert ran.code == 0, ran
    assert doc(ran)["status"] == "completed"
    assert doc(ran)["summary"]["completed_steps"] == 4
    assert [one["step_id"] for one in doc(ran)["events"] if one.get("state") == "succeeded"] == [
        *("read", "decide", "cool", "report")
    ]
    here = doc(plant.run(*run, "monitor"))
    assert here["status"] == "completed"


def test_a_whole_flow_that_an_executor_lacks_a_kind_for(plant: Space) -> None:
    plant.write("plant/BUILD.yaml", "targets: {f: {rule: flow, steps: {a: {type: robot.dance}}}}")
    ran = plant.run(*compiled(plant), "f", "--engine", "proc", "--executor-path", MOCK)
    assert (ran.code, ran.out) == (3, "")
    assert "robot.dance" in ran.err


def test_a_whole_flow_that_fails_in_an_executor(plant: Space) -> None:
    own(plant, "{type: own.flaky, with: {good: 9}, retry: {max: 1}}")
    plant.remove("count")
    ran = plant.run(*compiled(plant), "f", "--engine", "proc", "--executor-path", "executor.py")
    assert ran.code == 1, ran
    assert doc(ran)["status"] == "failed"
    assert plant.read("count") == "2"  # its retries are the executor's
    assert doc(ran)["summary"]["error"] == "try 2"


def slow(space: Space, engine: str) -> tuple[str, ...]:
    """The words of a run that takes a minute."""
    space.write("executor.py", EXECUTOR)
    space.write("plant/slow.py", "import time\n\ndef wait():\n    time.sleep(60)\n    return {}\n")
    handlers = "" if engine == "proc" else 'handlers: {own.slow: "slow.py:wait"}, '
    space.write("plant/BUILD.yaml", f"targets: {{f: {{rule: flow, {handlers}steps: {{a: {{type: own.slow}}}}}}}}\n")
    return *compiled(space), "f", "--engine", engine, "--executor-path", "executor.py"


@pytest.mark.parametrize("engine", ["python", "proc"])
def test_an_interrupted_flow_leaves_nobody_behind(plant: Space, engine: str) -> None:
    process = plant.start(*slow(plant, engine))
    for _ in range(1000):  # until the step is under way: then its journal is there
        if any(b"action_bound" in path.read_bytes() for path in plant.root.glob(".flowbuild/runs/*/journal.jsonl")):
            break
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "failed"
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_an_executor_has_its_time_too(plant: Space) -> None:
    words = slow(plant, "proc")
    plant.write("short.yaml", "runtime: {engine: proc, executor_path: ./executor.py, timeout: 2}\n")
    ran = plant.run(*words[:6], "--runtime-config", "short.yaml")
    assert (ran.code, ran.out) == (4, "")
    assert "time-out" in ran.err


def test_verify_runs_on_an_executor_too(plant: Space) -> None:
    ran = plant.run(
        "--engine", "proc", "--executor-path", MOCK, "verify", "online", "--flow", "monitor", "--sources", "."
    )
    assert ran.code == 0, ran
    assert list(doc(ran)) == ["flow", "manifest", "status", "summary", "events"]
