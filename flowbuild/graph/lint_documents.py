"""What lint finds in the plans and registries that files say, beside those that targets do.

Knows nothing of what is wrong with them: that is asked of the functions that `plan-lint` and `registry-lint` ask.
Targets have been lowered before any check, so only files can be at fault here.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowbuild.core.errors import Faults, FlowError, Location
from flowbuild.graph.library import Library
from flowbuild.graph.linted import Finding, Linted
from flowbuild.load.plan import plan_faults
from flowbuild.load.registry import flat, read_registry
from flowbuild.load.registry_check import registry_faults


def documents(space: Linted) -> Iterator[Finding]:
    """Everything that is refused when a document is used. Only the whole workspace knows which there are."""
    if not space.is_whole:
        return
    library = Library(space.catalog.workspace.root)
    for fault in _faults(library):
        yield Finding(fault.location or Location(""), fault.message, fault.remedy)


def _faults(library: Library) -> Iterator[FlowError]:
    listed, faults = library.listed
    yield from faults
    for one in listed:
        try:
            yield from registry_faults(read_registry(one, library.tree))
        except (FlowError, Faults) as error:
            yield from flat(error)
    for file in library.tree.plans:
        try:
            plan = library.plan(file)
        except (FlowError, Faults) as error:
            yield from flat(error)
        else:
            yield from plan_faults(plan, library.registry_of(plan), library.root)
