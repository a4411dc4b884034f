"""The filters, tests and operators of expressions, each with a bound on what it makes.

Knows nothing of Jinja2 but its undefined value: these are plain functions over JSON values. What can grow beyond its
arguments (`join`, `replace`, text times a number) is measured before it is made; everything else after.

Shapes:  text up to MAX_TEXT characters, lists and mappings up to MAX_ITEMS values all told, integers up to 2^53-1.
Errors:  Refused, with what is wrong and without the expression, which the caller knows.
Source:  names and arguments as in Jinja2, where it has them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from jinja2 import Undefined

from flowbuild.core.canonical import MAX_INTEGER, canonical
from flowbuild.load.expression import MAX_TEXT

MAX_ITEMS = 20_000

Number = int | float


class Refused(Exception):
    """An operation that its arguments do not allow."""


def bounded(value: Any) -> Any:
    """A result as JSON, or Refused when it is too large. What is not JSON is the caller's own and passes."""
    characters, items = 0, 0

    def walk(item: Any) -> Any:
        nonlocal characters, items
        items += 1
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, int | float) and not _is_number(item):
            raise Refused("the number is too large")
        if characters > MAX_TEXT or items > MAX_ITEMS:
            raise Refused(f"the value has more than {MAX_TEXT:,} characters or {MAX_ITEMS:,} items")
        if isinstance(item, list | tuple):
            return [walk(part) for part in item]
        if isinstance(item, Mapping):
            return {walk(key): walk(part) for key, part in item.items()}
        return item

    return walk(value)


def numbers(*bounds: Any) -> list[int]:
    """`range(stop)`, `range(start, stop, step)`, as a list."""
    if not 1 <= len(bounds) <= 3 or any(type(n) is not int for n in bounds):
        raise Refused("range takes one to three integers")
    found = range(*bounds)
    # The length of a huge range is itself an error.
    if not all(map(_is_number, bounds)) or len(found) > MAX_ITEMS // 2:
        raise Refused(f"the range has more than {MAX_ITEMS // 2:,} numbers")
    return list(found)


def concatenated(parts: list[Any]) -> str:
    """`a ~ b ~ c`: the parts as one text."""
    return joined(parts)


def joined(value: Any, between: str = "") -> str:
    """`join`: the items as one text, with something between them."""
    texts, between = [_text(item) for item in _items(value)], _text(between)
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_TEXT:
        raise Refused(f"the text has more than {MAX_TEXT:,} characters")
    return between.join(texts)


def replaced(value: Any, old: str, new: str) -> str:
    """`replace`: every `old` in a text as `new`."""
    text, old, new = _text(value), _text(old), _text(new)
    if len(text) + text.count(old) * len(new) > MAX_TEXT:
        raise Refused(f"the text has more than {MAX_TEXT:,} characters")
    return text.replace(old, new)


def default(value: Any, instead: Any = "", boolean: bool = False) -> Any:
    """`default`: another value for a name that is not there, or with `true` for any that counts as false."""
    return instead if isinstance(value, Undefined) or (boolean and not value) else value


def _is_number(value: Any) -> bool:
    return math.isfinite(value) if isinstance(value, float) else abs(value) <= MAX_INTEGER


def _number(value: Any) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{_kind(value)} is not a number")
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return canonical(value).decode()
    raise Refused(f"{_kind(value)} is not text")


def _items(value: Any) -> list[Any]:
    if isinstance(value, list | tuple | str | Mapping):
        return list(value)
    raise Refused(f"{_kind(value)} is not a list")


def _kind(value: Any) -> str:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return "null" if value is None else {str: "a string", bool: "a boolean"}.get(type(value), repr(value)[:60])


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    return _number(left) + _number(right)


def _whole(value: Any) -> int:
    text = _text(value)
    if len(text) > 20:
        raise Refused("the number is too large")
    return int(float(text)) if isinstance(value, float) else int(text)


def _unique(value: Any) -> list[Any]:
    return list({canonical(item): item for item in _items(value)}.values())


def _arithmetic(act: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: act(_number(left), _number(right))


def _bound(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(value: Any, *args: Any, **named: Any) -> Any:
        if isinstance(value, Undefined) and function is not default:
            value._fail_with_undefined_error()
        return bounded(function(value, *args, **named))

    return call


# `*` and `%` are for numbers only: on text they are a repetition and a format, whose size one number decides.
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": _bound(_add),
    "-": _bound(_arithmetic(operator.sub)),
    "*": _bound(_arithmetic(operator.mul)),
    "/": _bound(_arithmetic(operator.truediv)),
    "//": _bound(_arithmetic(operator.floordiv)),
    "%": _bound(_arithmetic(operator.mod)),
}

_FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda value: abs(_number(value)),
    "capitalize": lambda value: _text(value).capitalize(),
    "concatenated": concatenated,
    "default": default,
    "first": lambda value: _items(value)[0],
    "float": lambda value: float(_text(value)),
    "int": _whole,
    "join": joined,
    "last": lambda value: _items(value)[-1],
    "length": lambda value: len(_items(value)),
    "list": _items,
    "lower": lambda value: _text(value).lower(),
    "max": lambda value: max(_items(value)),
    "min": lambda value: min(_items(value)),
    "replace": replaced,
    "reverse": lambda value: value[::-1] if isinstance(value, str) else _items(value)[::-1],
    "round": lambda value, digits=0: round(_number(value), digits) if digits else round(_number(value)),
    "sort": lambda value: sorted(_items(value)),
    "split": lambda value, between=None: _text(value).split(between),
    "string": _text,
    "title": lambda value: _text(value).title(),
    "tojson": lambda value: canonical(value).decode(),
    "trim": lambda value: _text(value).strip(),
    "unique": _unique,
    "upper": lambda value: _text(value).upper(),
}
FILTERS = {name: _bound(function) for name, function in _FILTERS.items()}

TESTS: dict[str, Callable[..., bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "defined": lambda value: not isinstance(value, Undefined),
    "even": lambda value: _number(value) % 2 == 0,
    "in": lambda value, among: value in among,
    "mapping": lambda value: isinstance(value, Mapping),
    "none": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "odd": lambda value: _number(value) % 2 == 1,
    "sequence": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "undefined": lambda value: isinstance(value, Undefined),
}
