"""A run's observations, one for each (profile, probe) pair: as events, as results by profile, as the baseline's.

Knows nothing of what an observation is worth (`mismatch`). The lanes stay apart: the baseline is evidence of its own,
and enters an event only as the attribution of the decision.

Shapes:  runtime_events.normalized (keys sorted, nulls dropped, policy_layers always there), runtime_results,
         baseline_results.v0.1. The baseline is run once a probe; the seed names its results by profile and probe, so
         each pair has one, and pairs of one probe show the same observation.
Source:  seed 003.
"""

from __future__ import annotations

from flowbuild.bundle.lanes import BASELINE, BEFORE_DECISION, SCENARIO, Doc, Row
from flowbuild.bundle.matrix import AGREE, MISSING, Pair, View, baseline_error, policy_layers
from flowbuild.graph.evidence import profile_path

_SHOWN = 200  # characters of stdout and stderr in a baseline result (seed 003)


def event(view: View, pair: Pair) -> Doc:
    """One observation of the scenario lane, without its null fields."""
    row = _asked(pair)
    operation, target = pair.entry["operation"], pair.entry["target"]
    decision = _decision_path(row)
    found = {
        "world_id": view.evidence.world_id,
        "profile_id": pair.profile,
        "scenario_id": pair.entry["expectation_id"],
        "run_id": view.evidence.run_id,
        "expectation_id": pair.entry["expectation_id"],
        "operation": operation,
        "target": target,
        "requested_path": target if str(operation).startswith("file-") else None,
        "observed_path": row.details.get("observed_path"),
        "observed_path_source": row.details.get("observed_path_source"),
        "normalized_path": row.details.get("normalized_path"),
        "normalized_path_source": row.details.get("normalized_path_source"),
        "probe_name": pair.entry["name"],
        "expected": pair.entry["expected"],
        "actual": row.actual,
        "match": pair.match,
        "primary_intent": _intent(pair),
        "reached_primary_op": not row.is_blocked,
        "intended_op_witnessed": not row.is_blocked,
        "first_denial_op": operation if decision == "primary_op_denied" else _bootstrap_denial(row),
        "decision_path": decision,
        "runtime_status": row.result.status,
        "errno": row.result.errno,
        "errno_name": row.result.errno_name,
        "policy_layers": policy_layers(pair),
        "failure_stage": row.result.failure_stage,
        "failure_kind": row.result.failure_kind,
        "apply_report": list(row.result.apply_report) or None,
        "probe_details": row.details or None,
        "violation_summary": _violation(row),
        "stdout": row.stdout or None,
        "stderr": row.stderr or None,
    }
    return {key: found[key] for key in sorted(found) if found[key] is not None}


def events(view: View) -> list[Doc]:
    """runtime_events.normalized.json."""
    return [event(view, pair) for pair in view.decided]


def runtime_results(view: View) -> Doc:
    """runtime_results.json: the scenario lane by profile."""
    return {profile: _profile_result(view, profile) for profile in view.matrix["profiles"]}


def baseline_results(view: View) -> Doc:
    """baseline_results.json."""
    return {
        "schema_version": "runtime-tools.baseline_results.v0.1",
        "world_id": view.evidence.world_id,
        "run_id": view.evidence.run_id,
        "results": [baseline_result(pair) for pair in view.pairs if pair.baseline is not None],
    }


def baseline_result(pair: Pair) -> Doc:
    """What one pair's probe does where nothing is restricted. What timed out is `blocked`: nobody denied it."""
    row = pair.baseline
    assert row is not None, "only pairs that the baseline lane has a row for have a baseline result"
    return {
        "name": f"{BASELINE}:{pair.profile}:{row.probe}",
        "profile_id": pair.profile,
        "probe_name": row.probe,
        "operation": row.operation,
        "target": row.target,
        "primary_intent": _intent(pair),
        "command": None,
        "status": row.actual or "blocked",
        "exit_code": row.exit_code,
        "stdout": row.stdout[:_SHOWN],
        "stderr": row.stderr[:_SHOWN],
        "reached_primary_op": not row.is_blocked,
        "decision_path": BASELINE,
        "probe_details": row.details,
        "error": baseline_error(row),
    }


