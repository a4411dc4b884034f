"""The items of a fan-out: what stands in the file, the directory or the files that its variable names.

Knows nothing of children or of keys. One file has a JSON list; of a directory, and of several files, the files are the
items, in the order of their paths or as they are given.

Shapes:  Item. `doc` is {"value": JSON}, or {"file", "sha256", "executable"} with its path for whoever reads it.
Errors:  BadJson, and BadAttribute for what is no list, holds what is no item, or has too many;
         SecretsDetected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from posixpath import splitext
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest, canonical, digest
from flowbuild.core.errors import BadAttribute, SecretsDetected
from flowbuild.core.mask import Mask
from flowbuild.core.secrets import find_secret
from flowbuild.graph.fan import Fan
from flowbuild.graph.state import FileItem, Held, Input, Product, Source, State
from flowbuild.graph.state import Item as Named
from flowbuild.load.attributes import described
from flowbuild.load.secret import WORDS
from flowbuild.load.strict_json import parse_json
from flowbuild.store.cas import Cas
from flowbuild.store.refusal import refused
from flowbuild.store.tree import Artifact, entries

Products = Mapping[int, Mapping[str, Artifact]]
SHOWN = 60  # characters of an item's name


class Item(NamedTuple):
    """One item. `value` is what expressions see of it; `file` is where its bytes are, if it has some."""

    doc: Mapping[str, Any]
    value: Any
    file: Named | None = None


class Sources:
    """Where items are read. `source` tells the digest of a workspace file and whether it is executable, `read` its
    bytes; `mask` finds the secrets that no item may hold."""

    def __init__(
        self,
        cas: Cas,
        source: Callable[[str], tuple[Digest, bool]],
        read: Callable[[str], bytes],
        mask: Mask,
    ) -> None:
        self._cas = cas
        self._source = source
        self._read = read
        self._mask = mask

    def items(self, fan: Fan, state: State, products: Products) -> list[Item]:
        """The items of a state's fan-out."""
        held, package = state.inputs[fan.variable], state.package
        where = held.items[0].path if len(held.items) == 1 else f"{fan.variable!r}"
        found = list(
            self._files(held, products, package) if held.many else self._within(fan, held.items[0], products, package)
        )
        if len(found) > fan.most:
            problem = f"{where} has {len(found):,} items, and {fan.most:,} are the most"
            raise BadAttribute(problem, remedy="`fanout: {max_items: …}` in flowbuild.yaml allows more")
        for place, item in enumerate(found):
            looks_secret = WORDS not in state.allows and find_secret(item.value) is not None
            if looks_secret or self._mask.finds(canonical(item.doc)):
                problem = f"item {place} of {where} is a secret, or looks like one; it would stand in the journal"
                raise SecretsDetected(problem, remedy="let the handler read a variable that `secrets:` names")
        return found

    def _files(self, held: Input, products: Products, package: str) -> Iterator[Item]:
        for one in held.items:
            if isinstance(one, Source):
                sha, executable = self._source(one.path)
                yield _file(one, sha, executable, package)
                continue
            artifact = _artifact(one, products)
            if artifact.is_directory:
                problem = f"{one.path} is a directory, and stands among several files"
                raise BadAttribute(problem, remedy="a directory is a list of items when it stands alone")
            yield _file(Held(one.path, artifact.doc(one.path)), artifact.sha256, artifact.executable, package)

    def _within(self, fan: Fan, one: Named, products: Products, package: str) -> Iterator[Item]:
        if isinstance(one, Source):
            self._source(one.path)  # which says what is wrong with a file that can't be one
            with refused(one.path):
                data = self._read(one.path)
            yield from _listed(data, one.path)
            return
        artifact = _artifact(one, products)
        if not artifact.is_directory:
            yield from _listed(self._cas.read(artifact.sha256), one.path)
            return
        for entry in entries(self._cas, artifact.sha256):
            named = entry.path
            if fan.is_numbered and "/" not in named:  # so that what moves in its list is the same item
                named = f"{entry.sha256[:16]}{splitext(named)[1]}"
            path = f"{one.path}{named}"
            doc = Artifact(entry.sha256, self._cas.path(entry.sha256).stat().st_size, entry.executable).doc(path)
            yield _file(Held(path, doc), entry.sha256, entry.executable, package)


def tag(doc: Mapping[str, Any]) -> str:
    """What tells an item's child from the others of its state: the same content has the same tag."""
    return digest(doc)[:16]


def name(doc: Mapping[str, Any]) -> str:
    """An item as people read it: text as it is, a mapping by its `name` or `id`, any other value as JSON, a file by its
    path; cut where it is long. It tells items apart for people only."""
    value = doc["file"].removeprefix("out/bin/") if "file" in doc else doc["value"]
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("name", "id") if isinstance(value.get(key), str)), value)
    text = " ".join((value if isinstance(value, str) else canonical(value).decode()).split())
    text = "".join(one if one.isprintable() else "?" for one in text)  # it is shown on terminals
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _artifact(one: Named, products: Products) -> Artifact:
    assert isinstance(one, Product), "a target's files are sources and products"
    if one.state not in products:  # what accepts missing inputs may come here all the same
        raise BadAttribute(f"{one.path} could not be made, and without it there are no items")
    return products[one.state][one.output]


def _file(one: Named, sha256: Digest, executable: bool, package: str) -> Item:
    doc = {"file": one.path, "sha256": sha256, "executable": executable}
    return Item(doc, FileItem(one, package), one)


def _listed(data: bytes, path: str) -> Iterator[Item]:
    value = parse_json(data, path).value
    if not isinstance(value, list):
        raise BadAttribute(f"{path} is no list of items: it is {described(value)}", remedy="write a JSON list there")
    for one in value:
        yield Item({"value": one}, one)
