"""Flows: branches, joins, failures that lead on, tries again, time-outs; all of it incremental like anything else."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.run.story import story
from flowbuild.store.journal import read
from flowbuild.testing import Ran, Space

MONITOR = """
targets:
  monitor:
    rule: flow
    params: {limit: 75}
    inputs:
      nodes: {type: list<string>, default: [boiler, pump]}
    policies:
      cooling: {rules: [{when: {boiler: {above: "${{ params.limit }}"}}, emit: {action: COOL, setpoint: 70}}]}
    handlers: {plant.report: "report.py:report"}
    steps:
      read: {type: opcua.read, with: {node_ids: $input.nodes}, next: decide}
      decide: {type: policy.apply, with: {values: $step.read.values}, next: branch}
      branch: {type: switch, key: $step.decide.action, cases: {COOL: cool}, default: report}
      cool: {type: opcua.write, with: {node_id: valve, value: $step.decide.setpoint}, next: report}
      report: {type: plant.report, with: {values: $step.read.values, wrote: $step.cool}, next: done}
      done: {type: finish}
"""
REPORT = """
def report(values, wrote):
    return {"hottest": max(values, key=values.get), "wrote": wrote}
"""


@pytest.fixture
def plant(tmp_path: Path) -> Space:
    space = Space(tmp_path / "ws")
    space.write("plant/BUILD.yaml", MONITOR)
    space.write("plant/report.py", REPORT)
    return space


def result(space: Space, target: str = "monitor") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(space.read(f"out/bin/plant/{target}/result.json"))
    return found


def test_a_flow_takes_one_way_and_skips_the_other(plant: Space) -> None:
    assert plant.build("//plant:monitor").performed == 7
    steps = result(plant)["steps"]
    assert steps["report"] == {"hottest": "boiler", "wrote": steps["cool"]}
    assert steps["cool"]["value"] == 70
    ran = plant.run("//plant:monitor", "--set", "limit=90")
    assert "1 skipped" in ran.out
    assert result(plant)["steps"]["report"] == {"hottest": "boiler", "wrote": None}
    assert "cool" not in result(plant)["steps"]


def test_a_flow_is_incremental(plant: Space) -> None:
    plant.build("//plant:monitor")
    plant.write("plant/report.py", REPORT.replace("hottest", "warmest"))
    assert plant.build("//plant:monitor").performed == 2  # the report, and what the flow came to
    assert plant.run("//plant:monitor", "--set", "limit=76").performed == 1  # another policy that decides alike
    assert "7 would be reused" in plant.run("explain", "//plant:monitor").out


def test_explain_follows_the_way_that_is_taken(plant: Space) -> None:
    plant.build("//plant:monitor", "--set", "limit=90")
    said = plant.run("explain", "//plant:monitor", "--set", "limit=90").out
    assert said == "0 would run, 0 may run, 6 would be reused, 1 would be skipped\n"


def test_the_journal_names_what_was_skipped(plant: Space) -> None:
    events = plant.events("//plant:monitor", "--set", "limit=90")
    domains = [doc["event"]["Domain"] for doc in events if "Domain" in doc.get("event", {})]
    (skipped,) = [one["payload"]["state_id"] for one in domains if one["name"] == "skipped"]
    assert skipped.endswith(".step.cool")


def flow(space: Space, steps: str, more: str = "", handlers: str = "") -> None:
    """A flow whose handlers stand in steps.py."""
    named = "handlers: {own.step: steps.py:step, own.other: steps.py:other}"
    lines = "".join(f"      {line}\n" for line in steps.strip().splitlines())
    space.write("plant/BUILD.yaml", f"targets:\n  f:\n    rule: flow\n    {named}\n{more}    steps:\n{lines}")
    space.write("plant/steps.py", handlers)


FAILING = """
def step(**given):
    raise ValueError("no answer from the plant")

def other(**given):
    return given
