"""The documents of a run's bundle: a pure function from evidence to bytes.

Knows nothing of files, clocks or what is done with the bytes: the same evidence gives the same bytes.

Shapes:  run_status.v0.1, run_manifest.v0.1, apply_preflight.v0.1, summary.v0.1, and those of `events` and `mismatch`.
         What people read is indented with sorted keys; JSON lines are canonical. Lanes that did not run write no file.
         `plan.json`, `probes.json`, `profiles.json` and `profiles/` are what was run, so that the bundle explains
         itself: `plan_digest` and each `profile_path` lead to them.
Source:  seed 003.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Literal

from flowbuild.bundle.events import baseline_results, events, runtime_results
from flowbuild.bundle.lanes import BASELINE, ORACLE, SCENARIO, Doc, Evidence
from flowbuild.bundle.layout import (
    BASELINE_RESULTS,
    EVENTS,
    EXPECTED,
    EXPECTED_GENERATED,
    MISMATCH_PACKETS,
    MISMATCH_SUMMARY,
    ORACLE_RESULTS,
    PATH_WITNESSES,
    PREFLIGHT,
    RUN_MANIFEST,
    RUN_STATUS,
    RUNTIME_RESULTS,
    SUMMARY,
    SUMMARY_PAGE,
    SUMMARY_TEXT,
)
from flowbuild.bundle.matrix import View, view
from flowbuild.bundle.mismatch import counts, mismatch_packets, mismatch_summary
from flowbuild.bundle.oracle import oracle_results
from flowbuild.bundle.page import page
from flowbuild.bundle.summary import summary_text
from flowbuild.bundle.witnesses import path_witnesses
from flowbuild.core.canonical import canonical
from flowbuild.graph.evidence import plan_digest, profile_path


def documents(evidence: Evidence) -> dict[str, bytes]:
    """Every document that follows from the evidence, by its path in the bundle."""
    seen = view(evidence)
    found: dict[str, Any] = {
        RUN_STATUS: _final_status(seen),
        RUN_MANIFEST: run_manifest(seen),
        EXPECTED_GENERATED: seen.generated,
        EXPECTED: seen.matrix,
        MISMATCH_SUMMARY: mismatch_summary(seen),
        SUMMARY: summary(seen),
        "plan.json": evidence.plan,
        "probes.json": evidence.probes,
        "profiles.json": evidence.profiles,
    }
    found |= {profile_path(name): doc for name, doc in evidence.restrictions.items()}
    if evidence.preflight is not None:
        found[PREFLIGHT] = apply_preflight(evidence)
    if BASELINE in evidence.lanes:
        found[BASELINE_RESULTS] = baseline_results(seen)
    if SCENARIO in evidence.lanes:
        found |= {RUNTIME_RESULTS: runtime_results(seen), EVENTS: events(seen)}
    if ORACLE in evidence.lanes:
        found[ORACLE_RESULTS] = oracle_results(seen)
    if (witnesses := path_witnesses(seen)) is not None:
        found[PATH_WITNESSES] = witnesses
    data = {path: pretty(doc) for path, doc in found.items()}
    data[MISMATCH_PACKETS] = b"".join(canonical(packet) + b"\n" for packet in mismatch_packets(seen))
    data[SUMMARY_TEXT] = summary_text(seen).encode()
    data[SUMMARY_PAGE] = page(seen).encode()
    return data


def pretty(doc: Any) -> bytes:
    """A document as people read it, always the same bytes."""
    return (json.dumps(doc, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def bundle_status(evidence: Evidence) -> Literal["ok", "failed"]:
    """The status that the index gets when no file is missing: `ok`, or `failed` when the run failed."""
    return "failed" if view(evidence).status == "failed" else "ok"


def missing(evidence: Evidence, present: Collection[str]) -> list[str]:
    """The documents of the plan's lanes that this bundle should have and has not."""
    return sorted(path for path in due(evidence.plan, is_dry=evidence.dry_run) if path not in present)


def due(plan: Doc, *, is_dry: bool) -> list[str]:
    """The documents that a run of this plan leaves; a dry run, in which no lane runs, leaves fewer."""
    found = [RUN_STATUS, RUN_MANIFEST, EXPECTED_GENERATED, EXPECTED, MISMATCH_SUMMARY, MISMATCH_PACKETS]
    found += [SUMMARY, SUMMARY_TEXT]
    lanes = {} if is_dry else plan.get("lanes") or {}
    if lanes.get(BASELINE):
        found.append(BASELINE_RESULTS)
    if lanes.get(SCENARIO):
        found += [PREFLIGHT, RUNTIME_RESULTS, EVENTS]
    if lanes.get(ORACLE):
        found.append(ORACLE_RESULTS)
    return found


