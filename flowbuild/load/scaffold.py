"""A template and its values to files: names and texts rendered, nothing written.

Knows nothing of what is on disk but the template's own directory. In a template, an expression that uses the name
`new` is rendered, and every other stays as it is: it belongs to the file that is made, as `${{ inputs.names }}` does in
a BUILD.yaml. A file that is no UTF-8 text is copied as it is.

Shapes:  NewFile; paths are relative, with `/`, and none leads out of the directory that they are put into.
Errors:  BadFlag for a value, all of them at once; BadExpression with the file and line; BadPath for a name;
         OutputClash for two files in one place; DiskRefused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from flowbuild.core.errors import (
    BadExpression,
    BadFlag,
    BadPath,
    FlowError,
    Location,
    OutputClash,
    UserError,
    raise_all,
)
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attributes import Attribute, check_value
from flowbuild.load.expression import as_text, evaluate, render, split, used
from flowbuild.load.file_types import overlap
from flowbuild.load.glob import list_directory
from flowbuild.load.path import check_output
from flowbuild.load.scalar import resolve
from flowbuild.load.source import JSON
from flowbuild.load.template import Template, TemplateParam
from flowbuild.load.workspace import TEMPLATE_FILE
from flowbuild.store.refusal import refused

Values = Mapping[str, JSON]

_OURS = re.compile(r"\bnew\s*[.\[]")  # what may be ours; the names in it decide
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LEFT_OUT = ("__pycache__", ".DS_Store")  # what an installer or a file browser leaves
_FORBIDDEN = ("", ".", "..", ".git", ".flowbuild")


class NewFile(NamedTuple):
    """One file to be: where, its bytes, and whether it is executable."""

    path: str
    data: bytes
    executable: bool


def values(template: Template, given: Sequence[str], fixed: Mapping[str, str]) -> Values:
    """The value of everything that the template's expressions may name: `fixed`, then each param."""
    texts: dict[str, str] = {}
    faults: list[FlowError] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            faults.append(BadFlag(f"-D {text}: a value is missing", remedy="write -D name=value"))
        elif name not in template.params:
            known = did_you_mean(name, template.params) or f"the template {template.name!r} has no params"
            faults.append(BadFlag(f"-D {text}: there is no param {name!r}", remedy=known))
        else:
            texts[name] = value
    done: dict[str, JSON] = dict(fixed)
    for param in template.params.values():
        try:
            done[param.name] = _value(template, param, texts.get(param.name), done)
        except UserError as fault:
            if not faults or not isinstance(fault, BadExpression):  # a default may only lack what is missing above
                faults.append(fault)
    raise_all(faults)
    return done


def _value(template: Template, param: TemplateParam, text: str | None, above: Values) -> JSON:
    if text is None:
        if param.default is None:
            said = f": {param.doc}" if param.doc else ""
            raise BadFlag(f"the template {template.name!r} needs {param.name!r}{said}", remedy=f"-D {param.name}=...")
        given, shown = render(param.default, {"new": above}), f"{param.name!r} by default"
    else:
        given, shown = text, f"-D {param.name}={text!r}"
    try:
        if text is not None and param.type in ("boolean", "integer", "number"):
            given = resolve(text)
        value = check_value(Attribute(param.name, param.type, values=param.values), given)
    except (UserError, ValueError) as error:
        raise BadFlag(f"{shown}: {error}") from None
    if isinstance(value, str) and _CONTROL.search(value):
        raise BadFlag(f"{shown}: a value is one line, without control characters")
    if param.pattern is not None and not re.fullmatch(param.pattern, str(value)):
        problem = f"{shown}: {value!r} does not match {param.pattern}"
        raise BadFlag(problem, remedy=f"-D {param.name}=..." if text is None else "")
    return value


def scaffold(template: Template, known: Values) -> list[NewFile]:
    """Every file of a template, in order of path."""
    # By segments, so that a directory stands right before what is in it.
    files = sorted(_files(template, template.path, "", known), key=lambda file: file.path.casefold().split("/"))
    for file, after in pairwise(files):
        if overlap(file.path, after.path):
            raise OutputClash(f"{template.shown}: {file.path!r} and {after.path!r} would lie in one place")
    return files


def next_steps(template: Template, known: Values) -> list[str]:
    """What to type when the files are there."""
    return [_text(line, known, f"{template.shown}/{TEMPLATE_FILE}") for line in template.next]


def _files(template: Template, directory: Path, into: str, known: Values) -> Iterator[NewFile]:
    for entry in list_directory(directory):
        shown = f"{template.shown}/{os.path.relpath(entry.path, template.path)}"
        if entry.name in _LEFT_OUT or (not into and entry.name == TEMPLATE_FILE):
            continue
        path = into + _name(entry.name, known, shown)
        if entry.is_dir(follow_symlinks=False):
            yield from _files(template, Path(entry.path), f"{path}/", known)
        elif entry.is_file(follow_symlinks=False):
            with refused(entry.path), open(entry.path, "rb") as file:
                data, mode = file.read(), os.fstat(file.fileno()).st_mode
            yield NewFile(check_output(path), _data(data, known, shown), bool(mode & stat.S_IXUSR))
        else:
            raise BadPath(f"{shown}: a template holds files and directories, and nothing else")


def _name(name: str, known: Values, shown: str) -> str:
    """One name, rendered: still one name, and none that means another place."""
    done = _text(name, known, shown)
    if done != name and ("/" in done or "\\" in done or done.casefold() in _FORBIDDEN):
        raise BadPath(f"{shown}: {done!r} is not the name of a file", remedy="choose another value with -D")
    return done


def _data(data: bytes, known: Values, shown: str) -> bytes:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    return _text(text, known, shown).encode() if "${{" in text else data


def _text(text: str, known: Values, shown: str) -> str:
    done: list[str] = []
    at = 0
    try:
        for written, body in split(text):
            done.append(_part(written, body, known))
            at += len(written)
    except UserError as error:
        where = Location(shown, text.count("\n", 0, text.find("${{", at)) + 1)
        raise type(error)(error.message, remedy=error.remedy, location=where) from None
    return "".join(done)


def _part(written: str, body: str | None, known: Values) -> str:
    if body is None or not _OURS.search(body):
        return written
    roots = {path.partition(".")[0] for path in used(body)}
    if "new" not in roots:
        return written
    if roots != {"new"}:
        raise BadExpression(f"{written}: `new` stands with names that nobody knows yet", remedy="use `new` alone")
    names: Mapping[str, Any] = {"new": known}
    return as_text(evaluate(body, names), written)
