"""The policy of whoever verifies: which statements are needed, whose signatures count, and what may differ.

Knows nothing of bundles or signatures. A policy is YAML, read as strictly as a BUILD.yaml.

Shapes:  Trust, with every default filled in. Without a file, the strictest: all three statements, any of the given
         keys, the clean channel, no probe otherwise than expected.
Errors:  BadYaml, BadAttribute, UnknownName: all of the file at once, each with its place; BadPath without a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flowbuild.bundle.promote import CLEAN
from flowbuild.bundle.statement import PREDICATES
from flowbuild.core.errors import BadPath
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.attributes import Attribute, Checker, expressions
from flowbuild.load.document import parse_file
from flowbuild.load.position import raise_found

_TEXT = Attribute("item", "string")
_CHANNEL = Attribute("item", "enum", values=("direct", *CLEAN))

# What may stand in a policy; a test asserts that docs/formats/verify-policy.md tells the same.
SETTINGS = {
    "predicates": Attribute("predicates", "list", "statements that must be there", list(PREDICATES), items=_TEXT),
    "keys": Attribute("keys", "list", "ids of the keys whose signatures count", items=_TEXT),
    "channels": Attribute("channels", "list", "channels that count", list(CLEAN), items=_CHANNEL),
    "mismatches": Attribute("mismatches", "list", "probes that may come out otherwise", [], items=_TEXT),
}
_KEY_ID = re.compile(r"[0-9a-f]{64}")
_PROBE = re.compile(r"[^.\s]+\.\S+")


@dataclass(frozen=True, slots=True)
class Trust:
    """What must hold. `key_ids` None: any key that was given counts. `predicates` are type URIs."""

    predicates: tuple[str, ...] = tuple(PREDICATES.values())
    key_ids: tuple[str, ...] | None = None
    channels: tuple[str, ...] = CLEAN
    mismatches: frozenset[str] = frozenset()


def load_trust(file: Path) -> Trust:
    """The policy that a file says; an empty file takes every default."""
    shown = str(file)
    try:
        doc, _ = parse_file(file, shown)
    except FileNotFoundError:
        raise BadPath(f"{shown}: there is no such policy", remedy="see docs/formats/verify-policy.md") from None
    to = Checker("")
    found = to.fields(SETTINGS, {} if doc is None else doc, (), "a policy")
    for pointer, text in expressions(doc, ()):
        to.fault(pointer, f"{text[:60]!r}: policies hold no expressions", "write the value")
    if not to.findings:
        _check(to, found)
    raise_found(to.findings, file, shown)
    keys = found["keys"]
    return Trust(
        tuple(PREDICATES.get(word, word) for word in found["predicates"]),
        None if keys is None else tuple(keys),
        tuple(found["channels"]),
        frozenset(found["mismatches"]),
    )


def _check(to: Checker, found: dict[str, list[str] | None]) -> None:
    for place, word in enumerate(found["predicates"] or ()):
        if word not in PREDICATES and ":" not in word:
            to.fault(("predicates", place), f"there is no statement {word!r}", did_you_mean(word, PREDICATES))
    for place, word in enumerate(found["keys"] or ()):
        if not _KEY_ID.fullmatch(word):
            remedy = "`flowbuild key new` prints it: 64 small hexadecimal digits"
            to.fault(("keys", place), f"{word[:80]!r} is no key id", remedy)
    for place, word in enumerate(found["mismatches"] or ()):
        if not _PROBE.fullmatch(word):
            to.fault(("mismatches", place), f"{word[:80]!r} is no probe of a profile", "write <profile>.<probe>")
    for name in ("predicates", "channels", "keys"):
        if found[name] == []:
            to.fault((name,), f"{name!r} is empty: nothing would be verified", "leave it out, or name some", key=True)
