"""`flowbuild runs replay`: perform a run again from its bundle alone, and say whether it comes to the same."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from flowbuild.bundle import layout
from flowbuild.bundle.read import load_bundle
from flowbuild.core.errors import BadFlag
from flowbuild.engine.python import PythonEngine
from flowbuild.front.arguments import Request
from flowbuild.front.console import Console, console
from flowbuild.load.config import DEFAULT_PATH
from flowbuild.run.replay import Found, Replay, Verdict, fill
from flowbuild.run.story import story
from flowbuild.store.cas import Cas
from flowbuild.store.journal import read

SHOWN = 5  # outputs of a state that differ


def replay(request: Request, text: str) -> int:
    """Replay a bundle: a path, a run id, its beginning, or a label. Exit 1 when something differs or is missing."""
    out = console(request)
    path = _bundle(request, text)
    load_bundle(path)
    with tempfile.TemporaryDirectory(prefix="flowbuild-replay-") as place:
        root = Path(place).resolve()
        cas = Cas(root / "cas")
        fill(cas, path / layout.OBJECTS)
        engine = PythonEngine()
        try:
            one = Replay(story(read(path / layout.JOURNAL)), cas, engine, root / "workspace", DEFAULT_PATH)
            found: Counter[Found] = Counter()
            first = ""
            for verdict in one.run():
                found[verdict.found] += 1
                _show(out, verdict)
                if verdict.found is Found.DIFFERS and not first:
                    first = f"; the first that differs is {verdict.told.label}, {_event(verdict)}"
        finally:
            engine.close()
    counts = ", ".join(f"{found[kind]} {kind}" for kind in Found if found[kind] or kind is Found.EQUAL)
    out.emit({"run": path.name, **{str(kind): found[kind] for kind in Found}})
    name = path.name[:8] if len(path.name) == 36 else path.name
    out.line(f"replayed {name}: {counts}{first}")
    return 1 if found[Found.DIFFERS] or found[Found.ABSENT] else 0


def replay_all(request: Request) -> int:
    """`--policy replay`: the last bundle of each run that is asked for."""
    from flowbuild.front.build import Build

    with Build(request, console(request)) as build:
        runs = [label for label in build.wanted if build.graph.targets[label].bundle is not None]
    if not runs:
        raise BadFlag("--policy replay: no run is asked for", remedy="a target of rule `run` commits what is replayed")
    return max(replay(request, str(label)) for label in runs)


def _bundle(request: Request, text: str) -> Path:
    """The bundle that a text means."""
    place = Path(request.directory or ".", text)
    if any((place / name).is_file() for name in (layout.RUN_STATUS, layout.INDEX, layout.LATEST)):
        latest = layout.latest(place) if (place / layout.LATEST).is_file() else None
        return (place / latest if latest else place).resolve()
    from flowbuild.front.history import Runs

    entry = Runs(request).find(text)
    if not entry.is_bundle:
        raise BadFlag(f"{entry.run_id} committed no bundle", remedy="a target of rule `run` commits one")
    return entry.path


def _event(verdict: Verdict) -> str:
    """The event of the journal that says what a state came to then."""
    return "event {} ({})".format(*verdict.told.said) if verdict.told.said else "which never ended"


def _show(out: Console, verdict: Verdict) -> None:
    told = verdict.told
    out.emit(
        {
            "state": told.state_id,
            "label": told.label,
            "found": str(verdict.found),
            "why": verdict.why,
            "event": dict(zip(("seq", "name"), verdict.told.said or (None, None), strict=True)),
            "outputs": {name: {"then": then, "now": now} for name, (then, now) in verdict.outputs.items()},
        }
    )
    if verdict.found is Found.EQUAL and not out.verbose:
        return
    out.line(f"  {verdict.found:<8} {told.label}  {verdict.why}".rstrip())
    for name, (then, now) in list(verdict.outputs.items())[:SHOWN]:
        out.line(f"    {name:<32} {(then or 'none')[:8]} → {(now or 'none')[:8]}")
