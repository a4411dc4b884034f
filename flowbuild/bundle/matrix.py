"""What was expected beside what was seen: each (profile, probe) pair with its two rows, and the run's status.

Knows nothing of documents' bytes. A view is computed once from the evidence; every document is a fold of it.

Shapes:  verdicts `agree`, `differ`, `blocked`, `missing`. A run is `dry`, `failed` (an error, or a cell without a row),
         `partial` (something differs, or is blocked in either lane) or `ok`.
         `expected_matrix.generated.json` is the whole plan's; `expected_matrix.json` is what this run was asked for.
Source:  seed 003, policy layers and statuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from flowbuild.bundle.lanes import BASELINE, BEFORE_DECISION, SCENARIO, Doc, Evidence, Row
from flowbuild.core.canonical import Digest
from flowbuild.graph.evidence import Cell, cells, expected_matrix, plan_digest

AGREE, DIFFER, BLOCKED, MISSING = "agree", "differ", "blocked", "missing"


class Pair(NamedTuple):
    """One probe under one profile: its entry in the matrix, and its row in each lane."""

    profile: str
    entry: Doc
    baseline: Row | None
    scenario: Row | None

    @property
    def verdict(self) -> str:
        if self.scenario is None:
            return MISSING
        if self.scenario.actual is None:
            return BLOCKED
        return AGREE if self.scenario.actual == self.entry["expected"] else DIFFER

    @property
    def match(self) -> bool | None:
        """The seed's word for it: None where nothing was decided."""
        return {AGREE: True, DIFFER: False}.get(self.verdict)


@dataclass(frozen=True, slots=True)
class View:
    """The evidence, joined. `pairs` are in the plan's order; `missing` are cells that were due and have no row."""

    evidence: Evidence
    plan_digest: Digest
    generated: Doc
    matrix: Doc
    pairs: tuple[Pair, ...]
    missing: tuple[Cell, ...]

    @property
    def status(self) -> str:
        if self.evidence.dry_run:
            return "dry"
        if self.error is not None:
            return "failed"
        is_blocked = any(row.is_blocked for row in self.evidence.baseline)
        return "partial" if is_blocked or any(pair.verdict != AGREE for pair in self.decided) else "ok"

    @property
    def error(self) -> str | None:
        if self.evidence.error is not None or not self.missing:
            return self.evidence.error or self.evidence.failure_stage
        first = self.missing[0]
        where = f"{first.profile}.{first.probe}" if first.profile else f"{first.probe} in the baseline lane"
        return f"{len(self.missing)} of the probes have no result, the first is {where}"

    @property
    def decided(self) -> tuple[Pair, ...]:
        """The pairs that the scenario lane has a row for."""
        return tuple(pair for pair in self.pairs if pair.scenario is not None)

    def of(self, profile: str) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.profile == profile)


def view(evidence: Evidence) -> View:
    """Join a run's rows with what its plan expects."""
    documents = (evidence.plan, evidence.probes, evidence.profiles, evidence.world_id)
    matrix = expected_matrix(*documents, evidence.only_profiles, evidence.only_scenarios)
    baseline = {(row.probe, row.operation, row.target): row for row in evidence.baseline}
    scenario = {(name, row.probe): row for name, rows in evidence.scenario.items() for row in rows}
    pairs = tuple(
        Pair(
            profile,
            entry,
            baseline.get((entry["name"], entry["operation"], entry["target"])),
            scenario.get((profile, entry["name"])),
        )
        for profile, row in matrix["profiles"].items()
        for entry in row["probes"]
    )
    due = () if evidence.dry_run else cells(evidence.plan, matrix, evidence.probes)
    missing = tuple(cell for cell in due if not _has_row(cell, baseline, scenario))
    return View(evidence, plan_digest(evidence.plan), expected_matrix(*documents), matrix, pairs, missing)


def policy_layers(pair: Pair) -> Doc:
    """Who decided: the platform (as the baseline lane saw it) or the process's own policy."""
    platform, process = _platform(pair.baseline), _process(pair.scenario)
    if platform["decision"] == "deny":
        effective, attribution = "deny", "platform_policy"
    elif process["decision"] == "unknown":
        effective, attribution = "unknown", "unknown"
    elif platform["decision"] == "unknown":
        effective, attribution = process["decision"], "unknown"
    elif process["decision"] == "deny":
        effective, attribution = "deny", "process_policy"
    else:
        effective, attribution = "allow", "allow"
    return {
        "platform_policy": platform,
        "process_policy": process,
        "effective_decision": effective,
        "attribution": attribution,
    }


def _platform(row: Row | None) -> Doc:
    return {
        "decision": (row.actual if row else None) or "unknown",
        "status": row and (row.actual or "blocked"),
        "source": BASELINE if row else "baseline_missing",
        "error": baseline_error(row) if row else None,
        "exit_code": row and row.exit_code,
    }


def _process(row: Row | None) -> Doc:
    stage = row.result.failure_stage if row else None
    return {
        "decision": "unknown" if row is None or row.actual is None or stage in BEFORE_DECISION else row.actual,
        "status": row and row.result.status,
        "failure_stage": stage,
        "failure_kind": row and row.result.failure_kind,
    }


def baseline_error(row: Row) -> str | None:
    """Why the baseline lane could not ask its question."""
    return (row.result.failure_kind or "blocked") if row.is_blocked else None


def _has_row(cell: Cell, baseline: dict[tuple[str, str, str], Row], scenario: dict[tuple[str, str], Row]) -> bool:
    if cell.lane == SCENARIO and cell.profile is not None:
        return (cell.profile, cell.probe) in scenario
    return (cell.probe, cell.operation, cell.target) in baseline
