"""Where a run did not answer as its plan expects: of what type, and for what likely reason.

Knows nothing of how a person reads it (`summary`). What could not be asked is a mismatch too, with a type of its own.

Shapes:  mismatch_summary; mismatch_packet.v0.1, one JSON line each, an empty file when all agree. The tables below are
         seed 003's; a test asserts that nothing outside them is ever said.
Source:  seed 003, mismatch_summary and mismatch_packets.
"""

from __future__ import annotations

import posixpath

from flowbuild.bundle.events import baseline_result, event
from flowbuild.bundle.lanes import BEFORE_DECISION, ORACLE, Doc
from flowbuild.bundle.matrix import AGREE, MISSING, Pair, View, policy_layers
from flowbuild.bundle.oracle import UNKNOWN, is_supported, oracle_result

TYPES = (
    "op_not_witnessed",
    "preflight_blocked",
    "apply_gate",
    "bootstrap_deny_process_exec",
    "bootstrap_failed",
    "canonicalization_boundary",
    "unexpected_deny",
    "unexpected_allow",
    "filter_diff",
)
REASONS = (
    "ambient_platform_restriction",
    "canonicalization_boundary",
    "path_normalization_sensitivity",
    "anchor_alias_gap",
    "expectation_too_strong",
    "capture_pipeline_disagreement",
    "op_not_witnessed",
)


def mismatches(view: View) -> tuple[Pair, ...]:
    """The pairs that were asked and do not agree."""
    return tuple(pair for pair in view.decided if pair.verdict != AGREE)


def mismatch_type(pair: Pair) -> str | None:
    """Of what type a pair's mismatch is; None when it agrees or was never asked."""
    row = pair.scenario
    if row is None or pair.verdict in (AGREE, MISSING):
        return None
    stage, kind = row.result.failure_stage, row.result.failure_kind
    if stage == "preflight":
        return "preflight_blocked"
    if stage == "apply":
        return "apply_gate"
    if stage == "bootstrap":
        return kind if kind == "bootstrap_deny_process_exec" else "bootstrap_failed"
    if row.is_blocked:
        return "op_not_witnessed"
    if _canonicalization(pair):
        return "canonicalization_boundary"
    return {("allow", "deny"): "unexpected_deny", ("deny", "allow"): "unexpected_allow"}.get(
        (pair.entry["expected"], row.actual or ""), "filter_diff"
    )


def mismatch_reason(pair: Pair) -> str:
    """The likeliest reason of a mismatch, by what both lanes saw."""
    kind, row = mismatch_type(pair), pair.scenario
    if row is not None and row.result.failure_stage in BEFORE_DECISION:
        return "capture_pipeline_disagreement"
    if kind in ("op_not_witnessed", "canonicalization_boundary"):
        return kind
    if policy_layers(pair)["attribution"] == "platform_policy":
        return "ambient_platform_restriction"
    if _is_path(pair) and posixpath.normpath(pair.entry["target"]) != pair.entry["target"]:
        return "path_normalization_sensitivity"
    return "anchor_alias_gap" if "anchor_ctx_id" in pair.entry else "expectation_too_strong"


def mismatch_summary(view: View) -> Doc:
    """mismatch_summary.json."""
    rows = [_mismatch(view, pair) for pair in mismatches(view)]
    return {
        "world_id": view.evidence.world_id,
        "generated_by": "flowbuild",
        "mismatches": rows,
        "counts": counts(view),
    }


def counts(view: View) -> dict[str, int]:
    """How many mismatches of each type there are; types without any are left out."""
    found = [mismatch_type(pair) for pair in mismatches(view)]
    return {kind: found.count(kind) for kind in TYPES if kind in found}


def mismatch_packets(view: View) -> list[Doc]:
    """mismatch_packets.jsonl, a document a line."""
    return [_packet(view, pair) for pair in mismatches(view)]


def _mismatch(view: View, pair: Pair) -> Doc:
    row = pair.scenario
    return {
        "world_id": view.evidence.world_id,
        "profile_id": pair.profile,
        "expectation_id": pair.entry["expectation_id"],
        "operation": pair.entry["operation"],
        "path": pair.entry["target"],
        "expected": pair.entry["expected"],
        "actual": row and row.actual,
        "mismatch_type": mismatch_type(pair),
        "violation_summary": row.result.errno_name if row and row.actual == "deny" else None,
        "notes": row and row.result.failure_kind,
    }


def _packet(view: View, pair: Pair) -> Doc:
    evidence = view.evidence
    return {
        "schema_version": "runtime-tools.mismatch_packet.v0.1",
        "expectation_id": pair.entry["expectation_id"],
        "run_context": {
            "run_id": evidence.run_id,
            "world_id": evidence.world_id,
            "channel": evidence.channel,
            "plan_id": evidence.plan["plan_id"],
            "plan_digest": view.plan_digest,
            "profile_id": pair.profile,
        },
        "decision_event": event(view, pair),
        "expected": pair.entry["expected"],
        "baseline": baseline_result(pair) if pair.baseline else None,
        "oracle_check": _oracle_check(view, pair),
        "canonicalization": _canonicalization(pair),
        "mismatch_reason": mismatch_reason(pair),
    }


def _oracle_check(view: View, pair: Pair) -> Doc | None:
    """What the policy's document says, beside what was seen; it weighs nothing in the type or the reason."""
    if ORACLE not in view.evidence.lanes or not is_supported(view, pair):
        return None
    said = oracle_result(view, pair)["decision"]
    actual = pair.scenario and pair.scenario.actual
    return {"decision": said, "agrees": None if actual is None or said == UNKNOWN else said == actual}


def _canonicalization(pair: Pair) -> Doc | None:
    """The path that was asked for beside the one that the system saw, where they differ."""
    observed = pair.scenario.details.get("observed_path") if pair.scenario else None
    if not _is_path(pair) or not isinstance(observed, str) or observed == pair.entry["target"]:
        return None
    return {"requested_path": pair.entry["target"], "observed_path": observed}


def _is_path(pair: Pair) -> bool:
    return str(pair.entry["operation"]).startswith(("file-", "process-exec")) and pair.entry["target"].startswith("/")