def run_status(
    *,
    run_id: str,
    world_id: str,
    channel: str,
    plan: Doc,
    state: str,
    writer_pid: int,
    updated_at_unix: int,
    error: str | None = None,
    failure_stage: str | None = None,
) -> Doc:
    """run_status.json, in one of the states in_progress, complete and failed."""
    return {
        "schema_version": "runtime-tools.run_status.v0.1",
        "run_id": run_id,
        "world_id": world_id,
        "channel": channel,
        "plan_id": plan["plan_id"],
        "plan_digest": plan_digest(plan),
        "state": state,
        "writer_pid": writer_pid,
        "updated_at_unix": updated_at_unix,
        "error": error,
        "failure_stage": failure_stage,
    }


def run_manifest(seen: View) -> Doc:
    """run_manifest.json. The seed's staging of a whole run is not ours, where each action is staged."""
    evidence = seen.evidence
    preflight = None if evidence.preflight is None else {"path": PREFLIGHT, "record": apply_preflight(evidence)}
    return {
        "schema_version": "runtime-tools.run_manifest.v0.1",
        "run_id": evidence.run_id,
        "world_id": evidence.world_id,
        "channel": evidence.channel,
        "plan_id": evidence.plan["plan_id"],
        "plan_digest": seen.plan_digest,
        "dry_run": evidence.dry_run,
        "stage_used": False,
        "stage_root": None,
        "repo_root_context": None,
        "staged_output_root": None,
        "output_root": evidence.output_root,
        "apply_preflight": preflight,
    }


def apply_preflight(evidence: Evidence) -> Doc:
    """apply_preflight.json: the host check's record. Ours are `operations`, what this host enforces of profiles, and by
    what; `channel`; and `isolation`, what the channel was found to hold (null for one that promises nothing)."""
    record = evidence.preflight or {}
    is_ok = record.get("apply_ok") is True and record.get("failure_stage") is None
    found: Doc = {
        "schema_version": "runtime-tools.apply_preflight.v0.1",
        "world_id": evidence.world_id,
        "run_id": evidence.run_id,
        "profile": None,
        "runner": "flowbuild",
        "sandbox_check_self": record.get("sandbox_check_self"),
        "status": "ok" if is_ok else "error",
        "command": record.get("command"),
        "exit_code": record.get("exit_code"),
        "stdout": record.get("stdout"),
        "stderr": record.get("stderr"),
        "apply_report": record.get("apply_report"),
        "apply_marker_pid": record.get("apply_marker_pid"),
        "apply_ok": record.get("apply_ok"),
        "failure_stage": record.get("failure_stage"),
        "operations": record.get("operations"),
        "channel": evidence.channel,
        "isolation": record.get("isolation"),
    }
    return found | ({"error": record["error"]} if record.get("error") else {})


def summary(seen: View) -> Doc:
    """summary.json. `lanes` says which ran: in a dry run, none."""
    evidence = seen.evidence
    return {
        "schema_version": "runtime-tools.summary.v0.1",
        "world_id": evidence.world_id,
        "run_id": evidence.run_id,
        "status": seen.status,
        "plan_id": evidence.plan["plan_id"],
        "plan_digest": seen.plan_digest,
        "channel": evidence.channel,
        "lanes": {lane: lane in evidence.lanes for lane in (BASELINE, SCENARIO, ORACLE)},
        "profile_count": len(seen.matrix["profiles"]),
        "scenario_count": len(seen.pairs),
        "expected_profiles": list(seen.matrix["profiles"]),
        "mismatch_counts": counts(seen),
        "dry_run": evidence.dry_run,
    }


def _final_status(seen: View) -> Doc:
    evidence = seen.evidence
    return run_status(
        run_id=evidence.run_id,
        world_id=evidence.world_id,
        channel=evidence.channel,
        plan=evidence.plan,
        state="failed" if seen.status == "failed" else "complete",
        writer_pid=evidence.writer_pid,
        updated_at_unix=evidence.updated_at_unix,
        error=seen.error,
        failure_stage=evidence.failure_stage,
    )