"""


def test_a_failure_that_leads_on_does_not_fail_the_run(plant: Space) -> None:
    flow(
        plant,
        "try: {type: own.step, next: good, on_failure: alarm}\n"
        "good: {type: task, next: done}\n"
        "alarm: {type: dsl.emit, with: {said: $step.try.error.message, code: $step.try.error.code}, next: done}\n"
        "done: {type: finish}",
        handlers=FAILING,
    )
    ran = plant.run("//plant:f")
    assert (ran.code, ran.performed) == (0, 4)
    assert "caught" in ran.out
    assert "warning" not in ran.out
    assert result(plant, "f")["outputs"] == {"code": "handler_raised", "said": "ValueError: no answer from the plant"}
    assert "good" not in result(plant, "f")["steps"]
    again = plant.run("//plant:f")
    assert again.performed == 1  # a failure is not remembered; what follows from it is


def test_a_failure_that_leads_nowhere_fails_the_run(plant: Space) -> None:
    flow(plant, "try: {type: own.step, next: done}\ndone: {type: finish}", handlers=FAILING)
    ran = plant.run("//plant:f")
    assert ran.code == 1
    assert "no answer from the plant" in ran.out


TRIED = """
from pathlib import Path

def step(place, good):
    count = Path(place)
    tries = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(tries))
    if tries < good:
        raise ValueError(f"try {tries}")
    return {"tries": tries}

def other(**given):
    return given
"""


def tried(space: Space, good: int, retry: str) -> Ran:
    place = space.root / "count"
    flow(space, f"try: {{type: own.step, with: {{place: '{place}', good: {good}}}, retry: {retry}}}", handlers=TRIED)
    return space.run("//plant:f", "--json")


def test_a_step_is_tried_again_as_often_as_it_says(plant: Space) -> None:
    ran = tried(plant, 3, "{max: 2, backoff_ms: 30}")
    assert ran.code == 0, ran
    assert result(plant, "f")["steps"]["try"] == {"tries": 3}
    events = [json.loads(line)["event"] for line in ran.out.splitlines() if '"event"' in line]
    attempts = [one["Kernel"]["StateEntered"]["attempt"] for one in events if "StateEntered" in one.get("Kernel", {})]
    assert attempts[:3] == [0, 1, 2]
    assert sum("StateFailed" in one.get("Kernel", {}) for one in events) == 2


KILLED = """
import os, signal, time
from pathlib import Path

def step(place):
    with Path(place).open("a+") as count:
        count.write("x")
        tries = count.tell()
    if tries == 1:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if tries == 2:
        raise ValueError("busy")
    return {}

def ask(o, io):
    o.write_text(str(io.now_millis()))
"""


def test_a_step_that_a_kill_cut_off_counts_on(plant: Space) -> None:
    steps = f"try: {{type: own.step, with: {{place: '{plant.root / 'count'}'}}, retry: {{max: 2}}}}"
    flow(plant, steps, handlers=KILLED)
    more = """
      ask: {rule: python, handler: "steps.py:ask", outputs: {o: o.txt}}
      report: {rule: run, targets: [":ask", ":f"]}
    """
    text = plant.read("plant/BUILD.yaml").replace("own.other: steps.py:other", "").replace(", }", "}")
    plant.write("plant/BUILD.yaml", text + "".join(f"  {line.strip()}\n" for line in more.strip().splitlines()))
    assert plant.run("//plant:report", "-j1").code == -signal.SIGKILL
    ran = plant.run("//plant:report", "-j1")
    assert ran.code == 0 and "going on with run" in ran.out, ran
    (journal,) = plant.root.glob("out/plant/report/*/journal.jsonl")
    told = story(read(journal))  # one that contradicts itself tells none
    assert [one.attempt for one in told.states.values() if one.state_id.endswith(".try")] == [2]
    # The same where the power went between the end of an attempt and the beginning of the next one.
    lines = journal.read_bytes().splitlines(keepends=True)
    failed = max(number for number, line in enumerate(lines) if b'"StateFailed"' in line)
    status = {**json.loads((journal.parent / "run_status.json").read_text()), "state": "in_progress"}
    shutil.rmtree(journal.parent)
    plant.write(f"{journal.parent.relative_to(plant.root)}/run_status.json", json.dumps(status))
    journal.write_bytes(b"".join(lines[: failed + 1]))
    ran = plant.run("runs", "resume", journal.parent.name)
    assert ran.code == 0 and story(read(journal)).status == "Completed", ran


def test_a_step_is_tried_no_more_often_than_it_says(plant: Space) -> None:
    assert tried(plant, 4, "{max: 2}").code == 1
    assert plant.read("count") == "3"


SLOW = """
import time

