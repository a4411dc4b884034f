"""An experiment's run: from the rows of its lanes to a bundle, or to the finding that the last one still says it all.

Knows nothing of terminals, and nothing of probes but that each left a row. It asks the host once what it can enforce,
before anything is bound, since that is part of every action that observes the host.

Errors:  EngineLost when the preflight program breaks; StoreError from the commit.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.bundle import layout
from flowbuild.bundle.commit import Durability, Writer, begin
from flowbuild.bundle.documents import bundle_status, documents, missing, pretty, run_status
from flowbuild.bundle.lanes import BASELINE, ORACLE, SCENARIO, Evidence, Row, read_row
from flowbuild.bundle.objects import Objects, hold
from flowbuild.bundle.read import RunBundle
from flowbuild.bundle.said import already_said
from flowbuild.bundle.summary import headline, reasons
from flowbuild.core.canonical import canonical
from flowbuild.core.errors import EngineLost, UnknownName
from flowbuild.core.event import StateStatus
from flowbuild.core.world import world_id
from flowbuild.engine import preflight
from flowbuild.graph.evidence import Cell, cells, expected_matrix, has_lane
from flowbuild.graph.state import Built, StateGraph
from flowbuild.run.policy import TABLE, Policy
from flowbuild.run.result import Result
from flowbuild.run.run import Run
from flowbuild.run.session import Session
from flowbuild.store.journal import now_millis

PREFLIGHT_SECONDS = 10


class Committed(NamedTuple):
    """What a run came to. `path` is its bundle, or that of the run that already said the same."""

    status: str
    code: int
    is_new: bool
    run_id: str | None
    path: Path | None
    lanes: tuple[tuple[str, str], ...] = ()
    headline: str = ""
    reasons: tuple[str, ...] = ()
    warning: str | None = None


class Experiment:
    """What the experiments of one session share: the host's facts, and the filters of the request."""

    def __init__(self, session: Session, only_profiles: Sequence[str] = (), only_scenarios: Sequence[str] = ()) -> None:
        self.session = session
        self.only_profiles = tuple(only_profiles)
        self.only_scenarios = tuple(only_scenarios)
        self.preflight: dict[str, Any] | None = None

    def world(self) -> Mapping[str, Any]:
        """What `observes: host` adds to an action: this host, this channel, and the isolation achieved."""
        self.preflight = host_check(self.session.channel)
        return {
            "world_id": world_id(),
            "channel": self.session.channel,
            "isolation": preflight.isolation_digest(self.preflight),
        }

    def numbers(self, graph: StateGraph, built: Built) -> list[int]:
        """The states of a run target that the filters leave, and what they need."""
        bundle = built.bundle or {}
        every: Mapping[Cell, int] = bundle.get("cells", {})
        if not self.is_filtered or not bundle:
            return graph.behind(every.values())
        wanted = set(cells(bundle["plan"], filtered(bundle, self.only_profiles, self.only_scenarios), bundle["probes"]))
        return graph.behind([number for cell, number in every.items() if cell in wanted])

    @property
    def is_filtered(self) -> bool:
        return bool(self.only_profiles or self.only_scenarios)


def filtered(bundle: Mapping[str, Any], only_profiles: Sequence[str], only_scenarios: Sequence[str]) -> dict[str, Any]:
    """The matrix that filters leave of a run's plan; one of nothing is refused before a run's directory is made."""
    documents = (bundle["plan"], bundle["probes"], bundle["profiles"], "")
    matrix = expected_matrix(*documents, only_profiles, only_scenarios)
    if not matrix["profiles"]:
        raise UnknownName("the filters leave nothing of the plan", remedy="a scenario belongs to one profile")
    return matrix


