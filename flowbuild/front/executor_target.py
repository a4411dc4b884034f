"""A declared executor: the command of a target of the rule `executor`, by its label.

Knows nothing of REP.

Shapes:  an argv whose files are absolute, and the files that the executor is made of.
Errors:  those of reading the target; BadAttribute for a target of another rule, or sources that are still to be built.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from flowbuild.core.errors import BadAttribute
from flowbuild.core.label import parse
from flowbuild.graph.lower import lower
from flowbuild.graph.state import Source
from flowbuild.load.catalog import Catalog
from flowbuild.load.runtime import located
from flowbuild.run.session import Session

RULE = "executor"


class Declared(NamedTuple):
    """An executor, as its target says."""

    argv: tuple[str, ...]
    sources: tuple[str, ...]


def declared(session: Session, text: str) -> Declared:
    """The executor of a label."""
    root = session.workspace.root
    catalog = Catalog(session.workspace, session.seen, session.parsed, session.distributions)
    label = parse(text).target
    target = catalog.target(label)
    if target.rule != RULE:
        message = f"{text} is of rule {target.rule!r}, and no executor"
        raise BadAttribute(message, remedy=f"declare the program with `rule: {RULE}`")
    sources = []
    for item in lower(catalog, [label]).targets[label].outputs["sources"].items:
        if not isinstance(item, Source):
            raise BadAttribute(f"{text}: sources of an executor are files of the workspace, not outputs")
        sources.append(os.fspath(root / item.path))
    return Declared(located(target.attrs["command"], root / label.package), tuple(sources))
