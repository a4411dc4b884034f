"""Targets that are made of a committed bundle: after the runs of a build, what was asked for is made of them.

Knows nothing of what a fold does; each is shown like any other target's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flowbuild.core.label import Label
from flowbuild.front.console import Console
from flowbuild.front.report import Made, Report
from flowbuild.graph.state import StateGraph
from flowbuild.run.session import Session


def make_folds(
    session: Session,
    graph: StateGraph,
    labels: Sequence[Label],
    bundles: Mapping[Label, Path],
    console: Console,
    report: Report,
) -> int:
    """Make these targets of the bundles of their runs; the exit code."""
    from flowbuild.bundle.fold import fold as perform

    code, root = 0, session.workspace.root
    for label in labels:
        fold = graph.targets[label].fold
        if fold is None or fold.run not in bundles:
            continue
        done = perform(
            fold.kind, bundles[fold.run], {name: root / path for name, path in fold.outputs.items()}, fold.options
        )
        for path in done.paths:
            session.rows.output(path)
        if fold.options.get("key"):
            session.rows.output(Path(fold.options["key"]).expanduser())  # another key there signs anew
        if done.reasons:
            console.always(f"{label}: not promotable: {', '.join(done.reasons)}")
        shown = tuple(str(path.relative_to(root)) for path in done.paths)
        console.emit({"label": str(label), "paths": list(shown), "reasons": list(done.reasons)})
        report.made.append(Made(label, shown, is_new=done.is_new))
        code = max(code, int(done.failed))
    return code
