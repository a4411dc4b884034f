"""References in a flow: `$input.<dotted>` and `$step.<name>[.<dotted>]`, where a whole value is one.

Knows nothing of flows or of where values come from. What a path does not lead to is null; text that is no reference
stays as it is.

Source:  seed 000; CONTRACTS, 000.2. A switch writes `$step.x` as `$.vars.x`, `$input.x` as `$.inputs.x`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

INPUT, STEP, VARS = "$input.", "$step.", "$.vars."

_PREFIXES = ((INPUT, "input"), ("$.inputs.", "input"), (STEP, "step"), (VARS, "step"))


class Reference(NamedTuple):
    """What a text refers to: `input` or `step`, its name, and the rest of the path."""

    kind: str
    name: str
    path: str


def parsed(text: Any) -> Reference | None:
    """The reference that a value is; None for every other value."""
    if isinstance(text, str):
        for prefix, kind in _PREFIXES:
            if text.startswith(prefix):
                name, _, path = text.removeprefix(prefix).partition(".")
                return Reference(kind, name, path)
    return None


def references(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[Reference, tuple[str | int, ...]]]:
    """Every reference in a value, with its place."""
    found = parsed(value)
    if found is not None:
        yield found, at
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from references(one, (*at, key))
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from references(one, (*at, index))


def replaced(value: Any, known: Mapping[str, Mapping[str, Any]], later: Collection[str] = ()) -> Any:
    """A value whose references are replaced by what they lead to, `known` by kind and name.

    A kind that is not known, and an input that will be known `later`, stay.
    """
    found = parsed(value)
    if found is not None:
        if found.kind not in known or (found.kind == "input" and found.name in later):
            return value
        return looked_up(known[found.kind].get(found.name), found.path)
    if isinstance(value, Mapping):
        return {key: replaced(one, known, later) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(one, known, later) for one in value]
    return value


def looked_up(value: Any, path: str) -> Any:
    """What a dotted path leads to; null where it leads nowhere."""
    for part in path.split(".") if path else ():
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
