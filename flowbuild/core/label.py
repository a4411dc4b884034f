"""Labels: `//package:target`, and the patterns that name many of them.

Knows nothing of what exists: a label may name nothing.

Shapes:  `//a/b:c` is target `c` in directory `a/b`; `//a/b` means `//a/b:b`; `:c` is relative to a package;
         `#out` picks one named output. Patterns: `//...`, `//a/...`, `//a:all`, each also with a leading `-`.
Errors:  BadLabel, which says what a label looks like.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from flowbuild.core.errors import BadLabel

# A segment is a directory name: no separator, none of the characters that labels, shells or globs give a meaning.
_SEGMENT = re.compile(r"[A-Za-z0-9_+=,@~.-]+(?: [A-Za-z0-9_+=,@~.-]+)*")
_NAME = re.compile(r"[A-Za-z0-9_+=,@~-][A-Za-z0-9_+=,@~.-]*")
_LONGEST, _LONGEST_NAME = 2000, 200  # of a directory, and of each name in a label
_FORM = "a label looks like //package:target, //package (the target of that name) or :target"


class Label(NamedTuple):
    """One target, absolute. `output` is the named output after `#`, or None for all of them."""

    package: str
    name: str
    output: str | None = None

    def __str__(self) -> str:
        short = self.package.rpartition("/")[2] == self.name and self.package
        text = f"//{self.package}" if short else f"//{self.package}:{self.name}"
        return f"{text}#{self.output}" if self.output else text

    @property
    def target(self) -> Label:
        """The label without its output."""
        return self if self.output is None else Label(self.package, self.name)

    @property
    def directory(self) -> str:
        """Where its outputs are shown, below `out/` or `out/bin/`."""
        return f"{self.package}/{self.name}" if self.package else self.name


class Pattern(NamedTuple):
    """A set of labels: one (`name`), a package's (`all`), or a tree's (`tree`). `negative` ones are taken away."""

    package: str
    name: str | None = None
    tree: bool = False
    negative: bool = False

    def matches(self, label: Label) -> bool:
        if self.tree:
            return self.package in ("", label.package) or label.package.startswith(self.package + "/")
        return label.package == self.package and self.name in (None, label.name)

    def __str__(self) -> str:
        sign = "-" if self.negative else ""
        if self.tree:
            return f"{sign}//{self.package}/..." if self.package else f"{sign}//..."
        return f"{sign}//{self.package}:all" if self.name is None else sign + str(Label(self.package, self.name))


def is_label(text: str) -> bool:
    """Whether a value in a BUILD.yaml is a label: it starts with `//` or `:`. Any other path is a file."""
    return text.startswith(("//", ":"))


@lru_cache(maxsize=2**16)  # each reader of a target names it again, and is asked several times what it names
def parse(text: str, package: str | None = None) -> Label:
    """The label that a text says; `:name` needs the package that it is relative to."""
    body, mark, output = text.partition("#")
    if mark and not _NAME.fullmatch(output):
        raise BadLabel(f"{text!r} is not a label: the output after '#' is {output!r}", remedy=_FORM)
    if body.startswith("//"):
        directory, colon, name = body[2:].partition(":")
        name = name if colon else directory.rpartition("/")[2]
    elif body.startswith(":") and package is not None:
        directory, name = package, body[1:]
    else:
        raise BadLabel(f"{text!r} is not a label", remedy=_FORM)
    _check(text, directory, name)
    return Label(directory, name, output if mark else None)


def parse_pattern(text: str, package: str = "") -> Pattern:
    """The pattern that a word of the command line says."""
    negative = text.startswith("-")
    body = text[1:] if negative else text
    if body.startswith("//") and (body.endswith("/...") or body == "//..."):
        directory = body[2:-3].rstrip("/")
        if directory:
            _check(text, directory, "all")
        return Pattern(directory, None, tree=True, negative=negative)
    if "#" in body:
        raise BadLabel(f"{text!r} names one output; the command line takes targets", remedy=_FORM)
    label = parse(body, package)
    if label.name == "all":
        return Pattern(label.package, None, negative=negative)
    return Pattern(label.package, label.name, negative=negative)


def _check(text: str, directory: str, name: str) -> None:
    if len(directory) > _LONGEST or max(map(len, (*directory.split("/"), name))) > _LONGEST_NAME:
        raise BadLabel(f"{text:.60}... is too long for a label: file systems take no such names", remedy=_FORM)
    for segment in directory.split("/") if directory else []:
        if segment in (".", "..") or not _SEGMENT.fullmatch(segment):
            raise BadLabel(f"{text!r} is not a label: {segment!r} is not a directory name", remedy=_FORM)
    if not _NAME.fullmatch(name):
        raise BadLabel(f"{text!r} is not a label: {name!r} is not a target name", remedy=_FORM)
