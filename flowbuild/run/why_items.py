"""Why, of a fan-out: the keys of its children in two documents become the items that came, went or changed.

Knows nothing of where documents are kept. What all items have in common, such as another handler, is told once.

Shapes:  a field is `items[name]` for one that came, went or is another file; `items[name].field` for what else differs
         in one item's document; the field alone for what differs so in all; `items.order` when nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flowbuild.core.canonical import digest
from flowbuild.run.items import name

Doc = Mapping[str, Any]
Row = tuple[str, Any, Any]  # a field, what it was and what it is
FIELD = "items"


def item_changes(
    old: Sequence[str],
    new: Sequence[str],
    document: Callable[[str], Doc | None],
    compare: Callable[[Doc, Doc], Sequence[Row]],
) -> Iterator[Row]:
    """What differs between two lists of children. `document` gives a child's by its key, if it is still there."""
    gone, come = _named(set(old) - set(new), old, document), _named(set(new) - set(old), new, document)
    if not gone and not come:
        yield (f"{FIELD}.order", digest(list(old)), digest(list(new)))
        return
    inner: dict[str, Sequence[Row]] = {}
    for one in [*gone, *(one for one in come if one not in gone)]:
        before, after = gone.get(one), come.get(one)
        was, now = (document(key) if key is not None else None for key in (before, after))
        if was is not None and now is not None and was["item"] == now["item"]:
            inner[one] = compare(was, now)
        else:
            yield (f"{FIELD}[{one}]", before, after)
    common = [change for change in next(iter(inner.values()), ()) if all(change in found for found in inner.values())]
    yield from common
    for one, found in inner.items():
        yield from (
            (f"{FIELD}[{one}].{field}", was, now) for field, was, now in found if (field, was, now) not in common
        )


def _named(keys: set[str], order: Sequence[str], document: Callable[[str], Doc | None]) -> dict[str, str]:
    """Keys by the names of their items; by their own beginning where the document is not there any more."""
    found: dict[str, str] = {}
    for key in order:
        if key in keys:
            doc = document(key)
            said = name(doc["item"]) if doc is not None and "item" in doc else key[:8]
            found[said if said not in found else f"{said} {key[:8]}"] = key
    return found