class Draft:
    """One run target's bundle to be. A dry run's says what would be asked, and holds no lane."""

    def __init__(
        self,
        experiment: Experiment,
        graph: StateGraph,
        built: Built,
        out_root: Path,
        run_id: str,
        *,
        dry_run: bool = False,
    ) -> None:
        self._experiment = experiment
        self._dry_run = dry_run
        self._session = experiment.session
        self._graph = graph
        self._built = built
        self._out_root = out_root
        self._run_id = run_id
        self._started = now_millis() // 1000
        self._writer: Writer | None = None

    def begin(self) -> Path:
        """Make the run's directory, in progress; where the journal goes."""
        status = run_status(
            run_id=self._run_id,
            world_id=self._world_id,
            channel=self._session.channel,
            plan=(self._built.bundle or {})["plan"],
            state="in_progress",
            writer_pid=os.getpid(),
            updated_at_unix=self._started,
        )
        self._writer = begin(self._out_root, self._run_id, pretty(status))
        return self._writer.path

    def finish(self, run: Run, result: Result, policy: Policy, durability: Durability) -> Committed:
        """Commit the run; or, when nothing was performed and the last bundle says the same, point to that one."""
        rows = dict(self._rows(result))
        evidence = self._evidence(rows, result)
        if not run.performed and not self._dry_run:
            said = self._already_said(run, result, evidence) if policy is Policy.BUILD and result.ok else None
            if said is not None or result.signal is not None:
                status = said.document(layout.SUMMARY)["status"] if said else "failed"
                return Committed(status, 0, False, said.out_dir.name if said else None, said.out_dir if said else None)
        run.complete()
        writer = self._writer
        assert writer is not None, "completing a run makes its directory"
        found = documents(evidence)
        for name, data in found.items():
            writer.add(name, data)
        writer.add(layout.MANIFEST, canonical(run.manifest))
        hold(writer, Objects(self._session, self._graph, run, result))
        writer.adopt(layout.JOURNAL)
        status = json.loads(found[layout.SUMMARY])["status"]
        is_asked = run.birth is None and not self._experiment.is_filtered
        moves = TABLE[policy].moves_latest and is_asked and status in ("ok", "partial")
        done = writer.commit(
            bundle_status(evidence),
            world_id=evidence.world_id,
            missing=missing(evidence, found),
            move_latest=moves,
            durability=durability,
        )
        return Committed(
            status,
            1 if status == "failed" else 0,
            True,
            self._run_id,
            writer.path,
            tuple(self._lanes(evidence)),
            headline(evidence),
            tuple(reasons(evidence)),
            done.warning,
        )

    @property
    def _world_id(self) -> str:
        """The host's, which a dry run says without trying what the host can enforce."""
        return world_id() if self._dry_run else str(self._session.facts.world()["world_id"])

    def _rows(self, result: Result) -> Iterator[tuple[Cell, Row]]:
        for cell, number in self._cells().items():
            if number in result.products:
                data = self._session.cas.read(result.products[number]["row"].sha256)
                yield cell, read_row(json.loads(data))

    def _cells(self) -> Mapping[Cell, int]:
        cells: Mapping[Cell, int] = (self._built.bundle or {})["cells"]
        return cells

    def _evidence(self, rows: Mapping[Cell, Row], result: Result | None) -> Evidence:
        bundle = self._built.bundle or {}
        experiment = self._experiment
        scenario: dict[str, list[Row]] = {}
        for cell, row in rows.items():
            if cell.lane == SCENARIO:
                scenario.setdefault(str(cell.profile), []).append(row)
        error, stage = _failure(result)
        return Evidence(
            run_id=self._run_id,
            world_id=self._world_id,
            channel=self._session.channel,
            plan=bundle["plan"],
            probes=bundle["probes"],
            profiles=bundle["profiles"],
            restrictions=bundle["restrictions"],
            lanes=() if self._dry_run else tuple(self._lane_names()),
            baseline=tuple(row for cell, row in rows.items() if cell.lane == BASELINE),
            scenario={profile: tuple(found) for profile, found in scenario.items()},
            preflight=experiment.preflight,
            dry_run=self._dry_run,
            only_profiles=experiment.only_profiles,
            only_scenarios=experiment.only_scenarios,
            error=error,
            failure_stage=stage,
            started_at_unix=self._started,
            updated_at_unix=now_millis() // 1000,
            writer_pid=os.getpid(),
            output_root=os.path.relpath(self._out_root, self._session.workspace.root),
        )

    def _lane_names(self) -> Iterator[str]:
        yield from dict.fromkeys(cell.lane for cell in self._cells())
        if has_lane((self._built.bundle or {})["plan"], ORACLE):
            yield ORACLE

    def _lanes(self, evidence: Evidence) -> Iterator[tuple[str, str]]:
        """A line for each lane: its name, and how much it covers."""
        if evidence.baseline:
            yield "baseline lane", _count(len(evidence.baseline), "probe")
        if evidence.scenario:
            probes = max(len(rows) for rows in evidence.scenario.values())
            profiles = _count(len(evidence.scenario), "profile")
            yield "scenario lane", f"{profiles} × {_count(probes, 'probe')}"  # noqa: RUF001  times

    def _already_said(self, run: Run, result: Result, evidence: Evidence) -> RunBundle | None:
        """The bundle of LATEST, if it loads strictly and says just this: actions, parameters, channel, expectations.

        What a plan expects is in no action, since no answer depends on it; but a bundle is judged by it.
        """
        if self._experiment.is_filtered:
            return None
        asked = {"plan.json": evidence.plan, "probes.json": evidence.probes, "profiles.json": evidence.profiles}
        keys: dict[str, str] = {self._graph.states[number].id: key for number, key in result.keys.items()}
        return already_said(
            self._out_root,
            run.manifest,
            keys,
            lambda bundle: all(bundle.document(name) == doc for name, doc in asked.items()),
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _failure(result: Result | None) -> tuple[str | None, str | None]:
    """Why the run as a whole failed, and at which stage."""
    if result is None or result.ok:
        return None, None
    if result.signal is not None:
        return f"cancelled by signal {result.signal}", "cancelled"
    failed = [result.errors[n].message for n in result.numbers(StateStatus.FAILED)]
    return failed[0] if failed else "not every state was performed", "probe"


def _broke(why: str) -> EngineLost:
    return EngineLost(f"the preflight broke: {why}", remedy="run it again; if it breaks again, please report it")


def host_check(channel: str) -> dict[str, Any]:
    """Run the preflight program, and keep what it says beside how it was run."""
    command = preflight.command(channel)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PREFLIGHT_SECONDS, check=False)
        record: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise _broke(str(error)) from None
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        raise _broke(last or f"it ended with {done.returncode} and said no JSON") from None
    shown = ["python", "-m", "flowbuild.engine.preflight", channel]
    return record | {"command": shown, "exit_code": done.returncode, "stdout": "", "stderr": done.stderr}
