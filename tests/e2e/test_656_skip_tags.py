"""Skip tags: what has one is entered and not performed, what reads it is left out, what only follows is done.

Seed 001: 001-10.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.canonical import EMPTY_CONTEXT
from flowbuild.run.story import SKIPPED, story
from flowbuild.store.journal import read
from flowbuild.testing import Space

BUILD = """
targets:
  page:   {rule: python, handler: "steps.py:page", outputs: {o: o}, writes: [count]}
  send:   {rule: python, handler: "steps.py:send", inputs: {page: ":page"}, outputs: {o: o}, side_effects: apply_side_effect,
           idempotency_key: once, reads: [count], writes: [sent]}
  check:  {rule: exec, script: "cat ${{ inputs.sent }} > ${{ outputs.o }}", inputs: {sent: ":send"}, outputs: {o: o}}
  tell:   {rule: python, handler: "steps.py:tell", outputs: {o: o}, after: [":send"], reads: [count, sent]}
  slow:   {rule: exec, script: "echo > ${{ outputs.o }}", outputs: {o: o}, tags: [slow, night]}
  decide: {rule: flow, files: {sent: ":send"}, steps: {one: {type: task, with: {v: $input.sent}, next: two}, two: {type: finish}}}
  run:    {rule: run, targets: [":check", ":tell", ":slow"]}
"""
STEPS = """
import os, time
from pathlib import Path

def page(o, context):
    context.write("count", 1)
    o.write_text("page")

def send(page, o, context):
    Path(SENT).write_text("sent")
    context.write("sent", context.read("count"))
    o.write_text('{"sent": true}')

def tell(o, context):
    o.write_text(f"{context.read('count')} {context.read('sent')}")
    while os.path.exists(WAIT):
        time.sleep(0.01)
