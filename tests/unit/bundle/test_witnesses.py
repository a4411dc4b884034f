"""Path witnesses: only where a path led elsewhere, in the lane that saw it."""

from __future__ import annotations

import json
from dataclasses import replace

from flowbuild.bundle.documents import documents
from flowbuild.bundle.matrix import view
from flowbuild.bundle.mismatch import mismatch_reason, mismatch_type, mismatches

from .evidence_sample import agreeing, row, sample

ELSEWHERE = {"call": "open", "observed_path": "/run/hostname", "observed_path_source": "realpath"}


def test_where_every_path_led_to_itself_there_is_no_document() -> None:
    assert "path_witnesses.json" not in documents(sample())


def test_a_path_that_led_elsewhere_is_told_with_its_decision() -> None:
    seen = replace(row("read-outside", "staged-only", "allow"), details=ELSEWHERE)
    scenario = {**agreeing().scenario, "staged-only": (seen, *agreeing().scenario["staged-only"][1:])}
    evidence = agreeing(scenario=scenario)
    found = json.loads(documents(evidence)["path_witnesses.json"])
    assert (found["schema_version"], found["plan_id"]) == ("runtime-tools.path_witnesses.v0.1", "//e:plan")
    (record,) = found["records"]
    assert record == {
        "lane": "scenario",
        "profile_id": "staged-only",
        "scenario_id": "staged-only.read-outside",
        "operation": "file-read-data",
        "requested_path": "/etc/hostname",
        "observed_path": "/run/hostname",
        "observed_path_source": "realpath",
        "normalized_path": "/run/hostname",
        "normalized_path_source": "realpath",
        "canonicalization": {"alias_pair": ["/etc/hostname", "/run/hostname"], "nofirmlink_differs": None},
        "decision": "allow",
        "errno_name": None,
    }
    (pair,) = mismatches(view(evidence))
    assert mismatch_type(pair) == mismatch_reason(pair) == "canonicalization_boundary"
