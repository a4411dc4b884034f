"""The oracle lane: answers from documents alone, in a file of its own, weighing nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flowbuild.bundle.documents import documents, due
from flowbuild.bundle.lanes import Evidence
from flowbuild.bundle.matrix import view
from flowbuild.bundle.mismatch import mismatch_packets
from flowbuild.bundle.oracle import decision, oracle_results
from flowbuild.engine import operations
from flowbuild.engine.restrict import COVERS
from flowbuild.graph.evidence import plan_document

from .evidence_sample import REGISTRY, agreeing, sample

FILES = {
    "baseline": {"baseline_results.json"},
    "scenario": {"runtime_results.json", "runtime_events.normalized.json"},
    "oracle": {"oracle_results.json"},
}
# The documents of the run as a whole, in which lanes meet.
OF_THE_RUN = {
    "summary.json",
    "summary.md",
    "summary.html",
    "mismatch_packets.jsonl",
    "plan.json",
    "run_status.json",
    "run_manifest.json",
}
EXAMPLE = Path(__file__).parents[3] / "examples/experiments/hardened-runtime/BUILD.yaml"


def asked(evidence: Evidence, *lanes: str) -> Evidence:
    from dataclasses import replace

    plan = plan_document("//e:plan", "//e:probes", {"lanes": list(lanes)}, REGISTRY)
    rows = {
        "baseline": evidence.baseline if "baseline" in lanes else (),
        "scenario": evidence.scenario if "scenario" in lanes else {},
    }
    return replace(evidence, plan=plan, lanes=lanes, **rows)  # type: ignore[arg-type]


def policy(**restrict: str) -> dict[str, Any]:
    return {"restrict": restrict}


@pytest.mark.parametrize(
    ("document", "operation", "target", "said"),
    [
        (policy(), "file-read-data", "/etc/hosts", "allow"),
        (policy(files="staged"), "file-read-data", "/etc/hosts", "deny"),
        (policy(files="staged"), "file-read-data", "staged/file", "allow"),
        (policy(files="staged"), "file-read-data", "stagedness", "deny"),
        (policy(files="staged"), "file-read-data", "/dev/null", "allow"),
        (policy(files="staged"), "file-read-metadata", "/etc/hosts", "allow"),
        (policy(files="staged"), "process-exec", "/bin/sh", "deny"),
        (policy(files="read-only"), "file-write-data", "staged/file", "deny"),
        (policy(files="read-only"), "file-read-data", "staged/file", "allow"),
        (policy(files="staged", exec="deny"), "process-exec", "staged/program", "deny"),
        (policy(network="deny"), "network-outbound-udp", "127.0.0.1:0", "deny"),
        (policy(signals="deny"), "process-info", "victim", "allow"),
        (policy(environment="scrub"), "environment-read", "X", "deny"),
        (policy(), "mach-lookup", "com.apple.x", "unknown"),
        ({"mode": "sbpl", "text": "(version 1)"}, "file-read-data", "/etc/hosts", "unknown"),
        ({}, "file-read-data", "/etc/hosts", "unknown"),
    ],
)
def test_what_a_document_says(document: dict[str, Any], operation: str, target: str, said: str) -> None:
    assert decision(document, operation, target) == said


def test_each_covered_operation_is_denied_outside() -> None:
    for name, covered in COVERS.items():
        key, value = name.split(":")
        for operation in operations.OPERATIONS:
            said = decision(policy(**{key: value}), operation, "outside/x")
            assert said == ("deny" if operation in covered else "allow"), (name, operation)


def test_it_expects_of_the_example_what_its_authors_do() -> None:
    targets = yaml.safe_load(EXAMPLE.read_text())["targets"]
    registry = targets["probes"]
    assert "oracle" in targets["plan"]["lanes"]
    for name, profile in registry["profiles"].items():
        for probe, each in registry["probes"].items():
            said = decision(profile, each["operation"], each["target"])
            assert (said == "deny") == (probe in profile.get("denies", ())), (name, probe)


def test_the_document() -> None:
    evidence = asked(agreeing(), "baseline", "scenario", "oracle")
    found = json.loads(documents(evidence)["oracle_results.json"])
    assert (found["schema_version"], found["run_id"]) == ("runtime-tools.oracle_results.v0.1", evidence.run_id)
    assert len(found["results"]) == 9
    (row,) = [row for row in found["results"] if row["expectation_id"] == "staged-only.read-outside"]
    assert row == {
        "world_id": evidence.world_id,
        "run_id": evidence.run_id,
        "expectation_id": "staged-only.read-outside",
        "operation": "file-read-data",
        "filter_type": None,
        "filter_type_name": "path",
        "argument": "/etc/hostname",
        "decision": "deny",
        "stage": "operation",
    }


def test_a_run_of_the_oracle_alone_says_that_nothing_was_tried() -> None:
    from flowbuild.bundle.summary import headline

    assert headline(asked(agreeing(), "oracle")) == "9 read in the policies' documents, none tried"


def test_a_probe_that_does_not_support_the_lane_is_left_out() -> None:
    evidence = asked(agreeing(), "oracle")
    probes = json.loads(json.dumps(evidence.probes))
    probes["probes"]["no-network.signal"]["supports_lanes"]["oracle"] = False
    from dataclasses import replace

    found = oracle_results(view(replace(evidence, probes=probes)))
    assert [r["expectation_id"] for r in found["results"] if "signal" in r["expectation_id"]] == [
        "unrestricted.signal",
        "staged-only.signal",
    ]


@pytest.mark.parametrize("lane", FILES)
@pytest.mark.parametrize("evidence", [agreeing(), sample()])
def test_a_lane_writes_its_own_files_and_touches_no_other_lanes(evidence: Evidence, lane: str) -> None:
    others = [each for each in FILES if each != lane]
    without, with_it = documents(asked(evidence, *others)), documents(asked(evidence, *others, lane))
    assert set(with_it) - set(without) == FILES[lane]
    assert set(due(asked(evidence, lane).plan, is_dry=False)) >= FILES[lane]
    untouched = {name for each in others for name in FILES[each]}
    if lane == "baseline":  # the events' attribution is by both lanes (seed 003, policy_layers)
        untouched -= {"runtime_events.normalized.json"}
    assert {name for name in untouched if without[name] != with_it[name]} == set()


def test_the_oracle_changes_nothing_that_decides() -> None:
    """What was seen is told in the same bytes, whatever a document says of it."""
    without, with_it = (documents(asked(sample(), "baseline", "scenario", *more)) for more in ((), ("oracle",)))
    assert {name for name in without if without[name] != with_it[name]} <= OF_THE_RUN
    before, after = (json.loads(found["summary.json"]) for found in (without, with_it))
    assert before["status"] == after["status"] and before["mismatch_counts"] == after["mismatch_counts"]
    packets = mismatch_packets(view(asked(sample(), "baseline", "scenario", "oracle")))
    plain = mismatch_packets(view(asked(sample(), "baseline", "scenario")))
    assert [p["mismatch_reason"] for p in packets] == [p["mismatch_reason"] for p in plain]
    assert packets[0]["oracle_check"] == {"decision": "allow", "agrees": False}
    assert {p["oracle_check"]["agrees"] for p in packets[1:]} == {None}  # blocked: nothing was seen
    assert plain[0]["oracle_check"] is None


WATCHED = """
import json, sys
sys.path[:0] = {path!r}
from unit.bundle.evidence_sample import agreeing
from unit.bundle.test_oracle import asked
from flowbuild.bundle import oracle
from flowbuild.bundle.matrix import view
evidence, seen = asked(agreeing(), "oracle"), []
def watch(event, arguments):
    if event.split(".")[0] in ("subprocess", "os", "socket", "ctypes", "pty") or event == "open":
        seen.append(event)
sys.addaudithook(watch)
found = oracle.oracle_results(view(evidence))
if {control}:
    import os
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {{}}), 0)
print(json.dumps([len(found["results"]), sorted(set(seen) - {{"open"}} if {control} else set(seen))]))
"""


@pytest.mark.parametrize(("control", "events"), [(False, []), (True, ["os.posix_spawn"])])
def test_nothing_is_started_opened_or_asked(control: bool, events: list[str]) -> None:
    code = WATCHED.format(path=[str(Path(__file__).parents[2]), *sys.path], control=control)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [9, events]
