"""Going on with a killed run: the one that is named, or by itself the last of which just this was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbuild.core.errors import BadFlag, RunStale
from flowbuild.core.ids import OpId, run_id
from flowbuild.front.arguments import Request
from flowbuild.front.console import console
from flowbuild.run.account import is_live
from flowbuild.run.policy import Policy
from flowbuild.run.story import story
from flowbuild.run.unfinished import Going, Unfinished, killed
from flowbuild.store.journal import read

if TYPE_CHECKING:
    from flowbuild.front.build import Build


def going_on(build: Build, numbers: Sequence[int], op: OpId, label: str, params: Mapping[str, Any]) -> Going | None:
    """The killed run to go on with, if there is one whose work is still the same."""
    if build.request.policy != Policy.BUILD or build.forced:
        return None
    root = build.workspace.root
    for going in [build.resumed] if build.resumed else killed(root, build.manifest(op, label, params)):
        run = build.new_run(numbers, op, label, params, going.run_id, lambda: Path("/nonexistent"), going)
        try:
            run.check()
        except RunStale as stale:
            if build.resumed:
                raise
            build.console.line(f"  run {going.run_id[:8]} was killed; a new one begins: {stale.message}")
            Unfinished(root).clear(going.run_id)
            continue
        build.console.line(f"  going on with run {going.run_id[:8]}, which was killed")
        return going
    return None


def resume(request: Request, text: str) -> int:
    """The command: go on with a run that was killed; of one that has ended, say how."""
    from flowbuild.front.build import Build
    from flowbuild.front.history import Runs

    entry = Runs(request).find(text)
    told = story(read(entry.journal))
    out = console(request)
    if told.status is not None:
        out.emit({"run_id": entry.run_id, "status": told.status})
        out.line(f"{entry.run_id[:8]} has ended: {told.status}")
        return 0 if told.status == "Completed" else 1
    if is_live(entry.journal):
        raise BadFlag(f"{entry.run_id} is at work", remedy="wait for it to end")
    if entry.parent:
        raise BadFlag(f"{entry.run_id} is a child of {entry.parent}", remedy="go on with that one, if it was killed")
    if not entry.label:
        raise BadFlag(f"{entry.run_id} does not say what was asked", remedy="build its target again")
    sets = tuple(f"{entry.label}.{name}={value}" for name, value in (entry.asked.get("params") or {}).items())
    asked = Request(
        "build",
        tuple(entry.label.split(" ")),
        directory=request.directory,
        channel=entry.channel or "direct",
        sets=sets,
        json=request.json,
        verbose=request.verbose,
    )
    with Build(asked, console(asked)) as build:
        build.resumed = Going(run_id(entry.run_id), entry.journal, told)
        return build.build()
