"""What people ask of plans: load one, list them, lint one. The public functions; each call reads anew.

Knows nothing of running. A plan is named by its file, its directory, or the label of a `plan` or `run` target.

Shapes:  Checked, a document and what is wrong with it. A finding's text starts with its place, `file:line:column`.
Errors:  those of `load.plan`; lint raises none of them.
Source:  seed 003, public API.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.errors import Faults, FlowError
from flowbuild.graph.library import Library, library_of
from flowbuild.load.plan import plan_faults
from flowbuild.load.registry import flat

Doc = dict[str, Any]


class Checked(NamedTuple):
    """A document, if there is one that can be read, and every finding about it, in order."""

    document: Doc | None
    errors: tuple[FlowError, ...]


def load_plan(plan_path: Path | str) -> Doc:
    """The plan in a file, or behind a label; every fault of its shape is raised at once."""
    return dict(library_of(plan_path).plan(plan_path).value)


def list_plans(root: Path | None = None) -> list[Doc]:
    """A row for each plan of the tree that a directory lies in: ids, how many profiles, and where it stands.

    A plan that can't be read has a row too, with `error`.
    """
    return list(Library(root).plans())


def lint_plan(plan_path: Path | str) -> Checked:
    """Everything wrong with a plan, its registry's entries that it uses, and the files that these name."""
    try:
        library = library_of(plan_path)
        document = library.plan(plan_path)
    except (FlowError, Faults) as error:
        return Checked(None, tuple(flat(error)))
    return Checked(document.value, tuple(in_order(plan_faults(document, library.registry_of(document), library.root))))


def in_order(faults: list[FlowError]) -> list[FlowError]:
    """Findings by place, each once: two profiles may share the probe that is at fault."""
    once = {str(fault): fault for fault in faults}
    return sorted(once.values(), key=lambda f: (f.location.path, f.location.line) if f.location else ("", 0))
