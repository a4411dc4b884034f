"""Kin: the child runs that a journal tells of. A fold, and nothing else.

Knows nothing of files but the journal's events.

Shapes:  Kin, in the order in which they were spawned; `status` is None for one whose end the parent did not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flowbuild.run.child_runs import COMPLETED, SPAWNED


class Kin(NamedTuple):
    """One child run."""

    run_id: str
    label: str
    fact_key: str
    state_id: str
    status: str | None = None


def kin(envelopes: Iterable[Mapping[str, Any]]) -> list[Kin]:
    """The children of a run. One that is told of twice, since its parent was killed, is one."""
    found: dict[str, Kin] = {}
    for envelope in envelopes:
        event = envelope["event"].get("Domain")
        if event is None or event["name"] not in (SPAWNED, COMPLETED):
            continue
        said = event["payload"]
        child = found.get(said["child_run_id"])
        if event["name"] == SPAWNED:
            found[said["child_run_id"]] = child or Kin(
                said["child_run_id"], said["label"], said["fact_key"], said["state_id"]
            )
        elif child is not None:
            found[child.run_id] = child._replace(status=said["status"])
    return list(found.values())