def _profile_result(view: View, profile: str) -> Doc:
    pairs = view.of(profile)
    base = view.matrix["profiles"][profile]["blob"]
    status, notes = _profile_status(view, profile)
    result: Doc = {
        "schema_version": "runtime-tools.runtime_results.v0.1",
        "run_id": view.evidence.run_id,
        "status": status,
        "profile_path": profile_path(profile) if profile in view.evidence.restrictions else base,
        "base_profile_path": base,
        "preflight": _preflight(view, profile),
        "probes": [_probe_result(pair) for pair in pairs if pair.scenario is not None],
    }
    return result | ({"notes": notes} if notes else {})


def _profile_status(view: View, profile: str) -> tuple[str, str | None]:
    """`brittle` says that the profile's rows are not all there; the others are the seed's."""
    pairs = view.of(profile)
    asked = [pair.scenario for pair in pairs if pair.scenario is not None]
    if not asked:
        return "blocked", "no probe was run"
    if all(row.is_blocked and row.result.failure_stage in BEFORE_DECISION for row in asked):
        return "blocked", "no probe came as far as the policy's decision"
    if any(cell.profile == profile for cell in view.missing):
        return "brittle", "some probes have no result"
    if all(pair.verdict in (AGREE, MISSING) for pair in pairs):
        return "ok", None
    return "partial", "not every probe answered as expected"


def _probe_result(pair: Pair) -> Doc:
    row = _asked(pair)
    return {
        "name": row.probe,
        "expectation_id": pair.entry["expectation_id"],
        "operation": row.operation,
        "path": row.target,
        "expected": pair.entry["expected"],
        "actual": row.actual,
        "match": pair.match,
        "runtime_result": {
            "status": row.result.status,
            "errno": row.result.errno,
            "runtime_result_schema_version": 1,
            "tool_marker_schema_version": 2,
            "failure_stage": row.result.failure_stage,
            "failure_kind": row.result.failure_kind,
            "apply_report": list(row.result.apply_report),
            "runner_info": None,
            "seatbelt_callouts": None,
            "intended_op_witnessed": not row.is_blocked,
            "resource_hygiene": None,
        },
        "violation_summary": _violation(row),
        "command": None,
        "exit_code": row.exit_code,
        "stdout": row.stdout,
        "stderr": row.stderr,
        "decision_source": SCENARIO,
    }


def _preflight(view: View, profile: str) -> Doc | None:
    """What the host check says of the operations that this profile restricts."""
    operations = (view.evidence.preflight or {}).get("operations") or {}
    restrict = view.evidence.restrictions.get(profile, {}).get("restrict", {})
    wanted = {f"{key}:{value}": operations.get(f"{key}:{value}") for key, value in restrict.items()}
    return {"operations": wanted} if wanted and operations else None


def _asked(pair: Pair) -> Row:
    assert pair.scenario is not None, "only pairs that the scenario lane has a row for are observations"
    return pair.scenario


def _intent(pair: Pair) -> Doc:
    return {"operation": pair.entry["operation"], "target": pair.entry["target"]}


def _decision_path(row: Row) -> str:
    if row.result.failure_stage in BEFORE_DECISION:
        return "dependency_denied"
    return {"deny": "primary_op_denied", "allow": "no_denial_observed", None: "unknown"}[row.actual]


def _bootstrap_denial(row: Row) -> str | None:
    return "process-exec*" if row.result.failure_kind == "bootstrap_deny_process_exec" else None


def _violation(row: Row) -> str | None:
    return row.result.errno_name if row.actual == "deny" else None
