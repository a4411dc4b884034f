"""The library of one tree: every plan and registry in it, whether files say it or targets.

Knows nothing of how a plan is run. What files say is read when it is asked for, and each file once.

Errors:  UnknownName for a plan or registry that is not there; what is wrong with a document, as its reader says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, Faults, FlowError, Location
from flowbuild.core.label import is_label
from flowbuild.graph import declared
from flowbuild.load.catalog import Catalog
from flowbuild.load.package import Target
from flowbuild.load.plan import read_plan
from flowbuild.load.registry import Listed, Registry, flat, listed, read_registry, unknown_registry
from flowbuild.load.strict_json import Document
from flowbuild.load.tree import PLAN, Tree, find_tree, is_workspace, root_of

Doc = dict[str, Any]


class Library:
    """See the module. The tree is that of a directory: the workspace, checkout or directory that it lies in."""

    def __init__(self, start: Path | None = None) -> None:
        self.root = root_of(start or Path.cwd())
        self._registries: dict[tuple[str, Path | None], Registry] = {}

    @cached_property
    def tree(self) -> Tree:
        return find_tree(self.root)

    @cached_property
    def catalog(self) -> Catalog | None:
        """The targets of the tree, if it is a workspace."""
        return declared.open_catalog(self.root) if is_workspace(self.root) else None

    @cached_property
    def listed(self) -> tuple[list[Listed], list[FlowError]]:
        """The registries that files say, and what is wrong with the indexes."""
        return listed(self.tree)

    def targets(self, rule: str) -> Iterator[Target]:
        """The plan or registry targets of the tree."""
        yield from declared.targets(self.catalog, rule) if self.catalog else ()

    def rows(self) -> list[Doc]:
        """A row for each registry, as an index says it; of a target, its label."""
        shown = self.tree.shown
        files, _ = self.listed
        rows: list[Doc] = [
            {
                "id": x.registry_id,
                "probes": shown(x.probes),
                "profiles": shown(x.profiles),
                "description": x.description,
            }
            for x in files
        ]
        for target in self.targets("registry"):
            name, label = declared.registry_id(target), str(target.label)
            rows.append({"id": name, "probes": label, "profiles": label, "description": target.doc or None})
        return rows

    def registry(self, registry_id: str, near: Path | None = None) -> Registry:
        """The registry of an id. Of several it is the one below `near`; else nobody could tell which is meant."""
        key = (registry_id, near)
        if key not in self._registries:
            found = [one for one in self.listed[0] if one.registry_id == registry_id]
            beside = [one for one in found if near is not None and one.probes.is_relative_to(near)]
            only = beside[0] if len(beside) == 1 else self._only(registry_id, found)
            made = read_registry(only, self.tree) if isinstance(only, Listed) else self._declared(only)
            self._registries[key] = made
        return self._registries[key]

    def _only(self, registry_id: str, found: list[Listed]) -> Listed | Target:
        """The one place that says a registry, among files and targets."""
        owned = [target for target in self.targets("registry") if declared.registry_id(target) == registry_id]
        if len(found) + len(owned) == 1:
            return found[0] if found else owned[0]
        if found or owned:
            places = [self.tree.shown(one.probes) for one in found] + [str(target.label) for target in owned]
            message = f"registry {registry_id!r} is said in {len(places)} places: {', '.join(places)}"
            raise BadAttribute(message, remedy="give one of them another id", location=Location(places[0], 1))
        if self.listed[1]:  # an index that can't be read may be the one that says it
            raise self.listed[1][0]
        raise unknown_registry(registry_id, [row["id"] for row in self.rows()])

    def _declared(self, target: Target) -> Registry:
        assert self.catalog is not None, "a target is of a workspace"
        return declared.registry(self.catalog, target)

    def registry_of(self, plan: Document) -> Callable[[str], Registry]:
        """The registries as a plan means them: its own before others of the same id."""
        near = plan.file.parent if plan.file else None
        return lambda registry_id: self.registry(registry_id, near)

    def plan(self, plan: Path | str) -> Document:
        """The plan in a file or directory, or behind a label."""
        if is_label(str(plan)):
            if self.catalog is None:
                raise BadAttribute(f"{plan} is a label, and {self.root} is no workspace")
            document, source = declared.plan(self.catalog, declared.plan_target(self.catalog, str(plan)))
            self._registries[source.registry_id, None] = source
            return document
        file = Path(plan)
        file = file / PLAN if file.is_dir() else file
        absolute = Path.cwd() / file
        return read_plan(absolute, self._shown(absolute))

    def plans(self) -> Iterator[Doc]:
        """A row for each plan; one that can't be read says why."""
        yield from map(self.row, self.tree.plans)
        for target in self.targets("plan"):
            yield self._row({"label": str(target.label)}, str(target.label))

    def row(self, file: Path) -> Doc:
        """The row of a plan that a file says."""
        return self._row({"path": self.tree.shown(file)}, file)

    def _row(self, where: Doc, plan: Path | str) -> Doc:
        try:
            doc = self.plan(plan).value
        except (FlowError, Faults) as error:
            return {**where, "error": str(flat(error)[0])}
        return {
            "plan_id": doc["plan_id"],
            "registry_id": doc["registry_id"],
            "profiles": len(doc["profiles"]),
            **where,
        }

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)


def library_of(plan: Path | str) -> Library:
    """The library that a plan belongs to: of a label, that of the directory that somebody stands in."""
    if is_label(str(plan)):
        return Library()
    place = Path.cwd() / Path(plan)
    return Library(place if place.is_dir() else place.parent)
