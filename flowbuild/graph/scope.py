"""What one target's expressions see while it is lowered, and how its values become files and labels.

Knows nothing of digests or engines. A scope is the only view that a Python lowering function gets.

Shapes:  names in expressions: `target`, `attr`, `params`, and, inside a state, `inputs`, `outputs`, `states` and
         the `each` variables.
Errors:  UserError with the place of the value in its BUILD.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowbuild.core.errors import BadAttribute, BadPath, FlowError, NoMatch, UnknownName
from flowbuild.core.ids import StateId, op_of, slug
from flowbuild.core.label import Label, is_label, parse
from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.state import Built, File, Input, Product, Source, State
from flowbuild.load.attribute import Attribute
from flowbuild.load.catalog import Catalog
from flowbuild.load.expression import render
from flowbuild.load.package import Target
from flowbuild.load.rule import Rule
from flowbuild.load.secret import allowed

Files = File | list[File] | dict[str, Any]

# Types of attributes whose values may be labels, and those whose values become files.
LABELS = frozenset({"label", "file", "files", "inputs"})
FILES = frozenset({"file", "files", "inputs"})


def holds(attribute: Attribute, types: frozenset[str]) -> bool:
    """Whether an attribute, or the items of its list or map, are of one of these types."""
    return attribute.type in types or (attribute.items is not None and holds(attribute.items, types))


@dataclass(slots=True)
class Scope:
    """One target being lowered. `states` is the graph's list so far; new ones are appended to it."""

    catalog: Catalog
    target: Target
    rule: Rule
    built: Mapping[Label, Built]
    states: list[State]
    params: Mapping[str, Any]
    attr: dict[str, Any] = field(default_factory=dict)
    own: list[int] = field(default_factory=list)
    may_miss: bool = False  # whether a file of the workspace may be absent
    items: frozenset[str] = field(init=False)  # the variables that the target itself names for its items
    _ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        given = [self.target.attrs.get(name) for name in self.rule.each_attributes]
        self.items = frozenset(variable for each in given if isinstance(each, Mapping) for variable in each)

    @property
    def package(self) -> str:
        return self.target.label.package

    def names(self) -> dict[str, Any]:
        """The names that every expression of this target sees."""
        label = self.target.label
        return {
            "target": {"name": label.name, "label": str(label), "package": label.package},
            "params": dict(self.params),
            "attr": self.attr,
        }

    def fault(self, error: FlowError, *pointer: str | int) -> FlowError:
        """The error with its place: the value at `pointer` below this target, or the target itself."""
        if error.location is None:
            error.location = self.catalog.locate(self.target, pointer)
        return error

    def render(self, value: Any, names: Mapping[str, Any], *pointer: str | int) -> Any:
        """A value with its expressions replaced; faults point at the value."""
        try:
            return render(value, names)
        except FlowError as error:
            raise self.fault(error, *pointer) from None

    def files(self, value: Any, *pointer: str | int) -> Files:
        """The files that a value of type `inputs` stands for: a path, a label, a list, a glob, or a map of these."""
        if isinstance(value, File):
            return value
        if isinstance(value, str):
            return self._product(value, pointer) if is_label(value) else self._source(value, pointer)
        if isinstance(value, Sequence):
            return self._flat(value, pointer)
        if "glob" in value:
            return self._glob(value, pointer)
        return {name: self.files(one, *pointer, name) for name, one in value.items()}

    def _source(self, path: str, pointer: tuple[str | int, ...]) -> File:
        place = os.path.join(self.catalog.workspace.root, path)
        if not self.may_miss and not os.path.isfile(place):
            is_directory = os.path.isdir(place)
            problem = "is a directory, and a file is needed here" if is_directory else "is not there"
            remedy = 'write {glob: "' + path.rstrip("/").rpartition("/")[2] + '/**"}' if is_directory else ""
            raise self.fault(BadPath(f"{path} {problem}", remedy=remedy), *pointer)
        if not self.may_miss:
            self.catalog.seen.source(path)
        return File(Source(path), self.package)

    def _flat(self, values: Sequence[Any], pointer: tuple[str | int, ...]) -> list[File]:
        found: list[File] = []
        for place, one in enumerate(values):
            files = self.files(one, *pointer, place)
            if isinstance(files, dict):
                raise self.fault(BadAttribute("a list of files can't hold a mapping"), *pointer, place)
            found.extend(files if isinstance(files, list) else [files])
        return [File(one.item, self.package, index) for index, one in enumerate(found)]

    def _glob(self, value: Mapping[str, Any], pointer: tuple[str | int, ...]) -> list[File]:
        globs, exclude = _listed(value["glob"]), _listed(value.get("exclude", ()))
        try:
            paths = self.catalog.glob(self.package, globs, exclude)
        except FlowError as error:
            raise self.fault(error, *pointer) from None
        if not paths and not value.get("optional"):
            shown = ", ".join(globs)
            remedy = "write `optional: true` beside it if that is meant"
            raise self.fault(NoMatch(f"no file matches {shown}", remedy=remedy), *pointer)
        return [File(Source(path), self.package, index) for index, path in enumerate(paths)]

    def _product(self, text: str, pointer: tuple[str | int, ...]) -> File | list[File]:
        label = parse(text, self.package)
        outputs = self.built[label.target].outputs
        if label.output is None and len(outputs) == 1:
            (one,) = outputs.values()
        elif label.output is None:
            remedy = f"name one: {', '.join(f'{label}#{name}' for name in outputs)}" if outputs else ""
            message = f"{label} has {len(outputs) or 'no'} outputs, and one is needed here"
            raise self.fault(BadAttribute(message, remedy=remedy), *pointer)
        elif label.output in outputs:
            one = outputs[label.output]
        else:
            message = f"{label.target} has no output {label.output!r}"
            raise self.fault(UnknownName(message, remedy=did_you_mean(label.output, outputs)), *pointer)
        found = [File(item, self.package, index) for index, item in enumerate(one.items)]
        return found if one.many else found[0]

    def state_id(self, step: str, state: str) -> StateId:
        """A fresh id for a state of this target. Long or odd names that share a slug are told apart by a number."""
        op, number = op_of(self.target.label), 2
        made = f"{op}.{slug(step)}.{slug(state)}"
        while made in self._ids:
            made = f"{op}.{slug(step)}.{slug(state, 56)}_{number}"
            number += 1
        self._ids.add(made)
        return StateId(made)

    def place(self, outputs: Mapping[str, str]) -> dict[str, str]:
        """Where declared outputs stand, from the workspace root."""
        return {name: f"out/bin/{self.target.label.directory}/{path}" for name, path in outputs.items()}

    def finish(self, outputs: Mapping[str, Input], **more: Any) -> Built:
        """What a lowering returns: this target's states, and the outputs that others see."""
        label, rule = self.target.label, self.rule
        return Built(
            label, op_of(label), rule.name, tuple(self.own), outputs, params=self.params, test=rule.test, **more
        )

    def add(self, state: State) -> int:
        """Append a state; its number."""
        excused = allowed(self.target.tags)
        self.states.append(replace(state, allows=excused) if excused else state)
        self.own.append(len(self.states) - 1)
        return self.own[-1]

    def product(self, number: int, output: str) -> File:
        """What expressions see of an output of a state."""
        return File(Product(number, output, self.states[number].outputs[output]), self.package)


def as_input(value: File | list[File]) -> Input:
    """A file or a list of files as a state's input."""
    return Input(tuple(one.item for one in value), True) if isinstance(value, list) else Input((value.item,), False)


def as_inputs(value: Any) -> dict[str, Input]:
    """A map of names to files as a state's inputs."""
    return {name: as_input(files) for name, files in value.items()}


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


Lowering = Callable[[Scope], Built]
