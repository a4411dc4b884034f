"""Mismatches: the nine types, the reasons, the two documents."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.bundle.matrix import Pair, view
from flowbuild.bundle.mismatch import (
    REASONS,
    TYPES,
    mismatch_packets,
    mismatch_reason,
    mismatch_summary,
    mismatch_type,
)

from .evidence_sample import agreeing, row, sample

ENTRY: dict[str, Any] = {"operation": "file-read-data", "target": "/etc/hostname", "expected": "allow"}

CASES = [
    # expected, actual, result, probe details, type, reason
    ("allow", None, {"failure_stage": "preflight"}, {}, "preflight_blocked", "capture_pipeline_disagreement"),
    ("allow", None, {"failure_stage": "apply"}, {}, "apply_gate", "capture_pipeline_disagreement"),
    ("allow", None, {"failure_stage": "bootstrap", "failure_kind": "bootstrap_deny_process_exec"}, {},
     "bootstrap_deny_process_exec", "capture_pipeline_disagreement"),
    ("allow", None, {"failure_stage": "bootstrap"}, {}, "bootstrap_failed", "capture_pipeline_disagreement"),
    ("deny", None, {"failure_stage": "probe", "failure_kind": "timeout"}, {}, "op_not_witnessed", "op_not_witnessed"),
    ("allow", "deny", {}, {"observed_path": "/private/etc/hostname"},
     "canonicalization_boundary", "canonicalization_boundary"),
    ("allow", "deny", {}, {}, "unexpected_deny", "expectation_too_strong"),
    ("deny", "allow", {}, {}, "unexpected_allow", "expectation_too_strong"),
    ("ask", "allow", {}, {}, "filter_diff", "expectation_too_strong"),
    ("allow", "allow", {}, {}, None, None),
]  # fmt: skip


def pair(expected: str, actual: Any, result: Any, details: Any, baseline: Any = "allow", **entry: Any) -> Pair:
    found = row("read-outside", "staged-only", actual, **result)
    found.details.update(details)
    base = row("read-outside", None, baseline)
    return Pair("staged-only", ENTRY | {"expected": expected} | entry, base, found)


@pytest.mark.parametrize(("expected", "actual", "result", "details", "kind", "reason"), CASES)
def test_types_and_reasons(expected: str, actual: Any, result: Any, details: Any, kind: Any, reason: Any) -> None:
    found = pair(expected, actual, result, details)
    assert mismatch_type(found) == kind
    assert kind is None or mismatch_reason(found) == reason


def test_every_type_of_the_seed_has_its_case() -> None:
    assert {kind for *_, kind, _ in CASES} - {None} == set(TYPES)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (pair("allow", "deny", {}, {}, baseline="deny"), "ambient_platform_restriction"),
        (pair("allow", "deny", {}, {}, target="/etc/../etc/hostname"), "path_normalization_sensitivity"),
        (pair("allow", "deny", {}, {}, anchor_ctx_id="a"), "anchor_alias_gap"),
    ],
)
def test_further_reasons(found: Pair, reason: str) -> None:
    assert mismatch_reason(found) == reason in REASONS


def test_the_summary_lists_each_with_the_fields_of_the_seed() -> None:
    found = mismatch_summary(view(sample()))
    assert set(found) == {"world_id", "generated_by", "mismatches", "counts"}
    assert found["counts"] == {"unexpected_deny": 1, "apply_gate": 3}
    assert found["mismatches"][0] == {
        "world_id": sample().world_id,
        "profile_id": "staged-only",
        "expectation_id": "staged-only.signal",
        "operation": "signal",
        "path": "parent",
        "expected": "allow",
        "actual": "deny",
        "mismatch_type": "unexpected_deny",
        "violation_summary": "EPERM",
        "notes": None,
    }


def test_a_packet_has_the_fields_of_the_seed() -> None:
    packet = mismatch_packets(view(sample()))[0]
    assert set(packet) == {
        "schema_version",
        "expectation_id",
        "run_context",
        "decision_event",
        "expected",
        "baseline",
        "oracle_check",
        "canonicalization",
        "mismatch_reason",
    }
    assert packet["schema_version"] == "runtime-tools.mismatch_packet.v0.1"
    assert packet["decision_event"]["errno_name"] == "EPERM"
    assert packet["baseline"]["name"] == "baseline:staged-only:signal"


def test_a_run_that_agrees_has_no_packets() -> None:
    assert mismatch_packets(view(agreeing())) == []
    assert mismatch_summary(view(agreeing()))["counts"] == {}
