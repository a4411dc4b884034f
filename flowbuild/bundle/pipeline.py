"""A pipeline's run: targets built as one run, committed as a bundle that holds all that it needs to be repeated.

Knows nothing of terminals, and nothing of what the targets do.

Shapes:  run_status.json and run_manifest.json as for any bundle; summary.json `flowbuild.run_summary.v0.1` with what
         each state came to; summary.md for people; external.json names what is too large to hold.
Errors:  StoreError from the commit.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flowbuild.bundle import layout
from flowbuild.bundle.commit import Durability, Writer, begin, reopen
from flowbuild.bundle.documents import pretty
from flowbuild.bundle.experiment import Committed
from flowbuild.bundle.objects import Objects, hold
from flowbuild.bundle.read import RunBundle
from flowbuild.bundle.said import already_said
from flowbuild.core.canonical import canonical, digest
from flowbuild.core.event import StateStatus
from flowbuild.core.label import parse
from flowbuild.core.world import world_id
from flowbuild.graph.state import Built, StateGraph
from flowbuild.run.policy import TABLE, Policy
from flowbuild.run.result import Result
from flowbuild.run.run import Run
from flowbuild.run.session import Session
from flowbuild.run.story import account
from flowbuild.store.journal import now_millis, read

SUMMARY_VERSION = "flowbuild.run_summary.v0.1"


class Pipeline:
    """One pipeline's bundle to be. `begin`, then the run, then `finish`."""

    def __init__(self, session: Session, graph: StateGraph, built: Built, out_root: Path, run_id: str) -> None:
        self._session = session
        self._graph = graph
        self._built = built
        self._out_root = out_root
        self._run_id = run_id
        self._writer: Writer | None = None
        self._head = {
            "run_id": run_id,
            "world_id": world_id(),
            "channel": session.channel,
            "plan_id": str(built.label),
            "plan_digest": digest([str(label) for label in (built.bundle or {})["targets"]]),
        }

    def begin(self) -> Path:
        """Make the run's directory, in progress; where the journal goes."""
        self._writer = begin(self._out_root, self._run_id, pretty(self._status("in_progress", None, None)))
        return self._writer.path

    def reopen(self) -> None:
        """Go on with a run that was killed."""
        self._writer = reopen(self._out_root, self._run_id)

    def finish(self, run: Run, result: Result, policy: Policy, durability: Durability) -> Committed:
        """Commit the run; or, when nothing was performed and the last bundle says the same, point to that one."""
        if not run.performed and policy is Policy.BUILD and result.ok:
            said = self._already_said(run, result)
            if said is not None:
                return Committed("ok", 0, False, said.out_dir.name, said.out_dir)
        if not run.performed and result.signal is not None:
            return Committed("failed", 0, False, None, None)
        run.complete()
        writer = self._writer
        assert writer is not None, "completing a run makes its directory"
        for name, data in self._documents(run, result).items():
            writer.add(name, data)
        hold(writer, Objects(self._session, self._graph, run, result))
        writer.adopt(layout.JOURNAL)
        status = "ok" if result.ok else "failed"
        done = writer.commit(
            "ok" if result.ok else "failed",
            world_id=self._head["world_id"],
            move_latest=TABLE[policy].moves_latest and result.ok and not run.is_filtered and run.birth is None,
            durability=durability,
        )
        run.end()
        return Committed(status, 0 if result.ok else 1, True, self._run_id, writer.path, warning=done.warning)

    def _documents(self, run: Run, result: Result) -> dict[str, bytes]:
        error, stage = _failure(result)
        summary = self._summary(run, result)
        return {
            layout.RUN_STATUS: pretty(self._status("complete" if result.ok else "failed", error, stage)),
            layout.RUN_MANIFEST: pretty(self._manifest()),
            layout.MANIFEST: canonical(run.manifest),
            layout.SUMMARY: pretty(summary),
            layout.SUMMARY_TEXT: _text(summary).encode(),
        }

    def _status(self, state: str, error: str | None, stage: str | None) -> dict[str, Any]:
        return {
            "schema_version": "runtime-tools.run_status.v0.1",
            **self._head,
            "state": state,
            "writer_pid": os.getpid(),
            "updated_at_unix": now_millis() // 1000,
            "error": error,
            "failure_stage": stage,
        }

    def _manifest(self) -> dict[str, Any]:
        staging = dict.fromkeys(("stage_root", "repo_root_context", "staged_output_root", "apply_preflight"))
        return {
            "schema_version": "runtime-tools.run_manifest.v0.1",
            **self._head,
            "dry_run": False,
            "stage_used": False,
            **staging,
            "output_root": os.path.relpath(self._out_root, self._session.workspace.root),
        }

    def _summary(self, run: Run, result: Result) -> dict[str, Any]:
        states = {}
        for number, status in result.status.items():
            state = self._graph.states[number]
            outputs = {name: artifact.sha256 for name, artifact in result.products.get(number, {}).items()}
            row = {"label": str(state.label), "status": str(status), "outputs": outputs}
            if status is StateStatus.SKIPPED and number in run.desk.skipped:
                row["skipped"] = run.desk.skipped[number].doc
            error = result.errors.get(number)
            states[state.id] = {**row, "error": error.doc()} if error else row
        return {
            "schema_version": SUMMARY_VERSION,
            **self._head,
            "status": "ok" if result.ok else "failed",
            "targets": [str(label) for label in (self._built.bundle or {})["targets"]],
            "states": states,
            "facts": len(run.desk.recorded),
            **({"children": children} if (children := list(self._children())) else {}),
        }

    def _children(self) -> Iterator[dict[str, Any]]:
        """The runs that this one's handlers spawned, and the way from here to the bundles of those that have one."""
        if not any(state.spawns for state in self._graph.states):
            return
        here, out = self._out_root / self._run_id, self._out_root.parents[self._built.label.directory.count("/")]
        for child in account(read(here / layout.JOURNAL)).children.values():
            place = out / parse(child.label).directory / child.run_id
            yield child._asdict() | {"bundle": os.path.relpath(place, here) if place.is_dir() else None}

    def _already_said(self, run: Run, result: Result) -> RunBundle | None:
        """The bundle of LATEST, if it loads strictly and records just these actions with these parameters."""
        keys: dict[str, str] = {self._graph.states[number].id: key for number, key in result.keys.items()}
        return already_said(self._out_root, run.manifest, keys)


