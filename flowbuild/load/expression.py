"""Expressions in values: `${{ ... }}`, found, rendered, and read for the names that they use.

Knows nothing of what the names mean. An expression that is only a dotted name, as nearly all are, is looked up
directly; the rest goes to Jinja2 in `sandbox`, imported then. A test holds the two roads equal.

Shapes:  a value that is one whole expression keeps the type of what it names; inside text a string stands as it is,
         a number and a boolean in JSON's spelling, a list as its items with spaces between. To write the three
         characters themselves: `${{ '${{' }}`. Names hold JSON, or objects of the caller's whose class lists in
         `expression_names` which of their attributes an expression sees.
Errors:  BadExpression with the expression's text, and the nearest known name.
Source:  the form is that of GitHub Actions; the language inside is Jinja2's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from flowbuild.core.canonical import canonical
from flowbuild.core.errors import BadExpression
from flowbuild.core.suggest import did_you_mean

MAX_EXPRESSION = 2_000  # characters
MAX_TEXT = 2**20  # characters of a rendered value

# A quoted string may hold the two braces that would end the expression.
_BODY = re.compile(r"""\$\{\{((?:[^'"}]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\}(?!\}))*)\}\}""", re.DOTALL)
_DOTTED = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*")
_WORDS = frozenset({"true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"})

Names = Mapping[str, Any]


def has_expression(text: str) -> bool:
    """Whether a text holds an expression."""
    return "${{" in text


def is_whole(text: str) -> bool:
    """Whether a text is one expression and nothing else, so that its value keeps its type."""
    return text.startswith("${{") and [body is not None for _, body in split(text)] == [True]


def split(text: str) -> Iterator[tuple[str, str | None]]:
    """The parts of a text: (plain text, None) or (the expression as written, what stands between its braces)."""
    start = 0
    while (at := text.find("${{", start)) >= 0:
        found = _BODY.match(text, at)
        if found is None:
            shown = text[at : at + 60]
            raise BadExpression(f"{shown!r}: an expression is opened and never closed", remedy="close it with '}}'")
        if at > start:
            yield text[start:at], None
        yield found.group(), found.group(1)
        start = found.end()
    if start < len(text):
        yield text[start:], None


def render(value: Any, names: Names) -> Any:
    """A JSON value with every expression in its strings rendered, keys excepted."""
    if isinstance(value, str):
        return render_text(value, names) if "${{" in value else value
    if isinstance(value, Mapping):
        return {key: render(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, names) for item in value]
    return value


def render_text(text: str, names: Names) -> Any:
    """One string with its expressions rendered; one whole expression keeps its type."""
    parts = _parts(text)
    if len(parts) == 1 and parts[0][1] is not None:
        return evaluate(parts[0][1], names)
    return joined(parts, names, as_text)


# The texts of a rule file are rendered for each of its targets: what they consist of is found once.
@lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[tuple[str, str | None], ...]:
    return tuple(split(text))


@lru_cache(maxsize=4096)
def _path(body: str) -> tuple[str, ...] | None:
    """The words of an expression that is only a dotted name; None for any other."""
    found = _DOTTED.fullmatch(body)
    path = tuple(found.group(1).split(".")) if found else ("not",)
    return None if path[0] in _WORDS else path


def joined(parts: Sequence[tuple[str, str | None]], names: Names, spell: Callable[[Any, str], str]) -> str:
    """The text that parts make, each expression's value spelt by the caller."""
    done: list[str] = []
    room = MAX_TEXT
    for written, body in parts:
        done.append(written if body is None else spell(evaluate(body, names), written))
        room -= len(done[-1])
        if room < 0:
            raise BadExpression(f"{written[:60]!r}: the rendered text is longer than {MAX_TEXT:,} characters")
    return "".join(done)


def evaluate(body: str, names: Names) -> Any:
    """The value of what stands between the braces."""
    path = _path(body)
    if path is None:
        from flowbuild.load import sandbox

        return sandbox.evaluate(_bounded(body), names)
    value: Any = names
    for depth, name in enumerate(path):
        known = parts_of(value)
        if known is None:
            raise BadExpression(f"{shown(body)}: {'.'.join(path[:depth])!r} has no parts")
        if name not in known:
            raise unknown(body, ".".join(path[:depth]), name, known)
        value = part_of(value, name)
    return value


def parts_of(value: Any) -> Collection[str] | None:
    """The names in a value: a mapping's keys, or what its class lists as `expression_names`; None when it has none."""
    if type(value) is dict or isinstance(value, Mapping):
        return value.keys()
    listed: tuple[str, ...] | None = getattr(type(value), "expression_names", None)
    return listed


def part_of(value: Any, name: str) -> Any:
    """What a value has under one of its `parts_of`."""
    return value[name] if type(value) is dict or isinstance(value, Mapping) else getattr(value, name)


def names_in(value: Any) -> set[str]:
    """The dotted names that the expressions of a JSON value use, each as far as it is written out."""
    if isinstance(value, str):
        return set().union(*(used(body) for _, body in _parts(value) if body is not None)) if "${{" in value else set()
    if isinstance(value, Mapping):
        return set().union(*map(names_in, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(names_in, value))
    return set()


def used(body: str) -> set[str]:
    """The dotted names that one expression uses."""
    path = _path(body)
    if path is not None:
        return {".".join(path)}
    from flowbuild.load import sandbox

    return set(sandbox.names(_bounded(body)))


def as_text(value: Any, written: str) -> str:
    """A rendered value as it stands inside text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return " ".join(as_text(item, written) for item in value)
    if isinstance(value, bool | int | float):
        return canonical(value).decode()
    kind = "null" if value is None else "a mapping"
    raise BadExpression(f"{written}: its value is {kind}, which can't stand inside text")


def unknown(body: str, owner: str, name: str, known: Iterable[str]) -> BadExpression:
    """The error for a name that is not there."""
    problem = f"{owner!r} has no {name!r}" if owner else f"there is no {name!r}"
    return BadExpression(f"{shown(body)}: {problem}", remedy=did_you_mean(name, known))


def shown(body: str) -> str:
    """An expression as it stands in a message."""
    text = " ".join(body.split())
    return f"${{{{ {text[:120]}{'...' if len(text) > 120 else ''} }}}}"


def _bounded(body: str) -> str:
    if len(body) > MAX_EXPRESSION:
        raise BadExpression(f"{shown(body)}: an expression has at most {MAX_EXPRESSION:,} characters")
    return body
