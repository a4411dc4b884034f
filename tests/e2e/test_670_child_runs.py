"""Child runs: a handler runs other targets whole, and what it heard of them survives a kill, a cancel and a replay.

Seed 001: 001-29.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.ids import RunId, child_run_id
from flowbuild.testing import Ran, Space

BUILD = """
targets:
  every: {rule: python, handler: every.py:every, spawns: [":one", ":two", ":sure"], with: {gate: GATE}, outputs: {said: said.json}}
  one:
    rule: python
    handler: one.py:one
    params: {n: 1}
    with: {n: "${{ params.n }}", gate: GATE}
    reads: [limit]
    initial: [limit]
    writes: [result]
    outputs: {o: one.txt}
  two: {rule: run, targets: [":one"]}
  sure: {rule: exec, script: "echo sure > ${{ outputs.o }}", outputs: {o: sure.txt}}
  report: {rule: run, targets: [":every"]}
"""
# Whoever is gated says that it is here, and waits to be let on.
ONE = """
import os, pathlib, time

def one(o, n, gate, context, io):
    drawn = io.random_bytes(4).hex()
    if n == 0:
        raise ValueError("zero")
    pathlib.Path(gate, f"one-{n}").write_text(str(os.getpid()))
    while n > 1 and not os.path.exists(f"{gate}/go-{n}"):
        time.sleep(0.01)
    o.write_text(f"{n} {drawn}")
    context.write("result", [n, context.read("limit"), drawn])
"""
EVERY = """
import json, os, pathlib, time

def every(said, gate, io):
    a = io.spawn(":one", "first", params={"n": 2}, initial_context={"limit": 7})
    b = io.spawn("//:two", "second")
    pathlib.Path(gate, "spawned").write_text(str(os.getpid()))
    ended = [io.await_run(b), io.await_run(a)]
    said.write_text(json.dumps([one._asdict() for one in ended]))
"""
# It ends its worker as soon as the child, which nobody lets on, is at work.
DOOMED = """
import os, pathlib, threading, time

def every(said, gate, io):
    def end():
        while not pathlib.Path(gate, "one-3").exists():
            time.sleep(0.01)
        os._exit(3)

    child = io.spawn(":one", "k", {"n": 3})
    threading.Thread(target=end).start()
    io.await_run(child)
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


@pytest.fixture
def family(space: Space, gate: Path) -> Space:
    space.write("BUILD.yaml", BUILD.replace("GATE", str(gate)))
    space.write("one.py", ONE)
    space.write("every.py", EVERY)
    return space


