"""Running a plan that documents say: the seed's `run_plan`, from a plan.json to a committed bundle.

Knows nothing of terminals or of how a state is performed. Each call is a run of its own: what is asked now is asked
now, and nothing is taken from an earlier run.

Approach: what is wrong is refused before anything is written; then the output root is held, as the channel says, and
the plan's states are performed and committed as those of a `run` target are.

Errors:  every finding of lint at once; StoreConflict for a held output root; what a run of a target raises; Stopped
         for a signal, once what was performed is committed.
Source:  seed 003, run_plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flowbuild.bundle.experiment import Draft, Experiment, filtered
from flowbuild.bundle.layout import outside_bundles
from flowbuild.bundle.read import RunBundle, load_bundle
from flowbuild.core.errors import raise_all
from flowbuild.core.ids import new_run_id
from flowbuild.core.run_config import RunConfig
from flowbuild.engine.launchd import Jobs
from flowbuild.graph.documented import lower_documents
from flowbuild.graph.library import library_of
from flowbuild.graph.plans import in_order
from flowbuild.graph.state import Built, StateGraph
from flowbuild.load.plan import plan_faults
from flowbuild.load.tree import is_workspace
from flowbuild.run.channel import ChannelName, ChannelSpec
from flowbuild.run.manifest import Asked
from flowbuild.run.policy import Policy
from flowbuild.run.result import Result
from flowbuild.run.run import Run
from flowbuild.run.session import Session
from flowbuild.run.signals import Stopped
from flowbuild.run.start import start_run
from flowbuild.store.files import ensure_directory


def run_plan(
    plan_path: Path | str,
    out_root: Path | str,
    *,
    channel: ChannelSpec | ChannelName | str,
    only_profiles: Iterable[str] | None = None,
    only_scenarios: Iterable[str] | None = None,
    dry_run: bool = False,
) -> RunBundle:
    """Run a plan, and commit what was observed as `<out_root>/<run_id>`.

    LATEST follows unless the run is dry, filtered or failed. A dry run performs nothing, and its bundle says so.
    """
    spec = channel if isinstance(channel, ChannelSpec) else ChannelSpec(ChannelName(channel))
    library = library_of(plan_path)
    plan = library.plan(plan_path)
    registry_of = library.registry_of(plan)
    raise_all(in_order(plan_faults(plan, registry_of, library.root)))
    graph, built = lower_documents(plan, registry_of(plan.value["registry_id"]), library.root)
    name, out = spec.resolve(), outside_bundles(Path(os.path.abspath(out_root)))
    is_bare = not is_workspace(library.root)
    root = out if is_bare else library.root
    filters = tuple(only_profiles or ()), tuple(only_scenarios or ())
    filtered(built.bundle or {}, *filters)
    with spec.held(out):
        ensure_directory(root)
        jobs = Jobs(spec.label_prefix, spec.staging_base)
        session = Session(root, channel=name, jobs=jobs, world=lambda: experiment.world(), is_bare=is_bare)
        experiment = Experiment(session, *filters)
        with session:
            return load_bundle(_perform(experiment, graph, built, out, dry_run=dry_run))


def _perform(experiment: Experiment, graph: StateGraph, built: Built, out: Path, *, dry_run: bool) -> Path:
    """Perform the states and commit; the bundle's directory."""
    session, run_id = experiment.session, new_run_id()
    config = RunConfig(max_concurrency=os.cpu_count())
    wanted = experiment.numbers(graph, built)
    policy = Policy.DRY if dry_run else Policy.LIVE
    draft = Draft(experiment, graph, built, out, run_id, dry_run=dry_run)
    start = start_run(Asked(built.op, str(built.label), {}, config), session.channel, policy)
    run = Run(session, graph, () if dry_run else wanted, start, run_id, draft.begin, policy=policy)
    result = _result(run)
    committed = draft.finish(run, result, policy, "commit")
    if result.signal is not None:  # what had been performed is committed, as cancelled
        raise Stopped(result.signal)
    assert committed.path is not None, "a run of its own is always committed"
    return committed.path


def _result(run: Run) -> Result:
    """Drive a run to its end."""
    steps = run.events()
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: Result = end.value
        return result
