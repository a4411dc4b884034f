"""A run that is killed after it asked the outside is gone on with: same facts, no second asking, the same end.

Seed 001: 001-27, 001-28.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from counting import Counting, serving

from flowbuild.run.story import story
from flowbuild.store.journal import read
from flowbuild.testing import Space

BUILD = """
targets:
  page: {rule: python, handler: fetch.py:page, with: {gate: GATE, limit: 1}, outputs: {page: page.txt}}
  loud: {rule: python, handler: fetch.py:loud, with: {gate: GATE}, inputs: {page: ":page"}, outputs: {loud: loud.txt}}
  report: {rule: run, targets: [":loud"]}
"""
BAD = """
  bad: {rule: python, handler: fetch.py:bad, inputs: {page: ":page"}, outputs: {bad: bad.txt}}
  after: {rule: exec, script: "cp ${{ inputs.bad }} ${{ outputs.o }}", inputs: {bad: ":bad"}, outputs: {o: o.txt}}
  doomed: {rule: run, targets: [":after"]}
"""
FETCH = """
import os, pathlib, time

def page(page, io, gate, limit):
    reply = io.call("http", {"url": "URL"}, fact_key="page").response
    page.write_text(f"{reply['body']} {io.random_bytes(4).hex()}")
    wait(gate, "page")

def loud(page, loud, io, gate):
    now = io.now_millis()
    if os.path.exists(f"{gate}/other"):
        io.call("http", {"url": "URLother"}, fact_key="page")
    wait(gate, "loud")
    loud.write_text(page.read_text().upper() + str(now))

def wait(gate, name):
    pathlib.Path(gate, name).write_text("here")
    while not os.path.exists(f"{gate}/go-{name}"):
        time.sleep(0.01)
