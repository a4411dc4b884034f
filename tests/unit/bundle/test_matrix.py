"""What was expected beside what was seen: verdicts, statuses, and who decided."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.bundle.matrix import Pair, policy_layers, view

from .evidence_sample import agreeing, row, sample


def test_each_pair_has_its_verdict() -> None:
    verdicts = {(pair.profile, pair.entry["name"]): pair.verdict for pair in view(sample()).pairs}
    assert verdicts[("staged-only", "read-outside")] == "agree"
    assert verdicts[("staged-only", "signal")] == "differ"
    assert verdicts[("no-network", "signal")] == "blocked"
    assert len(verdicts) == 9


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "ok"),
        ({"error": "no disk"}, "failed"),
        ({"failure_stage": "cancelled"}, "failed"),
        ({"dry_run": True, "lanes": (), "baseline": (), "scenario": {}}, "dry"),
        ({"scenario": {}}, "failed"),
        ({"baseline": ()}, "failed"),
    ],
)
def test_the_status_follows_from_the_evidence(changes: dict[str, Any], status: str) -> None:
    assert view(agreeing(**changes)).status == status


def test_mismatches_and_blocked_probes_of_either_lane_make_it_partial() -> None:
    assert view(sample()).status == "partial"
    stuck = (row("tcp-connect", None, None, failure_stage="probe", failure_kind="timeout"),)
    rest = tuple(found for found in agreeing().baseline if found.probe != "tcp-connect")
    assert view(agreeing(baseline=stuck + rest)).status == "partial"


def test_a_cell_without_a_row_fails_the_run_and_is_named() -> None:
    scenario = dict(agreeing().scenario)
    scenario["staged-only"] = scenario["staged-only"][1:]
    seen = view(agreeing(scenario=scenario))
    assert seen.error == "1 of the probes have no result, the first is staged-only.read-outside"


def test_a_filter_leaves_the_rest_of_the_plan_out_of_account() -> None:
    evidence = agreeing(only_profiles=("no-network",), scenario={"no-network": agreeing().scenario["no-network"]})
    seen = view(evidence)
    assert (seen.status, list(seen.matrix["profiles"])) == ("ok", ["no-network"])
    assert list(seen.generated["profiles"]) == ["unrestricted", "staged-only", "no-network"]


LAYERS = [
    # baseline, scenario, failure stage, effective decision, attribution
    ("deny", "deny", None, "deny", "platform_policy"),
    ("deny", None, "apply", "deny", "platform_policy"),
    ("allow", "deny", None, "deny", "process_policy"),
    ("allow", "allow", None, "allow", "allow"),
    ("allow", None, "apply", "unknown", "unknown"),
    ("allow", None, "bootstrap", "unknown", "unknown"),
    ("allow", None, "preflight", "unknown", "unknown"),
    (None, "deny", None, "deny", "unknown"),
    ("missing", "deny", None, "deny", "unknown"),
]


@pytest.mark.parametrize(("base", "actual", "stage", "effective", "attribution"), LAYERS)
def test_attribution(base: Any, actual: Any, stage: Any, effective: str, attribution: str) -> None:
    baseline = None if base == "missing" else row("signal", None, base)
    scenario = row("signal", "no-network", actual, failure_stage=stage)
    layers = policy_layers(Pair("no-network", {"expected": "allow"}, baseline, scenario))
    assert (layers["effective_decision"], layers["attribution"]) == (effective, attribution)
    assert layers["platform_policy"]["source"] == ("baseline_missing" if base == "missing" else "baseline")


def test_a_layer_says_all_that_the_seed_says() -> None:
    stuck = row("signal", None, None, failure_stage="probe", failure_kind="timeout")
    layers = policy_layers(Pair("p", {}, stuck, row("signal", "p", "deny")))
    assert layers["platform_policy"] == {
        "decision": "unknown",
        "status": "blocked",
        "source": "baseline",
        "error": "timeout",
        "exit_code": 1,
    }
    assert layers["process_policy"] == {
        "decision": "deny",
        "status": "errno",
        "failure_stage": None,
        "failure_kind": None,
    }
