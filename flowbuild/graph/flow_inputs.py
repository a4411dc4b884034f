"""The inputs of a flow: the types that its schema names, and the values of one run.

Knows nothing of where values come from.

Shapes:  an inputs schema maps names to {"type", "default", "doc"}. `string`, `number`, `integer`, `boolean`, `object`,
         `array`, `list` and `list<...>` are checked; other words are for people, and every value fits them.
Errors:  BadFlow for every value that does not fit, and for names that the flow has not.
Source:  seed 000; CONTRACTS, 000.3: types like `list<string>` are not JSON Schema's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowbuild.core.errors import BadFlow, raise_all
from flowbuild.core.suggest import did_you_mean

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "list": (list,),
}


def values(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of one run: what is given, else the default, else null."""
    faults = []
    for name, value in given.items():
        if schema and name not in schema:
            faults.append(BadFlow(f"the flow has no input {name!r}", remedy=did_you_mean(name, schema)))
        elif not fits(value, type_of(schema.get(name))):
            faults.append(BadFlow(f"the input {name!r} is {type_of(schema[name])}, and {json.dumps(value)} is not"))
    raise_all(faults)
    defaults = {name: spec.get("default") for name, spec in schema.items() if isinstance(spec, Mapping)}
    return {**defaults, **given}


def type_of(spec: Any) -> str:
    """The word for the type of an input."""
    return str(spec.get("type", "")) if isinstance(spec, Mapping) else ""


def fits(value: Any, word: str) -> bool:
    """Whether a value is of a type."""
    if word.startswith("list<") and word.endswith(">"):
        return isinstance(value, list) and all(fits(one, word[5:-1]) for one in value)
    kinds = TYPES.get(word)
    return kinds is None or (isinstance(value, kinds) and (kinds == (bool,) or not isinstance(value, bool)))