"""


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


@pytest.fixture
def gated(space: Space, gate: Path) -> Iterator[Space]:
    Counting.seen = 0
    space.write("BUILD.yaml", BUILD.replace("GATE", str(gate)))
    with serving(Counting) as url:
        space.write("fetch.py", FETCH.replace("URL", url))
        yield space


def killed(space: Space, gate: Path, at: str, *words: str) -> None:
    """Build until a handler waits at its gate, and kill."""
    process = space.start(*words)
    until = time.monotonic() + 60
    while not (gate / at).exists():
        assert time.monotonic() < until and process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (gate / at).unlink()


def bundle(space: Space) -> Path:
    out = space.root / "out/report"
    return out / out.joinpath("LATEST").read_text().strip()


def kernel(journal: Path) -> list[tuple[str, Any]]:
    rows = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    return [next(iter(row["Kernel"].items())) for row in rows if "Kernel" in row]


@pytest.mark.parametrize("at", ["page", "loud"])
def test_a_killed_run_is_gone_on_with_by_itself(gated: Space, gate: Path, at: str) -> None:
    if at == "loud":
        (gate / "go-page").touch()
    killed(gated, gate, at, "//:report")
    (run_id,) = (path.name for path in (gated.root / "out/report").iterdir() if path.is_dir())
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    ran = gated.run("//:report")
    assert ran.code == 0, ran
    assert f"going on with run {run_id[:8]}, which was killed" in ran.out
    assert (bundle(gated).name, Counting.seen) == (run_id, 1)
    entered = [(fields["state_id"].split("_")[0], fields["attempt"]) for name, fields in kernel(bundle(gated) / "journal.jsonl") if name == "StateEntered"]  # fmt: skip
    assert entered == (
        [("page", 0), ("page", 1), ("loud", 0)] if at == "page" else [("page", 0), ("loud", 0), ("loud", 1)]
    )
    codes = [fields["error"]["info"]["code"] for name, fields in kernel(bundle(gated) / "journal.jsonl") if name == "StateFailed"]  # fmt: skip
    assert codes == ["orphan_attempt_recovered"]
    assert story(read(bundle(gated) / "journal.jsonl")).status == "Completed"
    assert gated.run("bundle", "validate", "//:report").code == 0
    assert gated.run("runs", "replay", "//:report").code == 0
    assert not list((gated.root / ".flowbuild/unfinished").iterdir())


def test_a_plain_build_is_gone_on_with_too(gated: Space, gate: Path) -> None:
    killed(gated, gate, "page", "//:page")
    (gate / "go-page").touch()
    ran = gated.run("//:page")
    assert ran.code == 0 and "going on with run" in ran.out and Counting.seen == 1
    assert "going on" not in gated.run("//:page").out
    assert Counting.seen == 2


def test_a_run_is_gone_on_with_by_name(gated: Space, gate: Path) -> None:
    killed(gated, gate, "page", "//:report")
    gated.write(".git/HEAD", "c" * 40)  # a commit meanwhile, which its manifest does not name
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    (run_id,) = (path.name for path in (gated.root / "out/report").iterdir() if path.is_dir())
    assert gated.run("runs", "resume", run_id[:8]).code == 0
    assert (bundle(gated).name, Counting.seen) == (run_id, 1)
    again = gated.run("runs", "resume", run_id)
    assert (again.code, again.out) == (0, f"{run_id[:8]} has ended: Completed\n")


@pytest.mark.parametrize("how", ["by itself", "by name"])
def test_what_was_set_stays_set_of_states_that_had_not_begun_too(gated: Space, gate: Path, how: str) -> None:
    text = gated.read("BUILD.yaml").replace('inputs: {page: ":page"}', 'inputs: {page: ":page"}, params: {word: plain}')
    text = text.replace(
        f"loud, with: {{gate: {gate}}}", f"loud, with: {{gate: {gate}, word: '${{{{ params.word }}}}'}}"
    )
    report = "report: {rule: run, targets: [':loud'], params: {flag: false}}"
    gated.write("BUILD.yaml", text.replace('report: {rule: run, targets: [":loud"]}', report))
    text = gated.read("fetch.py").replace("io, gate):\n    now", "io, gate, word):\n    now")
    gated.write("fetch.py", text.replace("str(now)", "word"))
    words = ("//:report", "--set", "//:loud.word=fancy", "--set", "flag=true")
    killed(gated, gate, "page", *words)
    (run_id,) = (path.name for path in (gated.root / "out/report").iterdir() if path.is_dir())
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    if how == "by itself":
        ran = gated.run(*words)
    else:
        ran = gated.run("runs", "resume", run_id)
    assert ran.code == 0 and bundle(gated).name == run_id, ran
    asked = json.loads((bundle(gated) / "manifest.json").read_text())["input_params"]
    assert (asked["settings"], asked["params"]) == ({"//:loud.word": "fancy", "flag": "true"}, {"flag": True})
    states = json.loads((bundle(gated) / "summary.json").read_text())["states"]
    (loud,) = (row["outputs"] for key, row in states.items() if key.startswith("loud"))
    assert (bundle(gated) / "objects" / loud["loud"]).read_text().endswith("fancy")


def test_what_facts_were_asked_for_is_known_still(gated: Space, gate: Path) -> None:
    killed(gated, gate, "page", "//:report")
    (gate / "go-page").touch()
    (gate / "other").touch()
    ran = gated.run("//:report")
    assert (ran.code, "going on with" in ran.out, Counting.seen) == (1, True, 1), ran
    assert "the fact 'page' is the answer to another request, of //:page" in ran.out


def test_what_is_not_the_same_work_any_more_begins_anew(gated: Space, gate: Path) -> None:
    killed(gated, gate, "page", "//:report")
    (run_id,) = (path.name for path in (gated.root / "out/report").iterdir() if path.is_dir())
    gated.write("BUILD.yaml", gated.read("BUILD.yaml").replace("limit: 1", "limit: 2"))
    stale = gated.run("runs", "resume", run_id)
    assert stale.code == 1 and "//:page is not what it was when the run began" in stale.err
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    ran = gated.run("//:report")
    assert ran.code == 0 and "was killed; a new one begins" in ran.out
    assert (bundle(gated).name != run_id, Counting.seen) == (True, 2)


def test_two_who_go_on_with_one_run_do_not_write_over_each_other(gated: Space, gate: Path) -> None:
    killed(gated, gate, "page", "//:report")
    (run_id,) = (path.name for path in (gated.root / "out/report").iterdir() if path.is_dir())
    first = gated.start("runs", "resume", run_id)
    until = time.monotonic() + 60
    while not (gate / "page").exists():
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.01)
    second = gated.run("runs", "resume", run_id)
    assert second.code == 5 and "is at work: its journal has a writer" in second.err
    (gate / "page").unlink()
    third = gated.start("//:report")  # which finds nothing to go on with, and begins anew
    until = time.monotonic() + 60
    while not (gate / "page").exists():
        assert time.monotonic() < until and third.poll() is None, third.communicate()
        time.sleep(0.01)
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    assert first.communicate()[1] == "" and first.returncode == 0
    assert "going on" not in third.communicate()[0] and third.returncode == 0
    runs = {path.name for path in (gated.root / "out/report").iterdir() if path.is_dir()}
    assert (len(runs), run_id in runs, Counting.seen) == (2, True, 2)
    assert [gated.run("bundle", "validate", f"out/report/{name}").code for name in runs] == [0, 0]


# Between what it reads of the run and its own first event, somebody else goes on with it to its end.
LATE = """
import subprocess, sys
from flowbuild.__main__ import main
from flowbuild.front import resume
from flowbuild.run.unfinished import recorded

def late(*words):
    told = recorded(*words)
    subprocess.run([sys.executable, "-m", "flowbuild", *sys.argv[1:]], check=True)
    return told

