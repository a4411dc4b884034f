"""Fan-out over what an earlier state left: one state, and for each item that is known only then a child action.

Knows nothing of digests, or of what the items are. Nothing that a child is asked depends on its place among the others.

Shapes:  an item is a JSON value, or a `FileItem`; `tag` is 16 hex digits of its content, and stands for the star in
         the paths of what its child writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

STAR = "*"
"""In the path of an output: the item's number in what is joined, its tag where its child writes."""


class Filled(NamedTuple):
    """What the child of one item is asked."""

    with_: Mapping[str, Any]
    env: Mapping[str, str | None]
    idempotency_key: str | None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Fan:
    """The fan-out of a state, over `most` items at most; `fill` takes an item and its tag.

    The input named `variable` holds the items: several files are the items, one file has a JSON list of them, and of
    a directory they are the files. With `is_numbered` a fan-out made that directory, and the names of its files are
    places in another list: not theirs.
    """

    variable: str
    most: int
    is_numbered: bool
    fill: Callable[[Any, str], Filled]
