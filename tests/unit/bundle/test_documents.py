"""The documents' shapes, field by field, and that they are a function of the evidence."""

from __future__ import annotations

import json
from typing import Any

from flowbuild.bundle.documents import bundle_status, documents, missing, pretty, run_status
from flowbuild.bundle.lanes import Evidence
from flowbuild.graph.evidence import plan_digest

from .evidence_sample import PREFLIGHT, agreeing, row, sample

ALWAYS = {
    "run_status.json",
    "run_manifest.json",
    "expected_matrix.generated.json",
    "expected_matrix.json",
    "mismatch_summary.json",
    "mismatch_packets.jsonl",
    "summary.json",
    "summary.md",
    "summary.html",
    "plan.json",
    "probes.json",
    "profiles.json",
    "profiles/unrestricted.json",
    "profiles/staged-only.json",
    "profiles/no-network.json",
}
LANE_FILES = {
    "apply_preflight.json",
    "baseline_results.json",
    "runtime_results.json",
    "runtime_events.normalized.json",
}
DRY: dict[str, Any] = {"dry_run": True, "lanes": (), "baseline": (), "scenario": {}, "preflight": None}


def doc(name: str, evidence: Evidence | None = None) -> Any:
    return json.loads(documents(evidence or sample())[name])


def test_the_files_are_those_of_the_lanes_that_ran() -> None:
    assert set(documents(sample())) == ALWAYS | LANE_FILES
    assert set(documents(sample(**DRY))) == ALWAYS
    only = documents(sample(lanes=("baseline",), scenario={}))
    assert set(only) == ALWAYS | {"apply_preflight.json", "baseline_results.json"}


def test_the_same_evidence_gives_the_same_bytes() -> None:
    assert documents(sample()) == documents(sample())
    data = documents(sample())["run_status.json"]
    assert data == pretty(json.loads(data)) and data.endswith(b"}\n")


def test_run_status() -> None:
    assert doc("run_status.json") == {
        "schema_version": "runtime-tools.run_status.v0.1",
        "run_id": sample().run_id,
        "world_id": sample().world_id,
        "channel": "direct",
        "plan_id": "//e:plan",
        "plan_digest": plan_digest(sample().plan),
        "state": "complete",
        "writer_pid": 4242,
        "updated_at_unix": 1795255004,
        "error": None,
        "failure_stage": None,
    }


def test_a_failed_and_a_cancelled_run_say_so() -> None:
    found = doc("run_status.json", sample(error="interrupted", failure_stage="cancelled"))
    assert (found["state"], found["error"], found["failure_stage"]) == ("failed", "interrupted", "cancelled")
    assert bundle_status(sample(failure_stage="cancelled")) == "failed"
    assert bundle_status(sample()) == "ok"


def test_the_first_status_of_a_run_is_in_progress() -> None:
    base = sample()
    found = run_status(
        run_id=base.run_id,
        world_id=base.world_id,
        channel="direct",
        plan=base.plan,
        state="in_progress",
        writer_pid=4242,
        updated_at_unix=1,
    )
    assert set(found) == set(doc("run_status.json")) and found["state"] == "in_progress"


def test_run_manifest() -> None:
    found = doc("run_manifest.json")
    record = found.pop("apply_preflight")
    assert record == {"path": "apply_preflight.json", "record": doc("apply_preflight.json")}
    assert found == {
        "schema_version": "runtime-tools.run_manifest.v0.1",
        "run_id": sample().run_id,
        "world_id": sample().world_id,
        "channel": "direct",
        "plan_id": "//e:plan",
        "plan_digest": plan_digest(sample().plan),
        "dry_run": False,
        "stage_used": False,
        "stage_root": None,
        "repo_root_context": None,
        "staged_output_root": None,
        "output_root": "out/e/run",
    }
    assert doc("run_manifest.json", sample(**DRY))["apply_preflight"] is None


def test_apply_preflight() -> None:
    assert doc("apply_preflight.json") == {
        "schema_version": "runtime-tools.apply_preflight.v0.1",
        "world_id": sample().world_id,
        "run_id": sample().run_id,
        "profile": None,
        "runner": "flowbuild",
        "sandbox_check_self": PREFLIGHT["sandbox_check_self"],
        "status": "ok",
        "command": PREFLIGHT["command"],
        "exit_code": 0,
        "stdout": "",
        "stderr": "",
        "apply_report": [],
        "apply_marker_pid": None,
        "apply_ok": True,
        "failure_stage": None,
        "operations": PREFLIGHT["operations"],
        "channel": "direct",
        "isolation": None,
    }


def test_a_preflight_that_failed_is_an_error() -> None:
    broken = PREFLIGHT | {"apply_ok": False, "failure_stage": "apply", "error": "refused"}
    found = doc("apply_preflight.json", sample(preflight=broken))
    assert (found["status"], found["error"], found["failure_stage"]) == ("error", "refused", "apply")


def test_baseline_results() -> None:
    found = doc("baseline_results.json")
    assert {key: found[key] for key in found if key != "results"} == {
        "schema_version": "runtime-tools.baseline_results.v0.1",
        "world_id": sample().world_id,
        "run_id": sample().run_id,
    }
    assert len(found["results"]) == 9
    assert found["results"][0] == {
        "name": "baseline:unrestricted:read-outside",
        "profile_id": "unrestricted",
        "probe_name": "read-outside",
        "operation": "file-read-data",
        "target": "/etc/hostname",
        "primary_intent": {"operation": "file-read-data", "target": "/etc/hostname"},
        "command": None,
        "status": "allow",
        "exit_code": 0,
        "stdout": "",
        "stderr": "",
        "reached_primary_op": True,
        "decision_path": "baseline",
        "probe_details": {},
        "error": None,
    }