def step(**given):
    time.sleep(60)

def other(**given):
    return given
"""


def test_a_step_has_its_time(plant: Space) -> None:
    steps = "try: {type: own.step, timeout_ms: 300, on_failure: late}\nlate: {type: own.other, with: {why: $step.try.error.code}}"
    flow(plant, steps, handlers=SLOW)
    assert plant.run("//plant:f").code == 0
    assert result(plant, "f")["steps"]["late"] == {"why": "timeout"}


def test_a_flow_has_its_time_and_no_edge_leads_on_from_that(plant: Space) -> None:
    steps = "try: {type: own.step, on_failure: late}\nlate: {type: own.other}"
    flow(plant, steps, more="    timeout_ms: 400\n", handlers=SLOW)
    ran = plant.run("//plant:f")
    assert ran.code == 1
    assert "the flow took longer than 400 ms; step try was ended" in ran.out


def test_waiting_for_another_try_can_be_cancelled(plant: Space) -> None:
    flow(plant, "try: {type: own.step, retry: {max: 1, backoff_ms: 60000}}", handlers=FAILING)
    process = plant.start("//plant:f", "-v")
    logs = plant.root / ".flowbuild/runs"
    for _ in range(500):
        if list(logs.glob("*/logs/*")):
            break
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130


JOIN = """
first: {type: task, next: [left, right]}
left: {type: task, with: {side: left}, next: join}
right: {type: task, with: {side: right}, next: join}
join: {type: own.other, with: {l: $step.left.args.side, r: $step.right.args.side}}
"""


def test_a_join_waits_for_all_that_lead_to_it(plant: Space) -> None:
    flow(plant, JOIN, handlers=FAILING)
    plant.build("//plant:f")
    assert result(plant, "f")["steps"]["join"] == {"l": "left", "r": "right"}


def test_a_switch_without_a_case_for_its_key_fails(plant: Space) -> None:
    flow(plant, "a: {type: task, next: b}\nb: {type: switch, key: $step.a.target, cases: {x: c}}\nc: {type: finish}")
    plant.write("plant/steps.py", FAILING)
    ran = plant.run("//plant:f")
    assert ran.code == 1
    assert "no case for 'task', and no default; cases are x" in ran.out


def test_a_kind_that_nobody_performs_is_refused_before_anything_runs(plant: Space) -> None:
    flow(
        plant, "a: {type: own.step, next: b}\nb: {type: robot.dance, next: c}\nc: {type: robot.sing}", handlers=FAILING
    )
    ran = plant.run("//plant:f")
    assert (ran.code, ran.out) == (3, "")
    assert "engine python has no step kind 'robot.dance' (//plant:f), 'robot.sing' (//plant:f)" in ran.err


@pytest.mark.parametrize("kind", ["exec", "python", "probe", "write"])
def test_what_targets_are_made_of_is_no_step(plant: Space, kind: str) -> None:
    flow(plant, f"a: {{type: {kind}, with: {{command: [touch, made], content: x}}}}", handlers=FAILING)
    ran = plant.run("//plant:f")
    assert (ran.code, ran.out) == (3, "")
    assert f"has no step kind '{kind}'" in ran.err


def test_a_default_is_of_its_type(plant: Space) -> None:
    plant.write("plant/BUILD.yaml", MONITOR.replace("[boiler, pump]", "[1]"))
    ran = plant.run("//plant:monitor")
    assert ran.code == 2
    assert "the input 'nodes' is list<string>, and its default is not" in ran.err


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("a: {type: task, next: bb}\nb: {type: finish}", "there is no step 'bb'"),
        ("a: {type: task, next: b}\nb: {type: task, next: a}", "these steps lead in a circle"),
        ("a: {type: finish}\nb: {type: finish}", "nothing leads to 'b'"),
        ("a: {type: task, next: b, with: {x: $step.b}}\nb: {type: finish}", "'b' does not come before 'a'"),
        ("a: {type: task, with: {x: $input.nope}}", "the flow has no input 'nope'"),
        ("a: {type: task, retry: {max: -1}}", "`max` is a whole number from 0"),
        ("a: {type: task, retri: {max: 1}}", "did you mean 'retry'?"),
        ("a: {with: {}}", "a step is a mapping with a `type`"),
        ("a: {type: switch, cases: {x: a}}", "a switch needs `key`"),
        ("a.b: {type: finish}", "a reference would end at the dot"),
        ("a: {type: ir}", "'ir' is no step kind"),
        ('a: {type: task, with: {x: "${{ inputs.nodes }}"}}', "a flow's own inputs are $input.name"),
    ],
)
def test_what_is_wrong_with_a_flow_is_said_at_its_place(plant: Space, steps: str, said: str) -> None:
    flow(plant, steps, handlers=FAILING)
    ran = plant.run("//plant:f")
    assert ran.code == 2
    assert said in ran.err
    assert "plant/BUILD.yaml:" in ran.err


READING = """
targets:
  made:
    rule: exec
    script: |
      echo '{"best":' ${{ params.best }} ', "other": 1}' > ${{ outputs.o }}
    outputs: {o: o.json}
    params: {best: 7}
  f:
    rule: flow
    files: {limits: limits.json, made: ":made"}
    steps:
      a: {type: task, with: {limit: $input.limits.boiler, best: $input.made.best}, next: s}
      s: {type: switch, key: $input.limits.mode, cases: {"on": t}}
      t: {type: dsl.emit, with: {all: $input.limits}}
