"""What each operation came to over many observations: how often asked, answered as expected, blocked.

Knows nothing of where observations lie (`op_source`). A summary is a fold of the events: the same events, the same
summary. It is about operations, and says nothing of why a policy decided.

Shapes:  runtime-mapping.v0.1, {meta, ops}. `probes` counts what was answered; `blocked` what failed before the policy
         could decide; `unobserved` what never came to its operation. Coverage is `ok` when all answers are as
         expected, `partial` when some are not, `brittle` when there is no answer.
Errors:  BadAttribute for an observation that is none.
Source:  seed 003, op summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowbuild.bundle.documents import pretty
from flowbuild.bundle.lanes import BEFORE_DECISION
from flowbuild.bundle.layout import outside_bundles
from flowbuild.core.errors import BadAttribute
from flowbuild.store.files import atomic_write, ensure_directory

SCHEMA = "runtime-mapping.v0.1"
LOG_SCHEMA = "runtime_log_schema.v0.1"
MOST_EXAMPLES = 5

Doc = dict[str, Any]

_EXAMPLE = ("scenario_id", "expectation_id", "expected", "actual", "match")
_DETAIL = ("scenario_id", "expectation_id", "expected", "actual", "target")


def build_op_runtime_summary(
    observations: Iterable[Mapping[str, Any]],
    *,
    world_id: str | None = None,
    inputs: Sequence[str] | None = None,
    input_hashes: Mapping[str, str] | None = None,
    source_jobs: Sequence[str] | None = None,
    notes: str | None = None,
) -> Doc:
    """The summary of some observations, which are rows of runtime_events.normalized.json.

    `inputs`, `input_hashes`, `source_jobs` and `notes` say where they come from, and are kept as they are given.
    """
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in map(_checked, observations):
        rows.setdefault(row["operation"], []).append(row)
    world = world_id or next((row["world_id"] for of in rows.values() for row in of if row.get("world_id")), None)
    meta = {
        "world_id": world,
        "schema_version": SCHEMA,
        "runtime_log_schema": LOG_SCHEMA,
        "status": "partial",  # the seed's word: a summary never claims to cover an operation wholly
        "tier": "mapped",
        "source_jobs": list(source_jobs or ()),
        "notes": notes,
        "inputs": list(inputs or ()),
        "input_hashes": dict(input_hashes or {}),
    }
    return {"meta": meta, "ops": {name: _operation(name, rows[name], world) for name in sorted(rows)}}


def write_op_runtime_summary(summary_doc: Mapping[str, Any], out_path: Path | str) -> Path:
    """Write a summary, all at once; the path."""
    path = outside_bundles(Path(out_path))
    ensure_directory(path.parent)
    atomic_write(path, pretty(dict(summary_doc)))
    return path


def _checked(row: object) -> Mapping[str, Any]:
    if not isinstance(row, Mapping) or not isinstance(row.get("operation"), str):
        raise BadAttribute(f"an observation is an object with its `operation`, not {row!r:.80}")
    return row


def _operation(name: str, rows: Sequence[Mapping[str, Any]], world: str | None) -> Doc:
    kinds: dict[str, list[Mapping[str, Any]]] = {"blocked": [], "unobserved": [], "asked": []}
    for row in rows:
        kinds[_kind(row)].append(row)
    blocked, unobserved, asked = kinds.values()
    differing = [row for row in asked if row.get("match") is False]
    found: Doc = {
        "op_name": name,
        "op_id": None,  # a vocabulary of operations with numbers is somebody else's
        "world_id": world,
        "probes": len(asked),
        "matches": sum(row.get("match") is True for row in asked),
        "mismatches": len(differing),
        "probes_including_blocked": len(rows),
        "blocked": {
            "total": len(blocked),
            "by_stage": _counts(blocked, "failure_stage"),
            "by_kind": _counts(blocked, "failure_kind"),
        },
        "unobserved": len(unobserved),
        "examples": [{key: row.get(key) for key in _EXAMPLE} for row in asked[:MOST_EXAMPLES]],
        "scenarios": sorted({row["scenario_id"] for row in rows if isinstance(row.get("scenario_id"), str)}),
        "coverage_status": "brittle" if not asked else "partial" if differing else "ok",
    }
    details = [{key: row.get(key) for key in _DETAIL} for row in differing]
    return found | ({"mismatch_details": details} if details else {})


def _kind(row: Mapping[str, Any]) -> str:
    if row.get("failure_stage") in BEFORE_DECISION:
        return "blocked"
    return "unobserved" if row.get("intended_op_witnessed") is False else "asked"


def _counts(rows: Iterable[Mapping[str, Any]], key: str) -> dict[str, int]:
    return dict(sorted(Counter(str(row[key]) for row in rows if row.get(key)).items()))
