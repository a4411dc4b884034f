"""Attributes: the named, typed values of a target, and of every other mapping that people write for us.

Knows nothing of any one rule. A value is checked where it is read; one that holds an expression passes with its shape
alone, and is checked again when the expression is rendered.

Shapes:  a checked value is normal: labels absolute, paths relative to the workspace, lists where one or many may be
         written; `types` says the form of each. Null counts as not given.
Errors:  found faults are collected as Findings, each with the pointer of the very value: BadAttribute, BadLabel,
         BadPath, OutputClash, UnknownName. `check_value` and `render_attribute` raise them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from flowbuild.core.errors import BadAttribute, UnknownName, UserError, raise_all
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attribute import Attribute
from flowbuild.load.expression import Names, is_whole, render_text
from flowbuild.load.position import Finding, Pointer
from flowbuild.load.source import JSON
from flowbuild.load.types import TYPES

__all__ = ["Attribute", "Checker", "check_value", "render_attribute", "expressions", "described"]


class Checker:
    """Checks values of one package and collects what is wrong with them."""

    __slots__ = ("findings", "names", "package")

    def __init__(self, package: str, names: Names | None = None) -> None:
        self.package = package
        self.names = names  # given when a checked value is rendered; what has no expression then is normal already
        self.findings: list[Finding] = []

    def value(self, attribute: Attribute, value: JSON, pointer: Pointer) -> JSON:
        """A value in its normal form, or as it is where it is wrong."""
        kind = TYPES[attribute.type]
        if type(value) is str and "${{" in value:
            if attribute.literal:
                self.fault(pointer, f"{attribute.name!r} holds no expression", f"write {kind.doc}")
                return value
            if self.names is not None:
                return self._rendered(attribute, value, pointer)
            if not kind.splits:
                if not kind.is_text and not self.is_whole_expression(value):
                    words = f"{attribute.name!r} is {kind.doc}, and an expression with text around it is a string"
                    self.fault(pointer, words, "write the expression alone")
                return value
        try:
            return kind.check(self, attribute, value, pointer)
        except UserError as error:
            self.fault(pointer, error.message, error.remedy, type(error))
            return value

    def fields(self, attributes: Mapping[str, Attribute], given: JSON, pointer: Pointer, owner: str) -> dict[str, JSON]:
        """A mapping whose keys are attributes: checked, defaults filled in, unknown keys and missing ones found."""
        if not isinstance(given, dict):
            self.fault(pointer, f"{owner} is a mapping, and here stands {described(given)}", key=given is None)
            return {name: attribute.default for name, attribute in attributes.items()}
        for name in given:
            if name not in attributes:
                remedy = did_you_mean(name, attributes)
                self.fault((*pointer, name), f"{owner} has no {name!r}", remedy, UnknownName, key=True)
        done: dict[str, JSON] = {}
        for name, attribute in attributes.items():
            value = given.get(name)
            if value is not None:
                done[name] = self.value(attribute, value, (*pointer, name))
                continue
            # A default may be relative to the package, like any other value.
            default = attribute.default
            done[name] = default if default is None else self.value(attribute, default, (*pointer, name))
            if attribute.required:
                at = (*pointer, name) if name in given else pointer
                self.fault(at, f"{owner} needs {name!r}", _needed(attribute), key=True)
        return done

    def wrong(self, attribute: Attribute, value: JSON, pointer: Pointer, remedy: str = "") -> JSON:
        """Find that a value is not of its attribute's type."""
        wanted = TYPES[attribute.type].doc
        if attribute.values:
            wanted = "one of " + ", ".join(attribute.values)
        problem = f"{attribute.name!r} is {wanted}, and here stands {described(value)}"
        self.fault(pointer, problem, remedy, key=value is None)  # what is empty has no place of its own
        return value

    def fault(
        self,
        pointer: Pointer,
        message: str,
        remedy: str = "",
        kind: type[UserError] = BadAttribute,
        key: bool = False,
    ) -> None:
        """Add a fault of the value at a pointer, or with `key` of its key."""
        self.findings.append(Finding(kind, pointer, message, remedy, key))

    def is_whole_expression(self, text: str) -> bool:
        """Whether a text is one expression; one that can't be read counts, and is found with the names."""
        try:
            return is_whole(text)
        except UserError:
            return True

    def _rendered(self, attribute: Attribute, text: str, pointer: Pointer) -> JSON:
        fresh = Checker(self.package)
        value = fresh.value(attribute, render_text(text, self.names or {}), pointer)
        self.findings += fresh.findings
        return value


def check_value(attribute: Attribute, value: JSON, package: str = "") -> JSON:
    """A value of an attribute in its normal form; raises what is wrong with it."""
    checker = Checker(package)
    done = checker.value(attribute, value, ())
    _raise(checker.findings)
    return done


def render_attribute(attribute: Attribute, value: JSON, names: Names, package: str) -> JSON:
    """A checked value with its expressions rendered, and what they gave checked and made normal too.

    A command keeps its words as they are: `words.render_words` renders them, where one may become several.
    """
    if TYPES[attribute.type].splits:
        return value
    checker = Checker(package, names)
    done = checker.value(attribute, value, ())
    _raise(checker.findings)
    return done


def expressions(value: JSON, pointer: Pointer) -> Iterator[tuple[Pointer, str]]:
    """Every string of a value that holds an expression, with its pointer."""
    if type(value) is str:
        if "${{" in value:
            yield pointer, value
    elif type(value) is dict:
        for key, item in value.items():
            yield from expressions(item, (*pointer, key))
    elif type(value) is list:
        for index, item in enumerate(value):
            yield from expressions(item, (*pointer, index))


def described(value: JSON) -> str:
    """A value as it stands in a message: short, and with its kind where that is the trouble."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value[:60]!r}"
    return "a list" if isinstance(value, list) else "a mapping"


def _needed(attribute: Attribute) -> str:
    return f"it is {TYPES[attribute.type].doc}" + (f": {attribute.doc}" if attribute.doc else "")


def _raise(findings: Iterable[Finding]) -> None:
    raise_all(found.kind(found.message, remedy=found.remedy) for found in findings)
