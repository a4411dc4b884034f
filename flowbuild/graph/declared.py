"""Plan and registry targets as the documents of seed 003, so that both are read, listed, checked and run alike.

Knows nothing of files of documents. A fault about such a document stands where the target's BUILD.yaml says the value.

Shapes:  the documents of `graph.evidence`; a registry's id is what its target says, or its label.
Errors:  BadAttribute for a label of another rule; every fault of the packages that are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadAttribute, Location, raise_all
from flowbuild.core.label import Label, Pattern, parse
from flowbuild.graph.evidence import plan_document, probes_document, profile_path, profiles_document, restrictions
from flowbuild.graph.evidence_faults import Fault, plan_faults, registry_faults
from flowbuild.load.catalog import Catalog
from flowbuild.load.distributions import Distributions
from flowbuild.load.package import Target
from flowbuild.load.position import Pointer
from flowbuild.load.registry import Registry
from flowbuild.load.strict_json import Document, parse_json
from flowbuild.load.workspace import open_workspace


@dataclass(frozen=True, slots=True)
class Declared(Document):
    """A document that a target says. `locate` finds the place of a value of the target's attributes."""

    locate: Callable[[Pointer], Location] = lambda pointer: Location("")

    def place(self, pointer: Pointer, *, key: bool = False) -> Location:
        """Where the BUILD.yaml says a value of this document."""
        return self.locate(_attribute(pointer))


class _Unwatched:
    """Nobody keeps what an answer depended on: every call reads anew."""

    def file(self, path: str) -> None: ...

    def absent(self, path: str) -> None: ...

    def source(self, path: str) -> None: ...

    def directory(self, path: str) -> None: ...


def open_catalog(root: Path) -> Catalog:
    """The targets of a workspace."""
    return Catalog(open_workspace(root), _Unwatched(), None, Distributions(root))


def targets(catalog: Catalog, rule: str) -> Iterator[Target]:
    """Every target of a rule, by package."""
    for name in catalog.packages(Pattern("", tree=True)):
        package = catalog.package(name)
        yield from (one for one in (package.targets.values() if package else ()) if one.rule == rule)


def registry_id(target: Target) -> str:
    """How documents name a registry target."""
    return str(target.attrs.get("registry_id") or target.label)


def registry(catalog: Catalog, target: Target) -> Registry:
    """The registry that a target declares."""
    _raise(catalog, target, registry_faults(target.attrs))
    name, attrs = registry_id(target), target.attrs
    files = {profile_path(key): parse_json(canonical(doc), key) for key, doc in restrictions(attrs).items()}
    probes, profiles = probes_document(name, attrs), profiles_document(name, attrs)
    return Registry(
        name,
        _declared(catalog, target, probes),
        _declared(catalog, target, profiles),
        catalog.workspace.root,
        files,
        target.doc or None,
    )


def plan(catalog: Catalog, target: Target) -> tuple[Document, Registry]:
    """The plan that a target declares, and the registry that it is about."""
    label = parse(target.attrs["registry"], target.label.package)
    source = _of_rule(catalog, label, "registry", target)
    _raise(catalog, target, plan_faults(target.attrs, source.attrs))
    document = plan_document(str(target.label), registry_id(source), target.attrs, source.attrs)
    return _declared(catalog, target, document), registry(catalog, source)


def plan_target(catalog: Catalog, text: str) -> Target:
    """The plan target behind a label; of a `run` target, the plan that it runs."""
    label = parse(text, "")
    target = catalog.target(label)
    if target.rule == "run":
        label = parse(target.attrs["plan"], target.label.package)
    return _of_rule(catalog, label, "plan", target)


def _of_rule(catalog: Catalog, label: Label, rule: str, asked: Target) -> Target:
    found = catalog.target(label, catalog.locate(asked))
    if found.rule != rule:
        where = catalog.locate(asked)
        raise BadAttribute(f"{label} is no {rule}: its rule is {found.rule}", location=where)
    return found


def _declared(catalog: Catalog, target: Target, value: dict[str, object]) -> Declared:
    return Declared(value, target.path, locate=lambda pointer: catalog.locate(target, pointer))


def _attribute(pointer: Pointer) -> Pointer:
    """The attribute that a part of a document came from."""
    if pointer[:1] == ("probes",) and len(pointer) > 1:
        return ("probes", str(pointer[1]).partition(".")[2], *pointer[2:])
    if pointer[:1] == ("registry_id",):
        return ("registry",)
    if pointer[:1] == ("profiles",) and "probe_refs" in pointer:
        return pointer[:2]
    return pointer[:1] if pointer[:1] == ("lanes",) else pointer


def _raise(catalog: Catalog, target: Target, faults: Iterable[Fault]) -> None:
    raise_all(
        BadAttribute(fault.message, remedy=fault.remedy, location=catalog.locate(target, fault.pointer))
        for fault in faults
    )
