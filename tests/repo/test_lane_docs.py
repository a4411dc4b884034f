"""The pages about lanes, mismatches and the preflight, and the code, say the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from test_docs import fence, page, rows

from flowbuild.bundle.documents import documents
from flowbuild.bundle.mismatch import REASONS, TYPES
from flowbuild.engine import preflight
from flowbuild.engine.restrict import ENFORCED
from tests.unit.bundle.evidence_sample import row, sample
from tests.unit.bundle.test_oracle import FILES, asked

LANES, PREFLIGHT = page("docs/formats/lanes.md"), page("docs/formats/apply-preflight.md")


def told(text: str, heading: str) -> set[str]:
    """Every word in code in the first column of a table."""
    return {word for cells in rows(text, heading) for word in re.findall(r"`([^`]+)`", cells[0])}


def test_the_files_of_each_lane() -> None:
    found = {name: lane for name, lane, *_ in ([c.strip("`") for c in cells] for cells in rows(LANES, "file"))}
    assert {name: lane for name, lane in found.items() if lane in FILES} == {
        name: lane for lane, names in FILES.items() for name in names
    }
    elsewhere = {"call": "open", "observed_path": "/run/x", "observed_path_source": "realpath"}
    seen = replace(row("read-outside", "unrestricted", "allow"), details=elsewhere)
    evidence = asked(sample(scenario={"unrestricted": (seen,)}), "baseline", "scenario", "oracle")
    made = documents(evidence)
    assert set(found) <= set(made)
    (result,) = json.loads(made["path_witnesses.json"])["records"]
    assert set(result) == told(LANES, "witness")
    assert set(json.loads(made["oracle_results.json"])["results"][0]) == told(LANES, "oracle")
    assert set(json.loads(fence("lanes", "json"))) == told(LANES, "oracle")


def test_every_type_and_reason_of_a_mismatch_is_told() -> None:
    assert told(LANES, "type") == set(TYPES)
    assert told(LANES, "reason") == set(REASONS)


def test_the_fields_of_the_preflight_are_told() -> None:
    assert told(PREFLIGHT, "field") == set(json.loads(documents(sample())["apply_preflight.json"]))
    step = {"operation": "o", "mechanism": "m", "status": ENFORCED, "abi": 1, "leaves": []}
    entry = preflight.achievement("o", [], [step], {})
    assert told(PREFLIGHT, "entry") == set(entry)
    assert set(json.loads(fence("apply-preflight", "json"))) == set(entry)


@pytest.mark.parametrize("name", ["lanes", "apply-preflight"])
def test_each_page_says_what_a_reader_does(name: str) -> None:
    assert "## What a reader does\n" in page(f"docs/formats/{name}.md")
