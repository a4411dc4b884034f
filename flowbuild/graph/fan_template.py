"""Templates with `each` that stand for one state: what their outputs, and the variable's files, must look like.

Knows nothing of items. A star in the path of an output says it: `parts/*.csv` is a directory with one file an item,
numbered in their order.

Errors:  BadAttribute for outputs without a star, or whose star stands elsewhere; for a variable that is no new name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowbuild.core.errors import BadAttribute
from flowbuild.graph.fan import STAR
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import File, Input
from flowbuild.load.attribute import NAME, NAME_FORM
from flowbuild.load.expression import split
from flowbuild.load.scope import RESERVED_ARGUMENTS, ROOTS


def has_star(outputs: Any) -> bool:
    """Whether a template stands for one state that makes something for each item."""
    texts = outputs.values() if isinstance(outputs, Mapping) else ()
    return any(STAR in text for path in texts for text, body in split(str(path)) if body is None)


def directories(scope: Scope, declared: Mapping[str, str]) -> dict[str, str]:
    """The directory of each output, in which what the items made is joined; refuses an output that has none."""
    found: dict[str, str] = {}
    for name, path in declared.items():
        before, star, rest = path.partition(STAR)
        directory = before.rpartition("/")[0]
        if not star or not directory or STAR in rest or "/" in rest.removesuffix("/"):
            problem = f"the output {name!r} is {path!r}, and with `each` there is one an item"
            remedy = f"write {name}: {_suggested(path)}, where the star stands for the item's number"
            raise scope.fault(BadAttribute(problem, remedy=remedy), "outputs", name)
        found[name] = f"{directory}/"
    return found


def _suggested(path: str) -> str:
    stem, dot, suffix = path.replace(STAR, "").strip("/").rpartition(".")
    return f"{stem.rpartition('/')[2] or 'items'}/*.{suffix}" if dot else f"{suffix or 'items'}/*"


def variable_of(scope: Scope, each: Any) -> tuple[str, Any]:
    """The one variable of an `each`, and what its items are in."""
    if not isinstance(each, Mapping) or len(each) != 1:
        problem = BadAttribute("`each` names one variable, and gives its items", remedy="write {city: ':cities'}")
        raise scope.fault(problem, "each")
    ((name, items),) = each.items()
    if not NAME.fullmatch(name) or name in ROOTS or name in RESERVED_ARGUMENTS:
        remedy = NAME_FORM if not NAME.fullmatch(name) else "name it otherwise"
        raise scope.fault(BadAttribute(f"{name!r} is no name for an item", remedy=remedy), "each", name)
    return name, items


def items_input(scope: Scope, variable: str, items: Any, taken: Mapping[str, Any]) -> Input:
    """The files that hold the items, as an input of the state."""
    if variable in taken:
        raise scope.fault(BadAttribute(f"{variable!r} is the name of an input or output too"), "each", variable)
    files = items if isinstance(items, list) else [items]
    if not all(isinstance(one, File) for one in files):
        problem = f"what the items of {variable!r} are in is no file"
        raise scope.fault(BadAttribute(problem, remedy="name a file, or the target that makes it"), "each", variable)
    return Input(tuple(one.item for one in files), isinstance(items, list))
