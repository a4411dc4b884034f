"""Templates: what `flowbuild new` makes new files from, as data.

Knows nothing of how the files are rendered or written. A template is a directory `templates/<name>/` with its files,
and a `template.yaml` that is none of them:

    doc: A Python pipeline.              # what `flowbuild list templates` prints
    place: package                       # where its files go: package, root or workspace
    params:                              # what `-D name=value` sets
      name: {type: string, default: top, pattern: "[a-z]+", doc: ...}
    next: ["flowbuild test ${{ new.label }}:all"]     # what to type then

A param without a default has to be given. A default may use the params above it.

Shapes:  Template and TemplateParam. `path` is the template's directory.
Errors:  BadYaml, BadAttribute, BadExpression, UnknownName: all of the file at once, each with its place.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowbuild.core.errors import BadAttribute, UnknownName
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attribute import NAME, NAME_FORM
from flowbuild.load.attributes import Attribute, Checker
from flowbuild.load.document import parse_file
from flowbuild.load.glob import list_directory
from flowbuild.load.position import Pointer, raise_found
from flowbuild.load.scope import check_names
from flowbuild.load.source import JSON
from flowbuild.load.workspace import TEMPLATE_FILE, TEMPLATES, Workspace, shipped

# What every template knows beside its params: the last name of the new directory, and its label up to the colon.
GIVEN = ("directory", "label")
PLACES = ("package", "root", "workspace")

_WORD = Attribute("item", "string")
_TYPES = ("boolean", "enum", "integer", "number", "string")
_TEMPLATE: dict[str, Attribute] = {
    "doc": Attribute("doc", "string", "what it makes", required=True),
    "place": Attribute("place", "enum", "where its files go", default="package", values=PLACES),
    "params": Attribute("params", "map", default={}),
    "next": Attribute("next", "list", default=[], items=_WORD),
}
_PARAM: dict[str, Attribute] = {
    "type": Attribute("type", "enum", "what it holds", default="string", values=_TYPES),
    "default": Attribute("default", "any"),
    "doc": Attribute("doc", "string", default=""),
    "values": Attribute("values", "list", default=[], items=_WORD),
    "pattern": Attribute("pattern", "string", "a regular expression that the whole value matches"),
}


@dataclass(frozen=True, slots=True)
class TemplateParam:
    """One value that `-D` sets. Without a default it has to be given."""

    name: str
    type: str
    default: JSON
    doc: str
    values: tuple[str, ...]
    pattern: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """See the module. `shown` is how messages name its directory."""

    name: str
    doc: str
    place: str
    params: Mapping[str, TemplateParam]
    next: tuple[str, ...]
    path: Path
    shown: str


def find_templates(workspace: Workspace | None) -> dict[str, tuple[Path, str]]:
    """The directory of each template that ships, and of the workspace's own, by name; and how messages show it."""
    home = shipped(TEMPLATES)
    found = {name: (home / name, f"<flowbuild>/{TEMPLATES}/{name}") for name in _names(home)}
    own = workspace.root / TEMPLATES if workspace else home
    if not os.path.isdir(own) or os.path.samefile(own, home):
        return found
    for name in _names(own):
        if name in found:
            problem = f"{TEMPLATES}/{name}: the template {name!r} ships with flowbuild"
            raise BadAttribute(problem, remedy="name it otherwise")
        found[name] = (own / name, f"{TEMPLATES}/{name}")
    return found


def load_template(name: str, workspace: Workspace | None) -> Template:
    """The template of a name."""
    known = find_templates(workspace)
    if name not in known:
        raise UnknownName(f"there is no template {name!r}", remedy=did_you_mean(name, known))
    path, shown = known[name]
    file = path / TEMPLATE_FILE
    doc = parse_file(file, f"{shown}/{TEMPLATE_FILE}").doc
    to = Checker("")
    top = to.fields(_TEMPLATE, doc, (), "a template")
    params: dict[str, TemplateParam] = {}
    given = top["params"] if isinstance(top["params"], dict) else {}
    for key, spec in given.items():
        params[key] = _param(to, key, spec, [*GIVEN, *params])
    words = top["next"] if isinstance(top["next"], list) else []
    check_names(to, words, ("next",), {"new": [*GIVEN, *params]}, {})
    raise_found(to.findings, file, f"{shown}/{TEMPLATE_FILE}")
    return Template(name, str(top["doc"]).strip(), str(top["place"]), params, tuple(map(str, words)), path, shown)


def _param(to: Checker, name: str, spec: JSON, above: list[str]) -> TemplateParam:
    at: Pointer = ("params", name)
    if name in GIVEN:
        to.fault(at, f"every template has {name!r} already", "name it otherwise", key=True)
    elif not NAME.fullmatch(name):
        to.fault(at, f"{name!r} is not the name of a param", NAME_FORM, key=True)
    found = to.fields(_PARAM, {} if spec is None else spec, at, f"the param {name!r}")
    values = tuple(map(str, found["values"])) if isinstance(found["values"], list) else ()
    kind = found["type"] if found["type"] in _TYPES else "string"
    if (kind == "enum") != bool(values):
        to.fault(at, f"{name!r}: `values` belongs to type enum, and enum needs it", key=True)
        kind = "string"
    if found["pattern"] is not None:
        _check_pattern(to, kind, str(found["pattern"]), (*at, "pattern"))
    default = found["default"]
    if default is not None:
        to.value(Attribute(name, str(kind), values=values), default, (*at, "default"))
        check_names(to, default, (*at, "default"), {"new": above}, {})
    pattern = None if found["pattern"] is None else str(found["pattern"])
    return TemplateParam(name, str(kind), default, str(found["doc"]), values, pattern)


def _check_pattern(to: Checker, kind: JSON, pattern: str, at: Pointer) -> None:
    if kind != "string":
        to.fault(at, "only text has a pattern", key=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # another Python would take it for another expression
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        to.fault(at, f"{pattern[:60]!r} is not a regular expression: {error}")


def _names(home: Path) -> list[str]:
    return [entry.name for entry in list_directory(home) if os.path.isfile(home / entry.name / TEMPLATE_FILE)]
