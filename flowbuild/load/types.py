"""The types of attributes: what each accepts, and the normal form that it gives.

Knows nothing of rules and targets. A check gives the normal value, or tells its caller what is wrong.

    string integer number boolean any      as in JSON           seconds   a number above zero
    enum      one of `values`                                   list      of `items`; map: names to `items`
    path      a file or `directory/`, from the workspace root   label     `//package:target` or with `#output`
    file      a path or a label                                 pointer   a JSON pointer, `/a/0`
    files     a file; a list of files and globs; or a glob, {"glob": [...], "exclude": [...], "optional": bool}
    inputs    names to files                                    outputs   names to paths in the output directory
    command   a list of words                                   env       names to values, null to pass through
    handler   `package/file.py:function` or `module:function`   word      text; an integer becomes its digits
    secrets   names of variables to versions, null for none

Errors:  through Checks: BadAttribute, BadLabel, BadPath, OutputClash.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flowbuild.core.errors import SecretsDetected
from flowbuild.core.suggest import did_you_mean
from flowbuild.load import file_types
from flowbuild.load.attribute import Attribute, Check, Checks
from flowbuild.load.expression import render
from flowbuild.load.path import check_path
from flowbuild.load.position import Pointer
from flowbuild.load.source import JSON
from flowbuild.load.words import split_words

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HANDLER = re.compile(r"(?P<file>.+\.py)?(?P<module>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)?:(?P<function>[A-Za-z_]\w*)", re.A)


class Type(NamedTuple):
    """A type: how messages say it, its check, and whether text may stand around an expression in it."""

    doc: str
    check: Check
    is_text: bool = False
    splits: bool = False  # a string of it is split into words, expressions and all


def _string(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if type(value) is int:
        return to.wrong(attribute, value, at, "quote it")
    return _word(to, attribute, value, at)


def _integer(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    return value if type(value) is int else to.wrong(attribute, value, at)


def _number(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    return value if type(value) in (int, float) else to.wrong(attribute, value, at)


def _boolean(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    return value if type(value) is bool else to.wrong(attribute, value, at, "write true or false")


def _seconds(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    return value if type(value) in (int, float) and value > 0 else to.wrong(attribute, value, at)


def _any(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    return value if to.names is None else render(value, to.names)


def _enum(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if type(value) is str and value in attribute.values:
        return value
    return to.wrong(attribute, value, at, did_you_mean(str(value), attribute.values))


def _list(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if type(value) is not list:
        return to.wrong(attribute, value, at, "write it as [one, two]")
    items = attribute.items or _ANY
    return [to.value(items, item, (*at, index)) for index, item in enumerate(value)]


def _map(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if type(value) is not dict:
        return to.wrong(attribute, value, at)
    items = attribute.items or _ANY
    return {key: to.value(items, item, (*at, key)) for key, item in value.items()}


def _word(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        return to.wrong(attribute, value, at, "quote it" if value is not None else "")
    if "\0" in value:
        to.fault(at, f"{attribute.name!r} holds the character U+0000")
    return value


def _command(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    words: list[str] = []
    if type(value) is str:
        words = split_words(value)
    elif type(value) is list:
        words = [_word(to, _WORD, word, (*at, index)) for index, word in enumerate(value)]
    else:
        return to.wrong(attribute, value, at)
    if not words or not words[0]:
        to.fault(at, f"{attribute.name!r} names no program")
    return words


def _env(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if type(value) is list:
        for index, name in enumerate(value):
            if type(name) is not str or not _VARIABLE.fullmatch(name):
                to.fault((*at, index), f"{name!r} is not the name of a variable")
        return dict.fromkeys(map(str, value))
    if type(value) is not dict:
        return to.wrong(attribute, value, at)
    done: dict[str, JSON] = {}
    for name, item in value.items():
        if not _VARIABLE.fullmatch(name):
            to.fault((*at, name), f"{name!r} is not the name of a variable", key=True)
        done[name] = None if item is None else to.value(_VALUE, item, (*at, name))
    return done


def _secrets(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    if to.names is not None or type(value) is not dict:
        return value if to.names is not None else _env(to, attribute, value, at)
    found: dict[str, JSON] = {}
    for name, item in value.items():
        if item is not None and not (type(item) is dict and item.keys() == {"version"}):
            to.fault((*at, name), f"{name!r} is a name only", "write {NAME: {version: 1}}", SecretsDetected)
        found[name] = item["version"] if type(item) is dict and "version" in item else None
    return _env(to, attribute, found, at)


def _handler(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    found = _HANDLER.fullmatch(value) if type(value) is str else None
    if not found or bool(found["file"]) == bool(found["module"]):
        return to.wrong(attribute, value, at, "write file.py:function, or package.module:function")
    if not found["file"] or to.names is not None:
        return value
    return f"{check_path(to.package, found['file'])}:{found['function']}"


def _pointer(to: Checks, attribute: Attribute, value: JSON, at: Pointer) -> JSON:
    is_one = type(value) is str and (value == "" or value.startswith("/")) and not re.search("~(?![01])", value)
    return value if is_one else to.wrong(attribute, value, at, "write it like /a/0/b")


# A test asserts that the docstring and this table name the same types.
TYPES: dict[str, Type] = {
    "any": Type("any value", _any, is_text=True),
    "boolean": Type("a boolean", _boolean),
    "command": Type("a command: a string, or a list of words", _command, splits=True),
    "enum": Type("one of a few words", _enum),
    "env": Type("a list of variables to pass through, or a mapping of names to values", _env),
    "file": Type("a path or a label", file_types.file, is_text=True),
    "files": Type("a path, a label, a list of them, or a {glob: ...}", file_types.files, is_text=True),
    "handler": Type("a handler: file.py:function or module:function", _handler, is_text=True),
    "inputs": Type("a mapping of names to files", file_types.inputs),
    "integer": Type("an integer", _integer),
    "label": Type("a label", file_types.label, is_text=True),
    "list": Type("a list", _list),
    "map": Type("a mapping", _map),
    "number": Type("a number", _number),
    "outputs": Type("a mapping of names to paths", file_types.outputs),
    "path": Type("a path", file_types.path, is_text=True),
    "pointer": Type("a JSON pointer", _pointer, is_text=True),
    "seconds": Type("a number of seconds above zero", _seconds),
    "secrets": Type("a list of variables, or a mapping of their names to {version: ...}", _secrets),
    "string": Type("a string", _string, is_text=True),
    "word": Type("text or an integer", _word, is_text=True),
    "output": Type("a path below the target's output directory", file_types.output, is_text=True),
}

_ANY = Attribute("item", "any")
_VALUE = Attribute("value", "word")
_WORD = Attribute("word", "word")
