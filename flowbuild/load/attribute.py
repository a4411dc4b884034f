"""An attribute: what may stand under one name, and what a check of it asks of its caller.

Knows nothing of what each type accepts: see `types`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from flowbuild.core.errors import BadAttribute, UserError
from flowbuild.load.expression import Names
from flowbuild.load.position import Pointer
from flowbuild.load.source import JSON

NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
NAME_FORM = "a name is a small letter or '_', then small letters, digits and '_'"


@dataclass(frozen=True, slots=True)
class Attribute:
    """What may stand under one name. `values` are those of an enum, `items` the kind of a list's or map's items."""

    name: str
    type: str
    doc: str = ""
    default: JSON = None
    required: bool = False
    values: tuple[str, ...] = ()
    items: Attribute | None = None
    missing: str = "refused"  # of a path: may the file be absent?
    literal: bool = False  # no expression may stand for it


class Checks(Protocol):
    """What a check asks of its caller. `names` is None when a file is read; later, what is normal stays as it is."""

    package: str
    names: Names | None

    def value(self, attribute: Attribute, value: JSON, pointer: Pointer) -> JSON: ...

    def wrong(self, attribute: Attribute, value: JSON, pointer: Pointer, remedy: str = "") -> JSON: ...

    def fault(
        self,
        pointer: Pointer,
        message: str,
        remedy: str = "",
        kind: type[UserError] = BadAttribute,
        key: bool = False,
    ) -> None: ...


Check = Callable[[Checks, Attribute, JSON, Pointer], JSON]