def handler(space: Space, body: str) -> Ran:
    """Build with another body of the handler, to which `io` and `said` are known."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    space.write("every.py", f"import json\n\ndef every(said, gate, io):\n{lines}\n")
    return space.run("//:every")


def bundle(space: Space, name: str = "report") -> Path:
    out = space.root / "out" / name
    return out / out.joinpath("LATEST").read_text().strip()


def domain(run: Path, *names: str) -> list[tuple[str, Any]]:
    rows = [json.loads(line)["event"].get("Domain") for line in (run / "journal.jsonl").read_text().splitlines()]
    return [(row["name"], row["payload"]) for row in rows if row is not None and row["name"] in names]


def until(path: Path, process: Any = None) -> None:
    limit = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < limit and (process is None or process.poll() is None), path
        time.sleep(0.01)


def said(run: Path) -> Any:
    """What the handler wrote."""
    (payload,) = [payload for name, payload in domain(run, "outcome_recorded") if "said" in payload["outputs"]]
    return json.loads((run / "objects" / payload["outputs"]["said"]).read_bytes())


@pytest.mark.parametrize("jobs", ["-j1", "-j4"])
def test_two_children_are_at_work_together_and_each_is_a_run(family: Space, gate: Path, jobs: str) -> None:
    (gate / "go-2").touch()
    ran = family.run("//:report", jobs)
    assert ran.code == 0, ran
    run = bundle(family)
    two, one = said(run)
    assert [one["status"], two["status"]] == ["Completed", "Completed"]
    assert (one["context"]["result"][:2], two["context"]["result"][:2]) == ([2, 7], [1, None])
    assert one["run_id"] == child_run_id(RunId(run.name), "first")
    assert two["run_id"] == child_run_id(RunId(run.name), "second")
    told = domain(run, "child_run_spawned", "child_run_completed")
    assert [name for name, _ in told[:2]] == ["child_run_spawned"] * 2
    assert {payload["child_run_id"] for _, payload in told} == {one["run_id"], two["run_id"]}
    assert (family.root / "out/two" / two["run_id"] / "artifact_index.json").exists()
    assert not (family.root / "out/two/LATEST").exists()
    assert (family.root / ".flowbuild/runs" / one["run_id"] / "journal.jsonl").exists()
    assert family.run("bundle", "validate", f"out/two/{two['run_id']}").code == 0
    links = {row["run_id"]: row for row in json.loads((run / "summary.json").read_text())["children"]}
    assert (run / links[two["run_id"]]["bundle"]).resolve() == family.root / "out/two" / two["run_id"]
    assert [links[one["run_id"]][name] for name in ("label", "status", "bundle")] == ["//:one", "Completed", None]
    assert f"child      //:two  run {two['run_id'][:8]}  Completed" in family.run("runs", "show", "//:report").out
    assert f"parent     run {run.name}" in family.run("runs", "show", two["run_id"]).out
    assert f"//:one  child of {run.name[:8]}" in family.run("runs", "list").out


def test_a_replay_runs_no_child_and_the_bundle_of_a_child_is_replayed_by_itself(family: Space, gate: Path) -> None:
    (gate / "go-2").touch()
    assert family.run("//:report").code == 0
    two, _ = said(bundle(family))
    runs = sorted((family.root / ".flowbuild/runs").iterdir())
    ran = family.run("runs", "replay", "//:report")
    assert (ran.code, "1 equal" in ran.out) == (0, True), ran
    child = family.run("runs", "replay", f"out/two/{two['run_id']}")
    assert (child.code, "1 equal" in child.out) == (0, True), child
    assert sorted((family.root / ".flowbuild/runs").iterdir()) == runs


@pytest.mark.parametrize("ended", [False, True])
def test_a_killed_parent_goes_on_with_the_same_children(family: Space, gate: Path, ended: bool) -> None:
    """One child has ended when the kill comes, or none; neither is begun twice, and facts of both stay."""
    process = family.start("//:report", "-j4")
    until(gate / "one-2", process)
    until(gate / ("one-1" if ended else "spawned"), process)
    if ended:
        time.sleep(0.5)  # it commits; if it has not, it goes on like the other
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (killed,) = (path.name for path in (family.root / "out/report").iterdir() if path.is_dir())
    child = family.root / ".flowbuild/runs" / child_run_id(RunId(killed), "first") / "journal.jsonl"
    before = [line for line in child.read_text().splitlines() if '"fact_recorded"' in line]
    (gate / "go-2").touch()
    ran = family.run("//:report", "-j4")
    assert ran.code == 0 and f"going on with run {killed[:8]}" in ran.out, ran
    two, one = said(bundle(family))
    assert bundle(family).name == killed
    assert one["run_id"] == child.parent.name
    assert len(json.loads((bundle(family) / "summary.json").read_text())["children"]) == 2
    assert [one["status"], two["status"]] == ["Completed", "Completed"]
    after = [line for line in child.read_text().splitlines() if '"fact_recorded"' in line]
    assert before and after == before
    assert [path.name for path in (family.root / "out/two").iterdir() if path.is_dir()] == [two["run_id"]]
    assert family.run("runs", "replay", "//:report").code == 0


def test_a_child_that_was_sealed_and_not_committed_goes_on_to_its_commit(family: Space, gate: Path) -> None:
    process = family.start("//:report", "-j4")
    until(gate / "one-2", process)
    until(gate / "spawned", process)
    (parent,) = (path.name for path in (family.root / "out/report").iterdir() if path.is_dir())
    two = family.root / "out/two" / child_run_id(RunId(parent), "second")
    until(two / "artifact_index.json", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (two / "artifact_index.json").unlink()
    journal = (two / "journal.jsonl").read_text()
    (gate / "go-2").touch()
    ran = family.run("//:report", "-j4")
    assert ran.code == 0, ran
    assert family.run("bundle", "validate", f"out/two/{two.name}").code == 0
    again = (two / "journal.jsonl").read_text()
    assert again.splitlines()[:-1] == journal.splitlines()[:-1]
    assert family.run("runs", "replay", f"out/two/{two.name}").code == 0


def test_a_cancelled_parent_cancels_its_children(family: Space, gate: Path) -> None:
    process = family.start("//:report", "-j4")
    until(gate / "one-2", process)
    pid = int((gate / "one-2").read_text() or "0")
    listed = [json.loads(line) for line in family.run("runs", "list", "--json").out.splitlines()]
    (parent,) = [row for row in listed if row["target"] == "//:report"]
    (child,) = [row for row in listed if row["target"] == "//:one"]
    refused = family.run("runs", "cancel", child["run_id"])
    assert refused.code == 2 and parent["run_id"] in refused.err
    assert family.run("runs", "cancel", parent["run_id"]).code == 0
    process.communicate()
    assert process.returncode == 143
    listed = [json.loads(line) for line in family.run("runs", "list", "--json").out.splitlines()]
    assert {row["status"] for row in listed if row["target"] == "//:one"} == {"cancelled"}
    limit = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_child_that_failed_is_an_answer(family: Space) -> None:
    ran = handler(family, 'said.write_text(io.await_run(io.spawn(":one", "k", {"n": 0})).status)')
    assert ran.code == 0, ran
    assert family.read("out/bin/every/said.json") == "Failed"


def test_what_nobody_awaits_ends_before_the_state_does(family: Space, gate: Path) -> None:
    ran = handler(family, 'said.write_text(io.spawn(":sure", "k").run_id)')
    assert ran.code == 0, ran
    child = family.read("out/bin/every/said.json")
    (row,) = [json.loads(line) for line in family.run("runs", "list", "//:sure", "--json").out.splitlines()]
    assert (row["run_id"], row["status"]) == (child, "ok")


def test_a_handler_that_failed_or_is_late_ends_its_children(family: Space, gate: Path) -> None:
    ran = handler(family, 'io.spawn(":one", "k", {"n": 3})\nraise ValueError("no more")')
    assert ran.code == 1 and "no more" in ran.out + ran.err
    family.write("BUILD.yaml", family.read("BUILD.yaml").replace("handler: every.py", "timeout: 1, handler: every.py"))
    ran = handler(family, 'io.await_run(io.spawn(":one", "k", {"n": 3}))')
    assert ran.code == 1 and "timed out" in ran.out + ran.err, ran
    rows = [json.loads(line) for line in family.run("runs", "list", "//:one", "--json").out.splitlines()]
    assert [row["status"] for row in rows] == ["cancelled"] * 2


@pytest.mark.parametrize("jobs", ["-j1", "-j4"])
def test_a_handler_whose_worker_dies_while_it_awaits_fails_at_once_and_ends_its_children(
    family: Space, gate: Path, jobs: str
) -> None:
    late = "handler: one.py:one\n    timeout: 20"  # noticed only at the child's end, it would be a failed one
    family.write("BUILD.yaml", family.read("BUILD.yaml").replace("handler: one.py:one", late))
    family.write("every.py", DOOMED)
    ran = family.run("//:every", jobs)
    assert ran.code == 1 and "the handler ended its worker: exit 3" in ran.out + ran.err, ran
    rows = [json.loads(line) for line in family.run("runs", "list", "//:one", "--json").out.splitlines()]
    assert [row["status"] for row in rows] == ["cancelled"]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ('io.spawn("//:report", "k")', "child_run_undeclared"),
        ('io.call("machine.child_run.spawn", {"op_id": ":one"})', "child_run_fact_key_missing"),
        ('io.call("machine.child_run.spawn", {"op": ":one"}, "k")', "child_run_request_invalid"),
        ('io.spawn(":one", "k"); io.spawn(":one", "k", {"n": 0})', "fact_request_conflict"),
        ('io.spawn(":one", "k"); io.spawn(":sure", "k")', "fact_request_conflict"),
        ('io.spawn(":one", "k"); io.spawn(":one", "k", None, {"limit": 1})', "fact_request_conflict"),
        ('io.spawn(":sure", "k"); io.await_run(io.spawn(":sure", "l"), "k")', "fact_request_conflict"),
        ('io.spawn(":sure", "k"); io.call("clock", {}, "k")', "fact_request_conflict"),
        ('io.call("clock", {}, "k"); io.spawn(":sure", "k")', "fact_request_conflict"),
        ('io.record_value("k", 1); io.spawn(":sure", "k")', "child_run_conflict"),
        ('io.record_value("k", None); io.await_run(io.spawn(":sure", "l"), "k")', "child_run_conflict"),
        ('said.write_text(io.spawn(":sure", "k")[0] == io.spawn("//:sure", "k", {}, {})[0] and "same")', "same"),
        ('io.spawn(":one", "k", {"m": 1})', "unknown_name"),
        ('io.spawn(":one", "k", {"n": "x"})', "bad_flag"),
        ('io.spawn(":one", "k", initial_context={"limits": 1})', "unknown_name"),
        ('io.spawn(":one", "k", initial_context={"limit": "password=123"})', "secrets_detected"),
        ('io.await_run(io.spawn(":sure", "k")._replace(run_id="72c97989-2784-5f8f-a28b-2ed6c85cc6f3"))', "child_run_unknown"),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_has_a_code(family: Space, call: str, code: str) -> None:
    ran = handler(family, f"try:\n    {call}\nexcept Exception as error:\n    said.write_text(error.info['code'])")
    assert ran.code == 0, ran
    assert family.read("out/bin/every/said.json") == code
    if code == "secrets_detected":
        assert not any("password" in path.read_text() for path in family.root.rglob("journal.jsonl"))


@pytest.mark.parametrize("where", ["{'word': 'correct-horse-7'}", "None, {'limit': 'correct-horse-7'}"])
def test_the_secret_of_a_child_is_not_written_for_it(family: Space, where: str) -> None:
    """The parent's own mask does not know it: the child's does, before anything is written."""
    text = family.read("BUILD.yaml").replace("params: {n: 1}", "params: {n: 1, word: x}\n    secrets: [ONE_WORD]")
    family.write("BUILD.yaml", text)
    body = (
        f"try:\n    io.spawn(':one', 'k', {where})\nexcept Exception as error:\n    said.write_text(error.info['code'])"
    )
    family.environment["ONE_WORD"] = "correct-horse-7"
    ran = handler(family, body)
    assert (ran.code, family.read("out/bin/every/said.json")) == (0, "secrets_detected"), ran
    stored = [path for path in (family.root / ".flowbuild/cas").rglob("*") if path.is_file()]
    assert not [
        path for path in stored if b"correct-horse-7" in path.read_bytes() and b"def every" not in path.read_bytes()
    ]


def test_a_change_of_a_child_performs_a_remembered_parent_again(family: Space) -> None:
    family.write(
        "BUILD.yaml", family.read("BUILD.yaml").replace("handler: every.py", "remember: true, handler: every.py")
    )
    assert handler(family, 'said.write_text(io.await_run(io.spawn(":sure", "k")).status)').performed == 1
    assert family.run("//:every").performed == 0
    family.write("BUILD.yaml", family.read("BUILD.yaml").replace("echo sure", "echo surely"))
    assert family.run("//:every").performed == 1
    family.write("one.py", ONE + "\n")
    assert family.run("//:every").performed == 1


DEEP = """
targets:
  top: {rule: python, handler: deep.py:top, pool: gpu, spawns: [":middle"], outputs: {said: said.json}}
  middle: {rule: python, handler: deep.py:middle, spawns: [":leaf"], params: {n: 1}, with: {n: "${{ params.n }}"}, outputs: {o: middle.txt}, writes: [found]}
  leaf: {rule: python, handler: deep.py:leaf, pool: disk, params: {n: 1}, with: {n: "${{ params.n }}"}, outputs: {o: leaf.txt}, writes: [n]}
