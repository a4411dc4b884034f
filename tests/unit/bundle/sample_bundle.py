"""A committed bundle of the sample run, for tests of reading, repairing, promoting and signing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowbuild.bundle.commit import begin
from flowbuild.bundle.documents import bundle_status, documents, missing, pretty, run_status
from flowbuild.bundle.lanes import Evidence
from flowbuild.core.ids import OpId
from flowbuild.core.run_config import RunConfig
from flowbuild.run.manifest import Asked
from flowbuild.run.start import start_run

from .evidence_sample import agreeing


def commit(root: Path, evidence: Evidence | None = None, *, without: tuple[str, ...] = ()) -> Path:
    """The bundle of an agreeing run by the clean channel, or of other evidence; some documents may be left out."""
    evidence = evidence or agreeing(channel="clean")
    found = {name: data for name, data in documents(evidence).items() if name not in without}
    status = run_status(
        run_id=evidence.run_id, world_id=evidence.world_id, channel=evidence.channel, plan=evidence.plan,
        state="in_progress", writer_pid=1, updated_at_unix=evidence.started_at_unix,
    )  # fmt: skip
    start = start_run(Asked(OpId("e_run"), "//e:run", {}, RunConfig(max_concurrency=2)), evidence.channel, "build")
    with begin(root, evidence.run_id, pretty(status)) as writer:
        for name, data in found.items():
            writer.add(name, data)
        writer.add("manifest.json", start.manifest)
        writer.add_object(start.manifest_id, start.manifest)
        done = writer.commit(
            bundle_status(evidence),
            world_id=evidence.world_id,
            missing=missing(evidence, found),
            move_latest=True,
            durability="none",
        )
    return done.path


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON document on the disk, as somebody with an editor would."""
    doc = json.loads(path.read_text())
    change(doc)
    path.write_text(json.dumps(doc))


def snapshot(path: Path) -> dict[str, bytes]:
    """Every file below a directory, to show that nothing was written."""
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