"""


@pytest.fixture
def reading(plant: Space) -> Space:
    plant.write("plant/BUILD.yaml", READING)
    plant.write("plant/limits.json", '{"boiler": 75.0, "mode": "on", "unused": 1}')
    return plant


def test_a_flow_reads_files_and_what_other_targets_made(reading: Space) -> None:
    assert reading.build("//plant:f").performed == 7
    found = result(reading, "f")
    assert found["steps"]["a"]["args"] == {"limit": 75, "best": 7}
    assert found["inputs"] == {"limits": {"boiler": 75, "mode": "on", "unused": 1}, "made": {"best": 7, "other": 1}}
    assert found["outputs"] == {"all": found["inputs"]["limits"]}


def test_a_value_that_no_step_uses_performs_no_step(reading: Space) -> None:
    reading.build("//plant:f")
    reading.write("plant/limits.json", '{"boiler": 75, "mode": "on", "unused": 2}')
    assert reading.build("//plant:f").performed == 3  # it is read, one step emits all of it, and the end
    assert reading.build("//plant:f", "--set", "//plant:made.best=8").performed == 4  # made, read, a, and the end


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{", 1, "plant/limits.json is no JSON"),
        ("[NaN]", 1, "plant/limits.json is no JSON"),
        (None, 2, "plant/limits.json is not there"),
    ],
)
def test_a_file_that_is_no_json(reading: Space, text: str | None, code: int, said: str) -> None:
    reading.remove("plant/limits.json")
    if text is not None:
        reading.write("plant/limits.json", text)
    ran = reading.run("//plant:f")
    assert ran.code == code
    assert said in ran.out + ran.err


def test_a_compiled_flow_gets_what_it_would_read_as_inputs(reading: Space) -> None:
    assert reading.run("compile", "//plant:f", "--emit-ir").code == 0
    inputs = '{"limits": {"mode": "on"}, "made": {"best": 1}}'
    ran = reading.run("ir", "run", "--manifest", "out/dsl/manifest.json", "--flow", "f", "--inputs", inputs)
    assert ran.code == 0, ran


def test_an_input_is_said_once(reading: Space) -> None:
    reading.write("plant/BUILD.yaml", READING.replace("    files:", "    inputs: {made: string}\n    files:"))
    ran = reading.run("//plant:f")
    assert ran.code == 2
    assert "the input 'made' is read from a file" in ran.err
