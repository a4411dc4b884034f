"""Going on with a killed run: the one that is named, or by itself the last of which just this was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbuild.bundle import layout
from flowbuild.core.errors import BadFlag, BadManifest, RunStale, StoreConflict, StoreCorrupt
from flowbuild.core.ids import run_id
from flowbuild.front.arguments import Request
from flowbuild.front.console import console
from flowbuild.run.manifest import Asked
from flowbuild.run.policy import Policy
from flowbuild.run.start import manifest_of
from flowbuild.run.unfinished import Going, Unfinished, killed, recorded
from flowbuild.store.journal import is_live

if TYPE_CHECKING:
    from flowbuild.front.build import Build


def going_on(build: Build, numbers: Sequence[int], asked: Asked) -> Going | None:
    """The killed run to go on with, if there is one whose work is still the same."""
    if build.request.policy != Policy.BUILD or build.forced:
        return None
    root = build.workspace.root
    say = lambda text: build.console.error(f"flowbuild: {text}")  # noqa: E731
    manifest = build.start_of(asked, build.graph, numbers).doc
    for going in [build.resumed] if build.resumed else killed(root, manifest, say, _is_uncommitted):
        try:
            build.new_run(numbers, asked, going.run_id, lambda: Path("/nonexistent"), going).check()
        except (RunStale, BadManifest) as stale:
            if build.resumed:
                raise
            build.console.line(f"  run {going.run_id[:8]} was killed; a new one begins: {stale.message}")
            Unfinished(root).clear(going.run_id)
            continue
        build.console.line(f"  going on with run {going.run_id[:8]}, which was killed")
        return going
    return None


def _is_uncommitted(journal: Path) -> bool:
    """Whether a sealed journal stands in what was to be a bundle, and is none yet."""
    return (journal.parent / layout.RUN_STATUS).exists() and not (journal.parent / layout.INDEX).exists()


def resume(request: Request, text: str) -> int:
    """The command: go on with a run that was killed; of one that has ended, say how."""
    from flowbuild.front.build import Build
    from flowbuild.front.history import Runs

    runs = Runs(request, check=lambda journal, run_id: None)  # only the one that is meant is read
    entry, out = runs.find(text), console(request)
    told = recorded(entry.journal, entry.run_id)
    if not told.head:
        raise StoreCorrupt(f"run_not_found: {entry.journal} holds no whole event", remedy="build its target again")
    if told.status is not None and not _is_uncommitted(entry.journal):
        out.emit({"run_id": entry.run_id, "status": told.status})
        out.line(f"{entry.run_id[:8]} has ended: {told.status}")
        return 0 if told.status == "Completed" else 1
    if is_live(entry.journal):
        raise StoreConflict(f"{entry.run_id} is at work: its journal has a writer", remedy="wait for it to end")
    wanted = manifest_of(told, runs.cas)["input_params"]
    if wanted.get("parent"):
        parent = wanted["parent"]["run_id"]
        raise BadFlag(f"{entry.run_id} is a child of {parent}", remedy="go on with that one, if it was killed")
    label, params, settings = str(wanted["label"]), wanted["params"], wanted.get("settings", {})
    asked = Request(
        "build",
        tuple(label.split(" ")),
        directory=request.directory,
        channel=str(wanted.get("channel") or "direct"),
        sets=tuple(_sets(label, params, settings)),
        json=request.json,
        verbose=request.verbose,
    )
    with Build(asked, console(asked)) as build:
        build.resumed = Going(run_id(entry.run_id), entry.journal, told)
        return build.build()


def _sets(label: str, params: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """The parameters of the run's target as they were, and what was set of any other."""
    for name, value in params.items():
        yield f"{label}.{name}={value if isinstance(value, str) else json.dumps(value)}"
    yield from (f"{name}={value}" for name, value in settings.items())
