"""JSON Schemas of what people write: a BUILD.yaml, a flowbuild.yaml, and a target of each rule.

Knows nothing of files. A schema never refuses what the loader accepts; what only the loader can know (whether a name in
an expression exists, clashes, what is on disk, most of a path's spelling) it leaves to the loader. A test holds both
to a corpus.

Shapes:  JSON Schema 2020-12 as dicts. Null counts as not given, so an optional value may be null. Where the loader
         takes an expression in a value that is no text, the schema takes a string that is one whole expression.
Errors:  none; `TYPES` and SHAPES name the same types, which a test asserts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbuild.load.attribute import NAME, Attribute
from flowbuild.load.config import SETTINGS
from flowbuild.load.rule import UNIVERSAL, Rule
from flowbuild.load.types import TYPES

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Schema = {"type": "string"}
_WORD: Schema = {"type": ["string", "integer"]}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_NULL: Schema = {"type": "null"}
_WHOLE: Schema = {"type": "string", "pattern": r"^\$\{\{[\s\S]*\}\}$"}
_NAMES: Schema = {"pattern": f"^{NAME.pattern}$"}
_VARIABLES: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
_TARGETS: Schema = {"pattern": "^[A-Za-z0-9_+=,@~-][A-Za-z0-9_+=,@~.-]*$", "not": {"const": "all"}}


def _matching(pattern: str) -> Schema:
    """Text of this form, or with an expression somewhere, whose value only the loader will know."""
    return {"type": "string", "pattern": rf"{pattern}|\$\{{\{{"}


_OUTPUT = _matching("^[^/]")
_GLOB: Schema = {
    "type": "object",
    "required": ["glob"],
    "additionalProperties": False,
    "properties": {
        "glob": {"anyOf": [{"type": "string", "minLength": 1}, {**_TEXTS, "minItems": 1}]},
        "exclude": {"anyOf": [_TEXT, _TEXTS, _NULL]},
        "optional": {"type": "boolean"},
    },
}
_FILES: Schema = {"anyOf": [_TEXT, _GLOB, {"type": "array", "items": {"anyOf": [_TEXT, _GLOB]}}]}

# What a value of each type looks like. An enum, a list and a map say more by their attribute.
SHAPES: Mapping[str, Schema] = {
    "any": {},
    "boolean": {"type": "boolean"},
    "command": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": _WORD, "minItems": 1}]},
    "enum": {},
    "env": {
        "anyOf": [
            {"type": "array", "items": _VARIABLES},
            {
                "type": "object",
                "propertyNames": _VARIABLES,
                "additionalProperties": {"type": ["string", "integer", "null"]},
            },
        ]
    },
    "file": _TEXT,
    "files": _FILES,
    "handler": _matching("^.+:[A-Za-z_][A-Za-z0-9_]*$"),
    "inputs": {"type": "object", "propertyNames": _NAMES, "additionalProperties": _FILES},
    "integer": {"type": "integer"},
    "label": _matching("^(//|:)"),
    "list": {"type": "array"},
    "map": {"type": "object"},
    "number": {"type": "number"},
    "output": _OUTPUT,
    "outputs": {"type": "object", "propertyNames": _NAMES, "additionalProperties": _OUTPUT},
    "path": _matching("^[^/:]"),
    "pointer": _matching("^$|^/"),
    "seconds": {"type": "number", "exclusiveMinimum": 0},
    "secrets": {
        "anyOf": [
            {"type": "array", "items": _VARIABLES},
            {
                "type": "object",
                "propertyNames": _VARIABLES,
                "additionalProperties": {
                    "type": ["object", "null"],
                    "required": ["version"],
                    "additionalProperties": False,
                    "properties": {"version": _WORD},
                },
            },
        ]
    },
    "string": _TEXT,
    "word": _WORD,
}


def value_schema(attribute: Attribute, *, expressions: bool = True) -> Schema:
    """A value of an attribute that is given."""
    shape = dict(SHAPES[attribute.type])
    if attribute.type == "enum":
        shape["enum"] = list(attribute.values)
    elif attribute.items is not None:
        key = "items" if attribute.type == "list" else "additionalProperties"
        shape[key] = value_schema(attribute.items, expressions=expressions)
    kind = TYPES[attribute.type]
    takes = expressions and not attribute.literal and not kind.is_text and not kind.splits
    return {"anyOf": [shape, _WHOLE]} if takes else shape


def fields_schema(attributes: Mapping[str, Attribute], *, expressions: bool = True) -> Schema:
    """A mapping whose keys are attributes, and no others."""
    properties: Schema = {}
    for name, one in attributes.items():
        shape = value_schema(one, expressions=expressions)
        if not one.required:
            shape = {"anyOf": [shape, _NULL]} if shape else {}
        said: Schema = {"description": one.doc} if one.doc else {}
        # An empty default says no more than the type does.
        said |= {"default": one.default} if one.default not in (None, "", [], {}) else {}
        properties[name] = {**said, **shape}
    required = [name for name, one in attributes.items() if one.required]
    more: Schema = {"required": required} if required else {}
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def rule_schema(rule: Rule) -> Schema:
    """One target of a rule."""
    schema = fields_schema({**UNIVERSAL, **rule.attributes})
    schema["properties"]["rule"] = {"description": UNIVERSAL["rule"].doc, "const": rule.name}
    schema["properties"]["params"] = _params()
    if rule.one_of:
        given = [{"required": [name], "properties": {name: {"not": _NULL}}} for name in rule.one_of]
        schema["oneOf"] = given
    return {"description": rule.doc, **schema}


def _params() -> Schema:
    plain = {"type": ["string", "number", "boolean"]}
    long = {
        "type": "object",
        "required": ["default"],
        "additionalProperties": False,
        "properties": {
            "type": {"enum": ["boolean", "enum", "integer", "number", "string", None]},
            "default": plain,
            "doc": {"type": ["string", "null"]},
            "values": {"anyOf": [_TEXTS, _NULL]},
        },
    }
    params = {"type": "object", "propertyNames": _NAMES, "additionalProperties": {"anyOf": [plain, long]}}
    return {"description": UNIVERSAL["params"].doc, "anyOf": [params, _NULL]}


def build_schema(rules: Mapping[str, Rule]) -> Schema:
    """A BUILD.yaml of a workspace that has these rules."""
    names = sorted(rules)
    chosen = [
        {"if": {"properties": {"rule": {"const": name}}, "required": ["rule"]}, "then": {"$ref": f"#/$defs/{name}"}}
        for name in names
    ]
    target = {"type": "object", "required": ["rule"], "properties": {"rule": {"enum": names}}, "allOf": chosen}
    targets = {"type": "object", "propertyNames": _TARGETS, "additionalProperties": target}
    return {
        "$schema": DIALECT,
        "title": "BUILD.yaml",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "doc": {"description": "What the package is, for people.", "type": ["string", "null"]},
            "targets": {"description": "What the package declares.", "anyOf": [targets, _NULL]},
        },
        "$defs": {name: rule_schema(rules[name]) for name in names},
    }


def workspace_schema() -> Schema:
    """A flowbuild.yaml."""
    schema = fields_schema(SETTINGS[""], expressions=False)
    for name, section in SETTINGS.items():
        if name:
            inner = {"anyOf": [fields_schema(section, expressions=False), _NULL]}
            schema["properties"][name] = {"description": SETTINGS[""][name].doc, **inner}
    pools = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}
    schema["properties"]["pools"] = {"description": SETTINGS[""]["pools"].doc, "anyOf": [pools, _NULL]}
    schema["type"] = ["object", "null"]
    return {"$schema": DIALECT, "title": "flowbuild.yaml", **schema}


def schemas(rules: Mapping[str, Rule]) -> dict[str, Schema]:
    """Every schema by its name: `build`, `workspace`, and each rule."""
    each = {name: {"$schema": DIALECT, "title": f"rule {name}", **rule_schema(rules[name])} for name in sorted(rules)}
    return {**each, "build": build_schema(rules), "workspace": workspace_schema()}
