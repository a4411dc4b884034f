"""Lint: what loads and would build, and still is probably not what somebody meant.

Knows nothing of how findings are printed. Every check is a row of a table; a target's tag `allow:<check>` silences one
for that target.

Shapes:  findings in the order of files and lines, each once.
Errors:  none; `Linted` has refused what does not load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from flowbuild.core.suggest import did_you_mean
from flowbuild.graph import lint_documents, lint_unused, lint_values
from flowbuild.graph.linted import Finding, Linted


class Check(NamedTuple):
    """What is looked for. `doc` is what docs/lint.md says of it, too."""

    name: str
    doc: str
    find: Callable[[Linted], Iterator[Finding]]


def lint(space: Linted) -> list[Finding]:
    """Everything that the checks find and no tag allows."""
    allowed = {(target.label, name) for target in space.targets for _, name in lint_values.allowed(target.tags)}
    found: dict[object, Finding] = {}
    for check in CHECKS:
        for finding in check.find(space):
            if (finding.label, check.name) not in allowed:
                found.setdefault((check.name, finding.location, finding.message), finding._replace(check=check.name))
    return sorted(found.values(), key=lambda one: (one.location.path, one.location.line, one.location.column))


def _tags(space: Linted) -> Iterator[Finding]:
    known = {check.name for check in CHECKS}
    for target in space.targets:
        for number, name in lint_values.allowed(target.tags):
            if name not in known:
                message = f"the tag allow:{name} names no check"
                yield Finding(space.of(target, "tags", number), message, did_you_mean(name, known), target.label)


CHECKS = (
    Check("absolute-path", "an absolute path in a command or script", lint_values.absolute_paths),
    Check("alike-names", "names that differ only by capitals or by Unicode form", lint_values.alike),
    Check("bad-document", "a plan or registry document that is refused when it is used", lint_documents.documents),
    Check("unknown-allow", "a tag `allow:...` that names no check", _tags),
    Check("unread-output", "an output that no target reads, beside others that are read", lint_unused.outputs),
    Check("unused-attribute", "an attribute that its rule never reads", lint_unused.attributes),
    Check("unused-module", "an entry of `modules:` of which nothing is imported", lint_unused.modules),
    Check("unused-param", "a parameter that no expression reads", lint_unused.params),
    Check("unused-rule", "a rule of the workspace that no target is of", lint_unused.rules),
    Check("volatile-output", "outputs that differ from run to run, undeclared", lint_values.volatile),
)
