"""Path witnesses: probes whose path led elsewhere than it says, and what was decided there.

Knows nothing of why. A policy may name one of the two paths and the kernel judge by the other; who compares runs of two
hosts should see that before believing that a policy differs.

Shapes:  path_witnesses.v0.1; there is no document where every path led to itself. `alias_pair` is the two names.
         Firmlinks are macOS's: `nofirmlink_differs` is null where nobody looked.
Source:  seed 003, path_witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowbuild.bundle.lanes import BASELINE, SCENARIO, Doc, Row
from flowbuild.bundle.matrix import Pair, View


def path_witnesses(view: View) -> Doc | None:
    """path_witnesses.json, or None without any."""
    records = list(_records(view))
    if not records:
        return None
    return {
        "schema_version": "runtime-tools.path_witnesses.v0.1",
        "world_id": view.evidence.world_id,
        "run_id": view.evidence.run_id,
        "plan_id": view.evidence.plan["plan_id"],
        "records": records,
    }


def _records(view: View) -> Iterator[Doc]:
    for pair in view.pairs:
        for lane, row in ((BASELINE, pair.baseline), (SCENARIO, pair.scenario)):
            if row is not None and row.details.get("observed_path") is not None:
                yield _record(lane, pair, row)


def _record(lane: str, pair: Pair, row: Row) -> Doc:
    requested, observed = row.target, row.details["observed_path"]
    source = row.details.get("observed_path_source")
    return {
        "lane": lane,
        "profile_id": pair.profile,
        "scenario_id": pair.entry["expectation_id"],
        "operation": row.operation,
        "requested_path": requested,
        "observed_path": observed,
        "observed_path_source": source,
        "normalized_path": row.details.get("normalized_path", observed),
        "normalized_path_source": row.details.get("normalized_path_source", source),
        "canonicalization": {"alias_pair": [requested, observed], "nofirmlink_differs": None},
        "decision": row.actual,
        "errno_name": row.result.errno_name,
    }