def test_a_baseline_that_timed_out_is_blocked_and_never_a_deny() -> None:
    late = row("signal", None, None, failure_stage="probe", failure_kind="timeout")
    found = doc("baseline_results.json", sample(baseline=(*sample().baseline[:2], late)))
    stuck = [result for result in found["results"] if result["probe_name"] == "signal"]
    assert {(result["status"], result["error"]) for result in stuck} == {("blocked", "timeout")}


def test_runtime_results() -> None:
    found = doc("runtime_results.json")
    assert {name: result["status"] for name, result in found.items()} == {
        "unrestricted": "ok",
        "staged-only": "partial",
        "no-network": "blocked",
    }
    result = found["staged-only"]
    assert {key: result[key] for key in result if key != "probes"} == {
        "schema_version": "runtime-tools.runtime_results.v0.1",
        "run_id": sample().run_id,
        "status": "partial",
        "profile_path": "profiles/staged-only.json",
        "base_profile_path": "profiles/staged-only.json",
        "preflight": {"operations": {"files:staged": PREFLIGHT["operations"]["files:staged"]}},
        "notes": "not every probe answered as expected",
    }
    assert found["unrestricted"]["preflight"] is None and "notes" not in found["unrestricted"]


def test_a_probe_of_the_runtime_results() -> None:
    probe = doc("runtime_results.json")["staged-only"]["probes"][2]
    report = probe["runtime_result"].pop("apply_report")
    assert [step["mechanism"] for step in report] == ["capset", "landlock"]
    assert probe == {
        "name": "signal",
        "expectation_id": "staged-only.signal",
        "operation": "signal",
        "path": "parent",
        "expected": "allow",
        "actual": "deny",
        "match": False,
        "runtime_result": {
            "status": "errno",
            "errno": 1,
            "runtime_result_schema_version": 1,
            "tool_marker_schema_version": 2,
            "failure_stage": None,
            "failure_kind": None,
            "runner_info": None,
            "seatbelt_callouts": None,
            "intended_op_witnessed": True,
            "resource_hygiene": None,
        },
        "violation_summary": "EPERM",
        "command": None,
        "exit_code": 1,
        "stdout": "",
        "stderr": "",
        "decision_source": "scenario",
    }


def test_a_blocked_probe_matches_nothing() -> None:
    probe = doc("runtime_results.json")["no-network"]["probes"][0]
    assert (probe["actual"], probe["match"], probe["runtime_result"]["status"]) == (None, None, "blocked")
    assert probe["runtime_result"]["failure_stage"] == "apply"
    assert probe["runtime_result"]["intended_op_witnessed"] is False


def test_events_drop_nulls_sort_keys_and_always_attribute() -> None:
    text = documents(sample())["runtime_events.normalized.json"].decode()
    events = json.loads(text)
    assert len(events) == 9
    for event in events:
        assert list(event) == sorted(event) and None not in event.values() and "policy_layers" in event
    denied = events[3]
    assert (denied["scenario_id"], denied["first_denial_op"]) == ("staged-only.read-outside", "file-read-data")
    assert denied["policy_layers"]["attribution"] == "process_policy"
    assert (events[6]["decision_path"], "actual" in events[6]) == ("dependency_denied", False)


def test_summary_document() -> None:
    assert doc("summary.json") == {
        "schema_version": "runtime-tools.summary.v0.1",
        "world_id": sample().world_id,
        "run_id": sample().run_id,
        "status": "partial",
        "plan_id": "//e:plan",
        "plan_digest": plan_digest(sample().plan),
        "channel": "direct",
        "lanes": {"baseline": True, "scenario": True, "oracle": False},
        "profile_count": 3,
        "scenario_count": 9,
        "expected_profiles": ["unrestricted", "staged-only", "no-network"],
        "mismatch_counts": {"apply_gate": 3, "unexpected_deny": 1},
        "dry_run": False,
    }
    dry = doc("summary.json", sample(**DRY))
    assert (dry["status"], any(dry["lanes"].values())) == ("dry", False)


def test_matrices_say_what_was_planned_and_what_was_asked() -> None:
    evidence = agreeing(only_profiles=("no-network",))
    assert len(doc("expected_matrix.generated.json", evidence)["profiles"]) == 3
    asked = doc("expected_matrix.json", evidence)
    assert (asked["world_id"], list(asked["profiles"])) == (evidence.world_id, ["no-network"])


def test_what_a_lane_should_have_written_is_missed() -> None:
    assert missing(sample(), documents(sample())) == []
    cut = sample(lanes=("baseline",), scenario={}, error="x")
    assert missing(cut, documents(cut)) == ["runtime_events.normalized.json", "runtime_results.json"]
    assert missing(sample(**DRY), documents(sample(**DRY))) == []


def test_a_run_that_agrees_has_an_empty_packets_file() -> None:
    assert documents(agreeing())["mismatch_packets.jsonl"] == b""
    assert documents(sample())["mismatch_packets.jsonl"].count(b"\n") == 4
