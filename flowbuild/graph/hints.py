"""Dependency hints: a target that says by tag what it comes after, and the edges that come of it.

Knows nothing of runs. A hint is resolved before anything is performed: what matches are the targets of the same package
that stand before it and have the tag. Edges of a hint are those of `after`: no output is read along them.

Shapes:  attributes `depends_on`, a list of tags, and `depends_on_strategy`: `latest` or `earliest` of those that match,
         or `latest_successful`, the latest of them that succeeded once all have ended.
Errors:  InvalidPlan `DanglingDependencyTag` for a tag that nothing before has.
Source:  seed 001 `StateMeta.depends_on`, `DependencyStrategy`.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowbuild.core.errors import InvalidPlan
from flowbuild.core.label import Label
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.handed import roots
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import APPLY, Candidates
from flowbuild.load.catalog import Catalog
from flowbuild.load.package import Target

LATEST, EARLIEST, LATEST_SUCCESSFUL = "latest", "earliest", "latest_successful"


def hinted(catalog: Catalog, target: Target) -> Iterator[tuple[Label, tuple[str | int, ...]]]:
    """The targets that a target's hints mean, each with the place of the tag."""
    for place, tag in enumerate(_tags(target)):
        yield from ((label, ("depends_on", place)) for label in _chosen(catalog, target, tag))


def hints(scope: Scope) -> tuple[tuple[int, ...], tuple[Candidates, ...]]:
    """The states that one comes after, and those of which it comes after the latest that succeeded."""
    after: dict[int, None] = {}
    either: list[Candidates] = []
    for place, tag in enumerate(_tags(scope.target)):
        labels = _chosen(scope.catalog, scope.target, tag)
        if not labels:
            known = {tag for one in _before(scope.catalog, scope.target) for tag in _of(one)}
            problem = f"DanglingDependencyTag: no target before {scope.target.label} has the tag {tag!r}"
            remedy = did_you_mean(tag, known) if known else "give a target that stands before it this tag"
            raise scope.fault(InvalidPlan(problem, remedy=remedy), "depends_on", place)
        numbers = [tuple(roots(scope, scope.built[label])) for label in labels]
        if _strategy(scope.target) == LATEST_SUCCESSFUL:
            either.append(tuple(numbers))
        else:
            after |= dict.fromkeys(numbers[0])
    return tuple(after), tuple(either)


def _chosen(catalog: Catalog, target: Target, tag: str) -> list[Label]:
    """What a tag means: one target, or with `latest_successful` all of them, the latest last."""
    found = [one.label for one in _before(catalog, target) if tag in _of(one)]
    return {EARLIEST: found[:1], LATEST_SUCCESSFUL: found}.get(_strategy(target), found[-1:])


def _before(catalog: Catalog, target: Target) -> Iterator[Target]:
    """The targets of the same package that stand before one."""
    package = catalog.package(target.label.package)
    for one in package.targets.values() if package else ():
        if one.label == target.label:
            return
        yield one


def _of(target: Target) -> tuple[str, ...]:
    applies = target.attrs.get("side_effects") == APPLY
    return (*target.tags, APPLY) if applies else target.tags


def _tags(target: Target) -> list[str]:
    value = target.attrs.get("depends_on")
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _strategy(target: Target) -> str:
    return str(target.attrs.get("depends_on_strategy") or LATEST)
