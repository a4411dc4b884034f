"""Runs: when a bundle is made, what moves LATEST, what stays. Each sentence of the design has a test."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.bundle.read import load_bundle
from flowbuild.engine.seccomp import refuse
from flowbuild.testing import Ran, Space
from tests.unit.engine import hosts

EXPERIMENT = """
targets:
  probes:
    rule: registry
    probes:
      read-outside: {operation: file-read-data, target: outside/file}
      exec-shell: {operation: process-exec, target: /bin/sh}
      read-variable: {operation: environment-read, target: FLOWBUILD_PLANTED}
    profiles:
      unrestricted: {restrict: {}}
      scrubbed: {restrict: {environment: scrub}, denies: [read-variable]}
  plan:
    rule: plan
    registry: //lab:probes
    profiles: [unrestricted, scrubbed]
    lanes: [baseline, scenario]
  run:
    rule: run
    plan: //lab:plan
"""

DOCUMENTS = {
    "run_status.json",
    "run_manifest.json",
    "manifest.json",
    "apply_preflight.json",
    "expected_matrix.json",
    "baseline_results.json",
    "runtime_results.json",
    "runtime_events.normalized.json",
    "mismatch_summary.json",
    "mismatch_packets.jsonl",
    "summary.json",
    "summary.md",
    "summary.html",
    "journal.jsonl",
    "artifact_index.json",
}

RUN = "//lab:run"
NO_LANDLOCK = [refuse(number, errno.ENOSYS) for number in (444, 445, 446)]


@pytest.fixture
def lab(space: Space) -> Space:
    """A small experiment that every host can do."""
    space.write("lab/BUILD.yaml", EXPERIMENT)
    return space


def root(space: Space) -> Path:
    return space.root / "out/lab/run"


def latest(space: Space) -> str:
    return (root(space) / "LATEST").read_text().strip()


def bundles(space: Space) -> list[str]:
    return sorted(path.name for path in root(space).iterdir() if path.is_dir())


def edit(space: Space, old: str, new: str) -> None:
    text = space.read("lab/BUILD.yaml")
    assert old in text
    space.write("lab/BUILD.yaml", text.replace(old, new))


def performed(ran: Ran) -> int | None:
    assert ran.code == 0, ran
    return ran.performed


def test_a_run_commits_a_whole_bundle(lab: Space) -> None:
    assert lab.build(RUN).performed == 3 + 2 * 3
    bundle = load_bundle(root(lab))
    names = {path.name for path in bundle.out_dir.iterdir()}
    assert names >= DOCUMENTS
    assert bundle.index.status == "ok"
    assert bundle.out_dir.name == latest(lab)
    assert json.loads(bundle.read("summary.json"))["status"] == "ok"
    indexed = {entry.path for entry in bundle.index.artifacts}
    assert {str(path.relative_to(bundle.out_dir)) for path in bundle.out_dir.rglob("*") if path.is_file()} == {
        *indexed,
        "artifact_index.json",
    }


def test_the_bundle_holds_every_document_that_its_journal_names(lab: Space) -> None:
    lab.build(RUN)
    bundle = load_bundle(root(lab))
    objects = {path.name for path in (bundle.out_dir / "objects").iterdir()}
    for line in bundle.read("journal.jsonl").splitlines():
        event = json.loads(line)["event"]
        if "RunStarted" in event.get("Kernel", {}):
            assert event["Kernel"]["RunStarted"]["manifest_id"] in objects
        if event.get("Domain", {}).get("name") in ("action_bound", "outcome_recorded"):
            assert event["Domain"]["payload"]["action"] in objects


def test_nothing_changed_makes_no_bundle_and_names_the_last_one(lab: Space) -> None:
    lab.build(RUN)
    before = bundles(lab)
    again = lab.run(RUN)
    assert performed(again) == 0
    assert latest(lab)[:8] in again.out
    assert bundles(lab) == before


def test_one_changed_probe_performs_that_probe_in_each_lane(lab: Space) -> None:
    lab.build(RUN)
    edit(lab, "target: /bin/sh", "target: /bin/ls")
    assert lab.build(RUN).performed == 1 + 2
    assert len(bundles(lab)) == 2


def test_when_only_latest_differs_a_bundle_is_made_of_what_is_remembered(lab: Space) -> None:
    lab.build(RUN)
    edit(lab, "target: /bin/sh", "target: /bin/ls")
    lab.build(RUN)
    second = latest(lab)
    edit(lab, "target: /bin/ls", "target: /bin/sh")
    ran = lab.build(RUN)
    assert ran.performed == 0
    assert latest(lab) != second
    assert len(bundles(lab)) == 3


def test_another_expectation_makes_a_bundle_of_what_is_remembered(lab: Space) -> None:
    lab.build(RUN)
    first = latest(lab)
    edit(lab, "denies: [read-variable]", "denies: [read-variable, exec-shell]")
    ran = lab.build(RUN)
    assert (ran.performed, "partial" in ran.out) == (0, True)
    assert latest(lab) != first
    edit(lab, "denies: [read-variable, exec-shell]", "denies: [read-variable]")
    lab.build(RUN)
    assert json.loads(load_bundle(root(lab)).read("summary.json"))["status"] == "ok"


def test_a_damaged_bundle_is_not_counted_as_the_last_one(lab: Space) -> None:
    lab.build(RUN)
    path = root(lab) / latest(lab) / "summary.md"
    path.chmod(0o644)
    path.write_text("forged\n")
    assert performed(lab.run(RUN)) == 0
    assert len(bundles(lab)) == 2
    load_bundle(root(lab))


def test_a_missing_latest_makes_a_new_bundle(lab: Space) -> None:
    lab.build(RUN)
    (root(lab) / "LATEST").unlink()
    lab.build(RUN)
    assert len(bundles(lab)) == 2


def test_policy_live_performs_everything_and_moves_latest(lab: Space) -> None:
    lab.build(RUN)
    first = latest(lab)
    assert performed(lab.run(RUN, "--policy", "live")) == 9
    assert latest(lab) != first


def test_dry_writes_nothing(lab: Space) -> None:
    ran = lab.run(RUN, "--policy", "dry")
    assert ran.code == 0
    assert not (lab.root / "out").exists()


def test_a_filtered_run_is_committed_and_does_not_move_latest(lab: Space) -> None:
    lab.build(RUN)
    first = latest(lab)
    ran = lab.run(RUN, "--only-profile", "scrubbed")
    assert ran.code == 0
    assert latest(lab) == first
    other = next(name for name in bundles(lab) if name != first)
    assert json.loads(load_bundle(root(lab) / other).read("summary.json"))["expected_profiles"] == ["scrubbed"]


def test_a_mismatch_is_partial_and_strict_makes_it_fail(lab: Space) -> None:
    edit(lab, "denies: [read-variable]", "denies: [read-variable, exec-shell]")
    ran = lab.run(RUN)
    assert ran.code == 0
    assert "partial" in ran.out
    assert json.loads(load_bundle(root(lab)).read("summary.json"))["status"] == "partial"
    assert latest(lab) in bundles(lab)
    assert lab.run(RUN, "--strict").code == 1


def test_a_killed_run_is_never_loaded_and_does_not_stop_the_next(lab: Space) -> None:
    process = lab.start(RUN)
    while not root(lab).exists() and process.poll() is None:
        pass
    process.kill()
    process.communicate()
    assert not (root(lab) / "LATEST").exists()
    lab.build(RUN)
    load_bundle(root(lab))


def test_sixteen_builds_at_once_all_succeed(lab: Space) -> None:
    lab.write("lab/BUILD.yaml", EXPERIMENT.replace("profiles: [unrestricted, scrubbed]", "profiles: [scrubbed]"))
    running = [lab.start(RUN, "-j", "1") for _ in range(16)]
    ended = [(process.communicate(), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 16, ended
    load_bundle(root(lab))
    for name in bundles(lab):
        load_bundle(root(lab) / name)
    assert not list(root(lab).rglob(".tmp-*"))


def test_an_outer_filter_turns_the_answers(tmp_path: Path) -> None:
    """Without Landlock, what needs it is blocked at `apply`: never allowed, never denied."""
    space = Space(tmp_path / "w")
    space.write(
        "lab/BUILD.yaml",
        EXPERIMENT.replace("{environment: scrub}, denies: [read-variable]", "{files: staged}, denies: [read-outside]"),
    )
    if not hosts.has_filters() or not hosts.landlock_abi():
        pytest.skip("this host has no Landlock, or lets nobody install a filter")
    assert space.run(RUN).code == 0
    with_landlock = load_bundle(root(space))
    done = subprocess.run(
        [sys.executable, "-m", "flowbuild", RUN],
        cwd=space.root,
        env=space.environment,
        capture_output=True,
        text=True,
        preexec_fn=hosts.under(NO_LANDLOCK),
        check=False,
    )
    assert done.returncode == 0, done
    without = load_bundle(root(space))
    assert with_landlock.index.world_id != without.index.world_id
    rows = json.loads(without.read("runtime_results.json"))["scrubbed"]
    assert rows["status"] == "blocked"
    assert {row["runtime_result"]["failure_stage"] for row in rows["probes"]} == {"apply"}
    assert {row["actual"] for row in rows["probes"]} == {None}


def harnesses(parent: int) -> list[int]:
    """The probe harnesses that a running build has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            status = (entry / "status").read_text() if b"flowbuild.engine.probe" in words else ""
        except OSError:
            continue
        if f"PPid:\t{parent}\n" in status:
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds children in /proc")
def test_a_failed_run_is_committed_and_does_not_move_latest(lab: Space) -> None:
    lab.build(RUN)
    first = latest(lab)
    process = lab.start(RUN, "--policy", "live", "-j", "1")
    while process.poll() is None and not (found := harnesses(process.pid)):
        pass
    os.kill(found[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert latest(lab) == first
    failed = load_bundle(root(lab) / next(name for name in bundles(lab) if name != first))
    assert failed.index.status == "failed"
    assert json.loads(failed.read("summary.json"))["status"] == "failed"
    assert lab.run(RUN).performed == 0  # and LATEST still says it all


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds children in /proc")
def test_a_cancelled_run_is_committed_as_such_and_does_not_move_latest(lab: Space) -> None:
    lab.build(RUN)
    first = latest(lab)
    process = lab.start(RUN, "--policy", "live", "-j", "1")
    while process.poll() is None and not harnesses(process.pid):
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert latest(lab) == first
    cancelled = load_bundle(root(lab) / next(name for name in bundles(lab) if name != first))
    status = json.loads(cancelled.read("run_status.json"))
    assert (status["state"], status["failure_stage"]) == ("failed", "cancelled")
    assert cancelled.index.status == "failed"


def test_two_runs_in_one_request_share_what_is_performed(lab: Space) -> None:
    lab.write("lab/BUILD.yaml", EXPERIMENT + "  again: {rule: run, plan: //lab:plan}\n")
    ran = lab.build(RUN, "//lab:again")
    assert ran.performed == 9  # a probe's action says nothing of its target: the second run reuses all of them
    load_bundle(lab.root / "out/lab/again")
    assert load_bundle(root(lab)).index.run_id != load_bundle(lab.root / "out/lab/again").index.run_id
