"""Packages: the targets of one BUILD.yaml, every attribute checked.

Knows nothing of states, and nothing of what other packages hold: a label may name nothing.

Shapes:  Package and Target. Attribute values are normal, as `types` says; expressions stay as they are written, but
         every name in them is known.
Errors:  UnknownTarget when there is no such package; otherwise all faults of the file at once, each with its place:
         BadYaml, BadLabel, UnknownRule, UnknownName, BadAttribute, BadPath, BadExpression, OutputClash.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowbuild.core.canonical import Digest
from flowbuild.core.errors import BadLabel, Location, SecretsDetected, UnknownRule, UnknownTarget
from flowbuild.core.label import Label, Pattern, parse
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attributes import Attribute, Checker
from flowbuild.load.document import ParsedFiles, parse_file
from flowbuild.load.glob import BUILD_FILE
from flowbuild.load.params import Param, read_params
from flowbuild.load.position import Pointer, raise_found
from flowbuild.load.rule import UNIVERSAL, Rule
from flowbuild.load.scope import RESERVED_ARGUMENTS, TARGET, Scope, check_names
from flowbuild.load.secret import check_secrets
from flowbuild.load.source import JSON
from flowbuild.load.workspace import Workspace, is_inside, packages

_TOP = {
    "targets": Attribute("targets", "map", "what the package declares", default={}, literal=True),
    "doc": Attribute("doc", "string", default=""),
}
# Attributes of these types are rendered when the graph is made: inputs and outputs have no paths then.
_EARLY = frozenset({"path", "label", "file", "files", "inputs", "outputs", "handler"})
# Those that are rendered for each item of a target with `each`.
_PER_ITEM = frozenset({"command", "env", "map", "string"})
_TOO_EARLY = {
    "inputs": "inputs and outputs have no paths yet where this is read",
    "outputs": "inputs and outputs have no paths yet where this is read",
    "attr": "write the value, or make it a parameter",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One declaration: what a person wrote about one label, checked. `pointer` says where it stands in `path`."""

    label: Label
    rule: str
    attrs: Mapping[str, JSON]
    params: Mapping[str, Param]
    doc: str
    tags: tuple[str, ...]
    path: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class Package:
    """The targets of a directory, in the order of its BUILD.yaml, whose digest it has."""

    name: str
    doc: str
    targets: Mapping[str, Target]
    path: str
    digest: Digest


def load_package(
    workspace: Workspace, package: str, rules: Mapping[str, Rule], cache: ParsedFiles | None = None
) -> Package:
    """The package in a directory of the workspace."""
    path = f"{package}/{BUILD_FILE}" if package else BUILD_FILE
    file = workspace.root / path
    try:
        if not is_inside(workspace, package, _nobody):
            raise FileNotFoundError
        parsed = parse_file(file, path, cache)
    except FileNotFoundError:
        raise no_package(workspace, package) from None
    reading = _Reading(package, path, rules)
    top = reading.to.fields(_TOP, {} if parsed.doc is None else parsed.doc, (), "a BUILD.yaml")
    targets = reading.targets(top["targets"] if isinstance(top["targets"], dict) else {})
    if cache is not None and any(found.kind is SecretsDetected for found in reading.to.findings):
        cache.drop(str(file))
    raise_found(reading.to.findings, file, path)
    return Package(package, top["doc"], targets, path, parsed.digest)