"""  # fmt: skip
DEEP_PY = """
import json

def top(said, io):
    ended = [io.await_run(child) for child in [io.spawn(":middle", f"m{n}", {"n": n}) for n in range(3)]]
    said.write_text(json.dumps([one.context["found"] for one in ended]))

def middle(o, n, io, context):
    o.write_text("")
    leaf = io.await_run(io.spawn(":leaf", "leaf", {"n": 10 * n}))
    context.write("found", [leaf.context["n"], n])

def leaf(o, n, context):
    o.write_text("")
    context.write("n", n)
"""


@pytest.mark.parametrize("jobs", ["-j1", "-j3"])
def test_children_have_children_and_one_place_is_enough_for_all(space: Space, jobs: str) -> None:
    space.write("flowbuild.yaml", "pools: {gpu: 1, disk: 1}\n")
    space.write("BUILD.yaml", DEEP)
    space.write("deep.py", DEEP_PY)
    ran = space.run("//:top", jobs)
    assert ran.code == 0, ran
    assert json.loads(space.read("out/bin/top/said.json")) == [[0, 0], [10, 1], [20, 2]]
    rows = [json.loads(line) for line in space.run("runs", "list", "--json").out.splitlines()]
    parents = {row["run_id"]: row.get("parent") for row in rows}
    (top,) = [run for run, parent in parents.items() if parent is None]
    middles = [run for run, parent in parents.items() if parent == top]
    assert len(middles) == 3
    assert sorted(parents[run] or "" for run in parents if run != top and run not in middles) == sorted(middles)


def test_verify_runs_children_anew_and_moves_nothing(family: Space, gate: Path) -> None:
    family.write("one.py", ONE.replace("io.random_bytes(4).hex()", "'same'"))
    ran = handler(family, 'said.write_text(io.await_run(io.spawn(":two", "k")).status)')
    assert ran.code == 0, ran
    again = family.run("//:every", "--policy", "verify")
    assert again.code == 0, again
    rows = [json.loads(line) for line in family.run("runs", "list", "//:two", "--json").out.splitlines()]
    assert [(row["policy"], row["status"], row["latest"]) for row in rows] == [
        ("build", "ok", False),
        ("verify", "ok", False),
    ]


def test_a_child_is_not_gone_on_with_alone(family: Space, gate: Path) -> None:
    process = family.start("//:report", "-j4")
    until(gate / "one-2", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (parent,) = (path.name for path in (family.root / "out/report").iterdir() if path.is_dir())
    ran = family.run("runs", "resume", child_run_id(RunId(parent), "first"))
    assert ran.code == 2 and f"is a child of {parent}" in ran.err


def test_a_killed_experiment_begins_again_under_its_id(space: Space, gate: Path) -> None:
    """What only probes asks nobody: its directory is taken away, and made anew."""
    space.write("BUILD.yaml", EXPERIMENT.replace("GATE", str(gate)))
    space.write("every.py", EVERY_EXPERIMENT)
    process = space.start("//:report")
    until(gate / "spawned", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (gate / "go").touch()
    ran = space.run("//:report")
    assert ran.code == 0 and "going on with" in ran.out, ran
    (child,) = [path for path in (space.root / "out/tried").iterdir() if path.is_dir()]
    assert child.name == child_run_id(RunId(bundle(space).name), "k")
    assert space.run("bundle", "validate", f"out/tried/{child.name}").code == 0


EXPERIMENT = """
targets:
  probes: {rule: registry, probes: {see: {operation: file-read, target: /etc/hostname}}, profiles: {free: {restrict: {}}}}
  plan: {rule: plan, registry: ":probes", profiles: [free], lanes: [baseline]}
  tried: {rule: run, plan: ":plan"}
  every: {rule: python, handler: every.py:every, spawns: [":tried"], with: {gate: GATE}, outputs: {said: said.txt}}
  report: {rule: run, targets: [":every"]}
"""  # fmt: skip
EVERY_EXPERIMENT = """
import os, pathlib, time

def every(said, gate, io):
    child = io.spawn(":tried", "k")
    pathlib.Path(gate, "spawned").touch()
    while not os.path.exists(f"{gate}/go"):
        time.sleep(0.01)
    said.write_text(io.await_run(child).status)
"""