def _failure(result: Result) -> tuple[str | None, str | None]:
    """Why the run as a whole failed, and at which stage."""
    if result.ok:
        return None, None
    if result.signal is not None:
        return f"cancelled by signal {result.signal}", "cancelled"
    failed = [result.errors[n].message for n in result.numbers(StateStatus.FAILED)]
    return failed[0] if failed else "not every state was performed", "state"


def _text(summary: Mapping[str, Any]) -> str:
    """The summary as people read it: what failed first."""
    states = summary["states"]
    count = Counter(row["status"] for row in states.values())
    lines = [f"# {summary['plan_id']}: {summary['status']}", ""]
    lines += [f"- **{row['label']}** failed: {row['error']['message']}" for row in states.values() if "error" in row]
    left_out = ((row["label"], row["skipped"]) for row in states.values() if "skipped" in row)
    lines += [f"- **{label}** skipped: {' '.join(next(iter(why.items())))}" for label, why in left_out]
    lines += [f"- {number} {status}" for status, number in sorted(count.items())]
    lines += [
        f"- {summary['facts']} facts recorded",
        f"- run `{summary['run_id']}`",
        "",
        "| target | output | sha256 |",
    ]
    lines += ["| target | output | sha256 |", "|---|---|---|"]
    for row in states.values():
        lines += [f"| {row['label']} | {name} | `{sha[:16]}…` |" for name, sha in row["outputs"].items()]
    return "\n".join(lines) + "\n"
