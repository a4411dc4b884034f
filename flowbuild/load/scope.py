"""Which names an expression may use where it stands, checked before anything runs.

Knows nothing of what the names will hold. Syntax is checked here too, so that every expression of a file is read once.

Shapes:  a Scope maps the first name to the second names that it has, or to None where they are not known yet.
Errors:  BadExpression findings, at the very string.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flowbuild.core.errors import BadExpression, UserError
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attributes import Checker, expressions
from flowbuild.load.expression import split, used
from flowbuild.load.position import Pointer
from flowbuild.load.source import JSON

Scope = Mapping[str, Collection[str] | None]

TARGET = frozenset({"name", "label", "package"})
# What the default of an attribute may use: there is no target yet, and other attributes may have expressions too.
DEFAULTS: Scope = {"target": TARGET, "params": None}
# Names with a meaning of their own; a variable of `each:` takes another.
ROOTS = ("target", "attr", "params", "inputs", "outputs", "states")
# What a handler is given when it asks for it by name.
RESERVED_ARGUMENTS = frozenset({"io", "context", "emit"})


def check_names(
    to: Checker, value: JSON, pointer: Pointer, scope: Scope, remedies: Mapping[str, str]
) -> dict[str, Pointer]:
    """Find the expressions of a value that can't be read or name unknown things; gives the names used, and where.

    `remedies` says what to do about a name that exists elsewhere and not here.
    """
    found: dict[str, Pointer] = {}
    for at, text in expressions(value, pointer):
        try:
            for written, body in split(text):
                paths = used(body) if body is not None else ()
                for path in sorted(paths):
                    _check(to, path, at, written, scope, remedies)
                    found.setdefault(path, at)
        except UserError as error:
            to.fault(at, error.message, error.remedy, type(error))
    return found


def _check(to: Checker, path: str, at: Pointer, written: str, scope: Scope, remedies: Mapping[str, str]) -> None:
    first, _, rest = path.partition(".")
    if first not in scope:
        remedy = remedies.get(first) or did_you_mean(first, scope)
        to.fault(at, f"{written}: there is no {first!r} here", remedy, BadExpression)
        return
    second, known = rest.partition(".")[0], scope[first]
    if second and known is not None and second not in known:
        remedy = did_you_mean(second, known) or f"{first!r} has no names here"
        to.fault(at, f"{written}: {first!r} has no {second!r}", remedy, BadExpression)