resume.recorded = late
sys.exit(main())
"""


@pytest.mark.parametrize(("label", "said"), [("//:report", "is committed"), ("//:page", "event_store_concurrency")])
def test_who_comes_too_late_to_go_on_writes_nothing(gated: Space, gate: Path, label: str, said: str) -> None:
    killed(gated, gate, "page", label)
    (run,) = (path.parent for path in gated.root.rglob("journal.jsonl"))
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    words = [sys.executable, "-c", LATE, "runs", "resume", run.name]
    late = subprocess.run(words, cwd=gated.root, env=gated.environment, capture_output=True, text=True, timeout=120)
    assert (late.returncode, said in late.stderr) == (5, True), late
    assert story(read(run / "journal.jsonl")).status == "Completed"
    assert gated.run("runs", "resume", run.name).code == 0
    if label == "//:report":
        assert gated.run("bundle", "validate", str(run)).code == 0


def test_a_run_stopped_after_any_event_comes_to_the_same(gated: Space, gate: Path, tmp_path: Path) -> None:
    """Each prefix of a run's journal, with what stood on the disk then, is gone on with to the same artifacts."""
    text = gated.read("fetch.py").replace("{reply['body']}", "{reply['status']}").replace("io.now_millis()", "1")
    gated.write("fetch.py", text.replace("{io.random_bytes(4).hex()}", "x"))
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    assert gated.run("//:report").code == 0
    run = bundle(gated)
    whole = json.loads((run / "summary.json").read_text())["states"]
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    status = {**json.loads((run / "run_status.json").read_text()), "state": "in_progress"}
    for count in range(1, len(lines) + 1):
        shutil.rmtree(gated.root / "out")
        (gated.root / ".flowbuild/memo").unlink(missing_ok=True)
        run.mkdir(parents=True)
        (run / "run_status.json").write_text(json.dumps(status))
        (run / "journal.jsonl").write_bytes(b"".join(lines[:count]) + b'{"event":{"torn')
        ran = gated.run("runs", "resume", run.name)
        assert ran.code == 0, (count, ran)
        if count < len(lines):
            assert bundle(gated) == run, count
            assert json.loads((run / "summary.json").read_text())["states"].keys() == whole.keys()
            outputs = {
                key: row["outputs"] for key, row in json.loads((run / "summary.json").read_text())["states"].items()
            }
            assert outputs == {key: row["outputs"] for key, row in whole.items()}, count
            assert story(read(run / "journal.jsonl")).status == "Completed"
    assert Counting.seen == 1 + sum(b'"fact_recorded"' not in b"".join(lines[:n]) for n in range(1, len(lines)))


def test_a_run_that_was_killed_after_its_last_failure_keeps_what_completed(gated: Space, gate: Path) -> None:
    gated.write("BUILD.yaml", gated.read("BUILD.yaml") + BAD)
    gated.write("fetch.py", gated.read("fetch.py") + "\ndef bad(page, bad):\n    raise ValueError(page.read_text())\n")
    (gate / "go-page").touch()
    assert gated.run("//:doomed").code == 1
    (run,) = [path for path in (gated.root / "out/doomed").iterdir() if path.is_dir()]
    whole = json.loads((run / "summary.json").read_text())["states"]
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    status = {**json.loads((run / "run_status.json").read_text()), "state": "in_progress"}
    shutil.rmtree(run)
    run.mkdir(parents=True)
    (run / "run_status.json").write_text(json.dumps(status))
    (run / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    ran = gated.run("runs", "resume", run.name)
    assert ran.code == 1 and Counting.seen == 1, ran
    again = json.loads((run / "summary.json").read_text())["states"]
    assert {row["label"]: row["status"] for row in again.values()} == {
        "//:page": "reused",
        "//:bad": "failed",
        "//:after": "not_started",
    }
    assert {key: row["outputs"] for key, row in again.items()} == {key: row["outputs"] for key, row in whole.items()}
    assert story(read(run / "journal.jsonl")).status == "Failed"
    assert gated.run("bundle", "validate", str(run.relative_to(gated.root))).code == 0


@pytest.mark.parametrize("label", ["//:report", "//:page"])
def test_a_run_is_cancelled_from_another_terminal(gated: Space, gate: Path, label: str) -> None:
    process = gated.start(label)
    until = time.monotonic() + 60
    while not (gate / "page").exists():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    listed = gated.run("runs", "list", "--json").out.splitlines()
    run_id = json.loads(listed[-1])["run_id"]
    ran = gated.run("runs", "cancel", run_id)
    assert (ran.code, ran.out) == (0, f"{run_id[:8]} is cancelled\n"), ran
    process.communicate()
    assert process.returncode == 143
    again = gated.run("runs", "cancel", run_id)
    assert again.code == 2 and "is not at work" in again.err
    status = json.loads(gated.run("runs", "list", "--json").out.splitlines()[-1])["status"]
    assert status == ("failed" if label == "//:report" else "cancelled")  # a bundle's own word for it
    (gate / "go-page").touch()
    (gate / "go-loud").touch()
    assert "going on" not in gated.run(label).out  # what was cancelled is not gone on with