"""


@pytest.fixture
def space(tmp_path: Path) -> Space:
    space = Space(tmp_path / "w")
    space.write("BUILD.yaml", BUILD)
    space.write("steps.py", f"SENT, WAIT = {str(tmp_path / 'sent')!r}, {str(tmp_path / 'wait')!r}\n{STEPS}")
    return space


def bundles(space: Space) -> list[Path]:
    return sorted(
        (one for one in (space.root / "out/run").iterdir() if one.is_dir()), key=lambda one: one.stat().st_ctime
    )


def states(bundle: Path) -> dict[str, Any]:
    found = json.loads((bundle / "summary.json").read_text())["states"]
    return {row["label"].removeprefix("//:"): (row["status"], row.get("skipped")) for row in found.values()}


def test_a_dry_run_of_what_changes_the_world(space: Space) -> None:
    ran = space.run("//:run", "--skip-tag", "apply_side_effect")
    assert ran.code == 0
    assert "skipped //:send   tag apply_side_effect" in ran.out
    assert "skipped //:check  needs //:send" in ran.out
    assert "3 performed, 0 reused, 0 failed, 2 skipped" in ran.out
    assert not (space.root.parent / "sent").exists()
    (bundle,) = bundles(space)
    assert states(bundle) == {
        "page": ("completed", None),
        "send": ("skipped", {"tag": "apply_side_effect"}),
        "check": ("skipped", {"needs": "//:send"}),
        "tell": ("completed", None),
        "slow": ("completed", None),
    }
    assert not (space.root / "out/run/LATEST").exists()
    assert "**//:send** skipped: tag apply_side_effect" in (bundle / "summary.md").read_text()
    (told,) = [
        row for row in json.loads((bundle / "summary.json").read_text())["states"].values() if "tell" in row["label"]
    ]
    assert (bundle / "objects" / told["outputs"]["o"]).read_text() == "1 None"


def test_it_is_entered_and_completes_with_its_base_snapshot(space: Space) -> None:
    space.run("//:run", "--skip-tag", "apply_side_effect")
    envelopes = list(read(bundles(space)[0] / "journal.jsonl"))
    mine = [one["event"] for one in envelopes if ".call" in json.dumps(one) and '"send_' in json.dumps(one)]
    entered, said, completed = mine
    base = entered["Kernel"]["StateEntered"]["base_snapshot_id"]
    assert base != EMPTY_CONTEXT
    assert completed["Kernel"]["StateCompleted"]["context_snapshot_id"] == base
    assert said["Domain"]["payload"]["tag"] == "apply_side_effect"
    (only,) = (one["event"] for one in envelopes if '"check_' in json.dumps(one))  # what would read it is not entered
    assert only["Domain"]["name"] == "skipped"
    told = story(envelopes)
    assert [one.label for one in told.of(SKIPPED)] == ["//:send", "//:check"]
    shown = space.events("runs", "show", bundles(space)[0].name)[0]
    assert [one["label"] for one in shown["states"]["skipped"]] == ["//:send", "//:check"]
    assert space.run("runs", "replay", bundles(space)[0].name).code == 0


def test_all_of_it_is_done_once_nothing_is_skipped(space: Space) -> None:
    assert space.run("//:run", "--skip-tag", "apply_side_effect", "--skip-tag", "night").code == 0
    ran = space.run("//:run", "--skip-tag", "apply_side_effect", "--skip-tag", "night")
    assert (ran.code, ran.performed) == (0, 0)
    assert "up to date" not in ran.out
    assert "0 performed, 2 reused, 0 failed, 3 skipped" in ran.out
    ran = space.run("//:run")
    assert ran.performed == 4  # what was told is told anew, for it reads what is sent
    assert (space.root.parent / "sent").exists()
    assert space.read("out/run/LATEST").strip() == bundles(space)[-1].name
    assert "up to date" in space.run("//:run").out


def test_what_is_skipped_is_not_shown_as_made(space: Space) -> None:
    ran = space.run("//:slow", "//:page", "--skip-tag", "slow")
    assert ran.code == 0
    assert "out/bin/page/o" in ran.out
    assert "out/bin/slow" not in ran.out
    assert not list(space.root.glob("out/bin/slow*"))
    assert space.run("//:slow").performed == 1


def test_a_flow_whose_file_is_not_made(space: Space) -> None:
    ran = space.run("//:decide", "--skip-tag", "apply_side_effect")
    assert ran.code == 0, ran
    assert "1 performed, 0 reused, 0 failed, 5 skipped" in ran.out
    assert "skipped //:decide  needs //:send" in ran.out


def test_explain_says_so(space: Space) -> None:
    ran = space.run("explain", "//:run", "-v", "--skip-tag", "apply_side_effect")
    assert "would be skipped //:send" in ran.out
    assert "it has the tag apply_side_effect" in ran.out
    assert "//:send is skipped" in ran.out


def test_a_workspace_may_always_skip(space: Space) -> None:
    space.write("flowbuild.yaml", "run: {skip_tags: [slow]}\n")
    for _ in range(2):
        ran = space.run("//:slow")
        assert (ran.code, "1 skipped" in ran.out) == (0, True)
    assert not list(space.root.glob("out/bin/slow*"))


def test_a_tag_that_nothing_has_is_refused(space: Space) -> None:
    ran = space.run("//:run", "--skip-tag", "aply_side_effect")
    assert (ran.code, "did you mean 'apply_side_effect'?" in ran.err) == (2, True)
    assert not (space.root / "out").exists()
    assert space.run("//:slow", "--skip-tag", "report").code == 0  # a standard tag, and nothing has it


def test_a_killed_run_goes_on_with_its_tags(space: Space) -> None:
    wait = space.root.parent / "wait"
    wait.touch()
    space.write(
        "BUILD.yaml", BUILD.replace('after: [":send"]', 'after: [":send"], side_effects: apply_side_effect, tags: []')
    )
    space.write(
        "steps.py",
        space.read("steps.py").replace("def tell(o, context):", "def tell(o, context):\n    Path(SENT + '2').touch()"),
    )
    process = space.start("//:run", "--skip-tag", "slow")
    deadline = time.monotonic() + 60
    while not (space.root.parent / "sent2").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait.unlink()
    (bundle,) = bundles(space)
    ran = space.run("runs", "resume", bundle.name)
    assert ran.code == 0, ran
    assert states(bundle)["slow"] == ("skipped", {"tag": "slow"})
    assert json.loads((bundle / "manifest.json").read_text())["run_config"]["skip_tags"] == ["slow"]
    entered = [
        one["event"] for one in read(bundle / "journal.jsonl") if "StateEntered" in one["event"].get("Kernel", {})
    ]
    assert sum("slow_" in json.dumps(one) for one in entered) == 1
    assert not (space.root / "out/run/LATEST").exists()
