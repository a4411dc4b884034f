"""Children: the actions that a fan-out comes to, one for each item, and the join of what they make.

Knows nothing of order in time or of engines. A child is bound like any state, with the item in its document: so its key
says all that its result depends on, and nothing of the other items. The state's own action names the keys of its
children in item order: it is the join, and joining is all that it takes when they are known.

Shapes:  a child's document has `item`, see `items`. The state's has step kind `each`, and `with` {"each": variable,
         "children": [key, ...]}. What is joined is a directory: the star of an output becomes the item's number, in
         five digits. Items of the same content are one child, which stands in each of their places.
Errors:  as `Action.refused`: items_invalid, which names the file, or the item that can't be asked; secrets_detected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from flowbuild.core.action import Action, ErrorInfo
from flowbuild.core.canonical import Digest
from flowbuild.core.errors import Faults, FlowError, SecretsDetected, UserError
from flowbuild.graph.fan import STAR, Fan
from flowbuild.graph.state import Input, State
from flowbuild.run.items import Item, Products, Sources, name, tag
from flowbuild.store.cas import Cas
from flowbuild.store.tree import Artifact, Entry, entries, listing_bytes

KIND = "each"
Bind = Callable[[State], Action]


class Child(NamedTuple):
    """One item's action, the state as that item has it, and the item's name and first place."""

    state: State
    action: Action
    name: str
    place: int


class Spread(NamedTuple):
    """A fan-out that is bound: its own action, and its children, each content once, in item order."""

    action: Action
    children: Sequence[Child] = ()


def spread(state: State, fan: Fan, products: Products, sources: Sources, bind: Bind) -> Spread:
    """Bind a state with a fan-out. `bind` makes the action of a state as any other."""
    try:
        found = sources.items(fan, state, products)
    except SecretsDetected as error:
        return _refused(state, fan, str(error), bind, error.code)
    except UserError as error:
        return _refused(state, fan, str(error), bind)
    except Faults as several:
        return _refused(state, fan, "\n".join(map(str, several.exceptions)), bind)
    children: dict[Digest, Child] = {}
    keys: list[Digest] = []
    for place, item in enumerate(found):
        try:
            one = _child(state, fan, item)
        except FlowError as error:
            return _refused(state, fan, f"item {place} ({name(item.doc)}): {error}", bind)
        action = bind(one)
        children.setdefault(action.key, Child(one, action, name(item.doc), place))
        keys.append(action.key)
    return Spread(bind(_whole(state, fan, keys)), tuple(children.values()))


def _whole(state: State, fan: Fan, keys: Sequence[Digest]) -> State:
    """A fan-out's own state, as it is bound: its action is the join."""
    with_ = {"each": fan.variable, "children": list(keys)}
    return replace(state, kind=KIND, with_=with_, code=None, fan=None, observes_host=False, idempotency_key=None)


def _child(state: State, fan: Fan, item: Item) -> State:
    own = tag(item.doc)
    filled = fan.fill(item.value, own)
    inputs = {name: one for name, one in state.inputs.items() if name != fan.variable}
    if item.file is not None:
        inputs[fan.variable] = Input((item.file,), False)
    declared = {name: path.replace(STAR, own) for name, path in state.declared.items()}
    return replace(
        state,
        with_=filled.with_,
        env=filled.env,
        idempotency_key=filled.idempotency_key,
        inputs=inputs,
        declared=declared,
        outputs={name: f"out/bin/{state.label.directory}/{path}" for name, path in declared.items()},
        fan=None,
        item=item.doc,
    )


def _refused(state: State, fan: Fan, message: str, bind: Bind, code: str = "items_invalid") -> Spread:
    """A fan-out that can't be made: its action fails when it is performed."""
    return Spread(replace(bind(_whole(state, fan, ())), refused=ErrorInfo(code, message, "ParsingInput")))


def join(cas: Cas, declared: Mapping[str, str], made: Sequence[Mapping[str, Artifact]]) -> dict[str, Artifact]:
    """The directories of what the items made, by output; `made` is in item order, and each is whole in the store."""
    return {output: _directory(cas, path, [one[output] for one in made]) for output, path in declared.items()}


def _directory(cas: Cas, declared: str, made: Sequence[Artifact]) -> Artifact:
    pattern = declared[declared.rindex("/", 0, declared.index(STAR)) + 1 :].rstrip("/")
    found: list[Entry] = []
    for place, one in enumerate(made):
        path = pattern.replace(STAR, f"{place:05}")
        if one.is_directory:
            found += [Entry(f"{path}/{e.path}", e.sha256, e.executable) for e in entries(cas, one.sha256)]
        else:
            found.append(Entry(path, one.sha256, one.executable))
    return Artifact(cas.put(listing_bytes(found)), sum(one.size for one in made), is_directory=True)