class _Reading:
    """One BUILD.yaml, read target by target; what is wrong is collected on the way."""

    def __init__(self, package: str, path: str, rules: Mapping[str, Rule]) -> None:
        self.package = package
        self.path = path
        self.rules = rules
        self.attributes = {name: {**UNIVERSAL, **rule.attributes} for name, rule in rules.items()}
        self.to = Checker(package)

    def targets(self, specs: Mapping[str, JSON]) -> dict[str, Target]:
        done: dict[str, Target] = {}
        folded: dict[str, str] = {}
        for name, spec in specs.items():
            pointer: Pointer = ("targets", name)
            label = self._label(name, pointer)
            first = folded.setdefault(name.casefold(), name)
            if first != name:
                problem = f"{name!r} and {first!r} differ only by capitals, which some file systems don't tell apart"
                self.to.fault(pointer, problem, "rename one", BadLabel, key=True)
            target = self._target(label, spec, pointer)
            if target is not None:
                done[name] = target
        return done

    def _label(self, name: str, pointer: Pointer) -> Label:
        try:
            label = parse(f":{name}", self.package)
        except BadLabel:
            label = None
        if label is None or label.output:
            problem = f"{name!r} is not the name of a target"
            self.to.fault(pointer, problem, "letters, digits and any of _+=,@~.-", BadLabel, key=True)
        elif name == "all":
            problem = f"`//{self.package}:all` is the pattern that names every target here, so no target is named 'all'"
            self.to.fault(pointer, problem, "choose another name", BadLabel, key=True)
        return Label(self.package, name)

    def _target(self, label: Label, spec: JSON, pointer: Pointer) -> Target | None:
        owner = f"the target {label.name!r}"
        named = spec.get("rule") if isinstance(spec, dict) else None
        rule = self.rules.get(named) if isinstance(named, str) else None
        if rule is None:
            # Without a rule nothing is known of the other attributes.
            given = {key: item for key, item in spec.items() if key in UNIVERSAL} if isinstance(spec, dict) else spec
            self.to.fields(UNIVERSAL, given, pointer, owner)
            if isinstance(named, str):
                remedy = did_you_mean(named, self.rules)
                self.to.fault((*pointer, "rule"), f"there is no rule {named!r}", remedy, UnknownRule)
            return None
        attrs = self.to.fields(self.attributes[rule.name], spec, pointer, f"{owner} (rule {rule.name})")
        given_params, doc, tags = attrs.pop("params"), attrs.pop("doc"), attrs.pop("tags")
        del attrs["rule"]
        params = read_params(self.to, given_params, (*pointer, "params")) if isinstance(given_params, dict) else {}
        self._check_together(rule, spec, pointer)
        self._check_expressions(rule, spec, attrs, params, pointer)
        tags = tuple(map(str, tags)) if isinstance(tags, list) else ()
        check_secrets(self.to, rule, spec, tags, pointer)
        return Target(label, rule.name, attrs, params, doc, tags, self.path, pointer)

    def _check_together(self, rule: Rule, spec: dict[str, JSON], pointer: Pointer) -> None:
        if rule.one_of:
            given = [name for name, value in spec.items() if name in rule.one_of and value is not None]
            choice = " or ".join(f"`{name}`" for name in rule.one_of)
            if not given:
                self.to.fault(pointer, f"{rule.name} needs {choice}", key=True)
            elif len(given) > 1:
                self.to.fault((*pointer, given[1]), f"{rule.name} takes one of {choice}", "remove the other", key=True)
        seen: dict[str, str] = {}
        for attribute in rule.distinct:
            names = spec.get(attribute)
            for name in names if isinstance(names, dict) else ():
                at = (*pointer, attribute, name)
                if name in RESERVED_ARGUMENTS:
                    self.to.fault(
                        at, f"{name!r} is a name that flowbuild gives a meaning", "name it otherwise", key=True
                    )
                elif name in seen:
                    problem = f"{name!r} stands in `{seen[name]}` too, and a handler takes each name once"
                    self.to.fault(at, problem, "name one otherwise", key=True)
                seen.setdefault(name, attribute)

    def _check_expressions(
        self, rule: Rule, spec: dict[str, JSON], attrs: dict[str, Any], params: Mapping[str, Param], pointer: Pointer
    ) -> None:
        early: Scope = {"target": TARGET, "params": params}
        late: Scope = {**early, "inputs": _names(rule, attrs, "inputs"), "outputs": _names(rule, attrs, "outputs")}
        items = [variable for name in rule.each_attributes for variable in attrs.get(name) or {}]
        for name, value in spec.items():
            attribute = rule.attributes.get(name)
            if attribute is not None:
                is_early = attribute.type in _EARLY or (attribute.items and attribute.items.type in _EARLY)
                scope = early if is_early else late
                if attribute.type in _PER_ITEM:
                    scope = {**scope, **dict.fromkeys(items)}
                check_names(self.to, value, (*pointer, name), scope, _TOO_EARLY)


def _names(rule: Rule, attrs: Mapping[str, JSON], name: str) -> Any:
    """The names of a target's inputs or outputs, where its rule takes them as such."""
    attribute = rule.attributes.get(name)
    value = attrs.get(name)
    return value if attribute is not None and attribute.type == name and isinstance(value, dict) else None


def no_package(workspace: Workspace, package: str, asked_at: Location | None = None) -> UnknownTarget:
    """The fault of whoever names a directory that is no package. `asked_at` is where somebody wrote it."""
    path = f"{package}/{BUILD_FILE}" if package else BUILD_FILE
    place = workspace.root / path
    if os.path.lexists(place) and not place.is_file():
        problem, remedy = f"{path} is not a file", "put one in its place"
    elif place.is_file():
        problem = f"{package} is no part of this workspace"
        remedy = "a link, a flowbuild.yaml or template.yaml of its own, or `ignore:` keeps it out"
    else:
        problem = f"{path} is not there"
        known = [f"//{name}" for name in packages(workspace, Pattern("", None, tree=True), _nobody) if name]
        remedy = did_you_mean(f"//{package}", known) or f"create {path} to make it one"
    return UnknownTarget(f"no package //{package}: {problem}", remedy=remedy, location=asked_at)


def _nobody(directory: str) -> None: ...
