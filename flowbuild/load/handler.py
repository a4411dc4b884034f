"""A handler, as its source says it: which function, and which arguments it takes. No user code runs here.

Knows nothing of targets but the names that a handler will be given, and nothing of what it imports.

Shapes:  `file.py:function` (a file of the package) or `package.module:function` (installed).
Errors:  BadAttribute, BadPath, UnknownName; what `check` finds is returned, to be reported together.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from flowbuild.core.errors import BadAttribute, BadPath, FlowError, Location, UnknownName
from flowbuild.core.suggest import did_you_mean, nearest
from flowbuild.load.imports import place, tree
from flowbuild.load.scope import RESERVED_ARGUMENTS

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Handler:
    """The function that a target names: in a file of its package, or in an installed module."""

    function: str
    file: str | None = None
    module: str | None = None


def parse(text: str, location: Location | None = None) -> Handler:
    """The handler that an attribute names."""
    place, colon, function = text.rpartition(":")
    if not colon or not place or not function.isidentifier():
        raise BadAttribute(
            f"handler {text!r} is not `file.py:function` or `package.module:function`", location=location
        )
    if place.endswith(".py"):
        if place.startswith("/") or ".." in place.split("/"):
            raise BadPath(f"handler file {place!r} is not a file of this package", location=location)
        return Handler(function, file=place)
    if not all(part.isidentifier() for part in place.split(".")):
        raise BadAttribute(f"{place!r} is no dotted module name; a file ends in .py", location=location)
    return Handler(function, module=place)


class Use(NamedTuple):
    """One call of the handler's `context` whose key stands in the text."""

    method: str
    key: str
    where: Location


class Checked(NamedTuple):
    """What is wrong with a handler, which of `io`, `context` and `emit` it asks for, and its use of `context`."""

    faults: list[FlowError]
    doors: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()


def check(source: str, path: str, function: str, given: Iterable[str]) -> Checked:
    """What is wrong between a function and the names that it will be given."""
    parsed = tree(source, path)
    if isinstance(parsed, FlowError):
        return Checked([parsed])
    functions = {node.name: node for node in parsed.body if isinstance(node, Function)}
    if function not in functions:
        remedy = did_you_mean(function, functions) or "a handler is a `def` at the left margin"
        return Checked([UnknownName(f"{path} has no function {function}()", remedy=remedy)])
    node = functions[function]
    where = place(source, path, node)
    doors = sorted({argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)} & RESERVED_ARGUMENTS)
    uses = tuple(_uses(node, source, path)) if "context" in doors else ()
    return Checked([*_shape(node, where), *_arguments(node, where, sorted(given))], tuple(doors), uses)


def _uses(node: Function, source: str, path: str) -> Iterator[Use]:
    for call in ast.walk(node):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="context"), attr=method), args=[ast.Constant(value=str(key)), *_]
            ):
                yield Use(method, key, place(source, path, call))


def _shape(node: Function, where: Location) -> Iterator[FlowError]:
    """A handler is a plain function, called by keyword."""
    if isinstance(node, ast.AsyncFunctionDef):
        yield BadAttribute(f"{node.name}() is async; a handler is a plain function", location=where)
    if _yields(node):
        yield BadAttribute(f"{node.name}() is a generator; a handler is a plain function", location=where)
    for argument in node.args.posonlyargs:
        message = f"{node.name}() takes {argument.arg!r} by position only; arguments are passed by name"
        yield BadAttribute(message, remedy="remove the `/`", location=where)


def _arguments(node: Function, where: Location, given: list[str]) -> Iterator[FlowError]:
    arguments = node.args
    named = [argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)]
    position_only = {argument.arg for argument in arguments.posonlyargs}
    known = [name for name in named if name not in RESERVED_ARGUMENTS]
    meant = set()
    for name in given:
        if name in RESERVED_ARGUMENTS:
            yield BadAttribute(f"{name!r} is a reserved name", remedy="give it another name", location=where)
        elif name not in named and name not in position_only and arguments.kwarg is None:
            free = [argument for argument in known if argument not in given]
            meant.add(nearest(name, free))
            remedy = did_you_mean(name, free) if free else ""
            yield BadAttribute(f"{node.name}() has no argument {name!r}", remedy=remedy, location=where)
    for name in _required(arguments):
        if name not in given and name not in meant and name not in RESERVED_ARGUMENTS:
            remedy = f"declare it in inputs, outputs or `with`, or give {name} a default"
            yield BadAttribute(f"{node.name}() needs {name!r}", remedy=remedy, location=where)


def _required(arguments: ast.arguments) -> list[str]:
    """The names without a default, save position-only ones, which are refused anyway."""
    plain = arguments.args
    free = plain[: max(0, len(plain) - len(arguments.defaults))]
    only = [arg for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None]
    return [argument.arg for argument in (*free, *only)]


@lru_cache(maxsize=256)
def _yields(node: Function) -> bool:
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in _own(node))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, without the functions and classes inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (Function, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own(child)
