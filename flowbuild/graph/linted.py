"""What lint looks at: targets and their graph, and where each thing that it finds stands.

Knows nothing of the checks. Targets load and lower before anything is found: what is wrong is told as everywhere else.

Shapes:  a Finding is about a text that loads; `label` is the target whose tag silences it.
Errors:  UserError: whatever loading and lowering refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from flowbuild.core.errors import Location
from flowbuild.core.label import Label, parse
from flowbuild.graph.lower import lower
from flowbuild.graph.state import Built, Code, State
from flowbuild.load.catalog import Catalog
from flowbuild.load.expression import has_expression, is_whole, split
from flowbuild.load.package import Target
from flowbuild.load.position import Pointer, Positions
from flowbuild.load.rule import Rule
from flowbuild.load.source import JSON
from flowbuild.load.words import split_words


class Finding(NamedTuple):
    """Something that a person would want to look at, and what to do about it."""

    location: Location
    message: str
    remedy: str
    label: Label | None = None
    check: str = ""


class Command(NamedTuple):
    """The words of a command, or a script, as somebody wrote them: nothing in them is rendered yet."""

    label: Label
    words: list[str]
    script: str
    path: str
    pointer: Pointer


class Linted:
    """Some targets, lowered. `is_whole` says that these are all that the workspace has."""

    def __init__(self, catalog: Catalog, labels: Sequence[Label], is_whole: bool) -> None:
        self.catalog = catalog
        self.is_whole = is_whole
        self.targets = [catalog.target(label) for label in labels]
        self.graph = lower(catalog, labels)
        self._texts: dict[str, str] = {}
        self._split: dict[str, list[str]] = {}
        self._positions: dict[str, Positions] = {}

    def built(self, target: Target) -> Built:
        return self.graph.targets[target.label]

    def states(self, target: Target) -> Iterator[State]:
        """The states that a target itself became."""
        return (self.graph.states[number] for number in self.built(target).states)

    def codes(self, target: Target) -> list[Code]:
        """The Python code of a target's states."""
        return [state.code for state in self.states(target) if state.code is not None]

    def rule(self, target: Target) -> Rule:
        return self.catalog.rules[target.rule]

    @cached_property
    def own_rules(self) -> list[Rule]:
        """The rules that the workspace brings, as far as they are looked at: all, or those of the targets."""
        used = {target.rule for target in self.targets}
        own = (rule for rule in self.catalog.rules.values() if not rule.path.startswith("<"))
        return [rule for rule in own if self.is_whole or rule.name in used]

    @cached_property
    def goldens(self) -> list[Target]:
        """The goldens of every package that has one of the targets."""
        packages = map(self.catalog.package, dict.fromkeys(target.label.package for target in self.targets))
        every = (target for package in packages if package for target in package.targets.values())
        return [target for target in every if target.rule == "golden"]

    @cached_property
    def commands(self) -> list[Command]:
        """Every command and script that the targets run, theirs or their rule's."""
        return [command for target in self.targets for command in self._commands(target)]

    def at(self, path: str, pointer: Pointer, *, key: bool = False) -> Location:
        """Where a value of a YAML file stands, or its key."""
        if path not in self._positions:
            self._positions[path] = Positions(self.text(path).encode(), path)
        return self._positions[path].find(pointer, key=key)

    def of(self, target: Target, *pointer: str | int, key: bool = False) -> Location:
        """Where a value of a target stands, or its key."""
        return self.at(target.path, (*target.pointer, *pointer), key=key)

    def spot(self, path: str, offset: int) -> Location:
        """A place in a text, by the characters before it."""
        text = self.text(path)
        start, number = text.rfind("\n", 0, offset) + 1, text.count("\n", 0, offset) + 1
        return Location(path, number, offset - start + 1, self._lines(path)[number - 1])

    def within(self, path: str, pointer: Pointer, value: str, offset: int = 0) -> Location:
        """A place in a value: in the line of the file that has that line of the value, else where the value stands."""
        whole = self.at(path, pointer)
        indent = self.at(path, pointer, key=True).text
        start = value.rfind("\n", 0, offset) + 1
        line_of_value = value[start:].partition("\n")[0]
        wanted = line_of_value.strip()
        before = offset - start - (len(line_of_value) - len(line_of_value.lstrip()))
        earlier = sum(wanted in line for line in value[:start].split("\n")[:-1])
        for number, line in enumerate(self._lines(path)[whole.line - 1 :], start=whole.line):
            if number > whole.line and line.strip() and _indent(line) <= _indent(indent):
                break
            if (column := line.find(wanted, whole.column - 1 if number == whole.line else 0)) >= 0:
                if not earlier:
                    return Location(path, number, column + before + 1, line)
                earlier -= 1
        return whole

    def text(self, path: str) -> str:
        """A file of the workspace that was read already, with one kind of line ends."""
        if path not in self._texts:
            text = (self.catalog.workspace.root / path).read_bytes().decode("utf-8-sig")
            self._texts[path] = text.replace("\r\n", "\n").replace("\r", "\n")
        return self._texts[path]

    def _lines(self, path: str) -> list[str]:
        if path not in self._split:
            self._split[path] = self.text(path).split("\n")
        return self._split[path]

    def _commands(self, target: Target) -> Iterator[Command]:
        rule = self.rule(target)
        for template in rule.states.values():
            given = template.with_ if template.kind == "exec" and isinstance(template.with_, dict) else {}
            for key in sorted(given.keys() & {"command", "script"}):
                name = _passed_on(given[key])
                value = given[key] if name is None else target.attrs.get(name)
                place = ("states", template.name, "with", key) if name is None else (*target.pointer, name)
                path = rule.path if name is None else target.path
                if value and not path.startswith("<"):
                    words = [] if key == "script" else split_words(value) if isinstance(value, str) else value
                    yield Command(target.label, words, value if key == "script" else "", path, place)


def named(target: Target, text: str) -> Label:
    """The target that a label in another one's attributes names."""
    return parse(text, target.label.package).target


def _passed_on(value: JSON) -> str | None:
    """The attribute that a rule passes on as it is: `${{ attr.command }}`."""
    if not isinstance(value, str) or not has_expression(value) or not is_whole(value):
        return None
    ((_, body),) = split(value)
    root, _, name = str(body).strip().partition(".")
    return name if root == "attr" and name.isidentifier() else None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
