"""What looks like a secret in a target: refused where it stands, before anything of it is kept.

Knows nothing of values that only a run sees. Looked at are variables, maps of values, parameters with their names,
idempotency keys, and in every text URLs with a password. Commands and scripts speak of passwords without holding any,
and pass otherwise.

Shapes:  the tag `allow:secret-words` excuses a target; its actions say so.
Errors:  as findings: SecretsDetected, whose message does not repeat what it found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowbuild.core.errors import SecretsDetected
from flowbuild.core.secrets import holds_password, looks_secret
from flowbuild.load.attributes import Checker
from flowbuild.load.position import Pointer
from flowbuild.load.rule import Rule

ALLOW = "allow:"
WORDS = "secret-words"
REMEDY = f"pass it through by name, `secrets: [NAME]`; if it is none, tag the target `{ALLOW}{WORDS}`"
_SAID = ("params", "idempotency_key")  # what manifests and events say as it is
_VALUES = frozenset({"any", "env", "list", "map"})  # types of attributes whose values become part of a key as they are


def allowed(tags: Sequence[str]) -> tuple[str, ...]:
    """What a target's tags excuse it from."""
    return (WORDS,) if f"{ALLOW}{WORDS}" in tags else ()


def excuses(action: Mapping[str, Any]) -> bool:
    """Whether an action's document says that its words are no secrets."""
    return WORDS in action.get("allows", ())


def check_secrets(to: Checker, rule: Rule, spec: Mapping[str, Any], tags: Sequence[str], pointer: Pointer) -> None:
    """Find what looks secret in the attributes of one target."""
    excused = bool(allowed(tags))
    for name in _names(spec.get("secrets")) & _names(spec.get("env")):
        to.fault((*pointer, "secrets"), f"{name!r} stands in `env` too, and its value would be told", "remove it there")
    for name, value in spec.items():
        attribute = rule.attributes.get(name)
        is_value = name in _SAID or (attribute is not None and attribute.type in _VALUES)
        for at, text in _texts(value, (*pointer, name)):
            if holds_password(text):
                to.fault(at, "a URL with a password in it", REMEDY, SecretsDetected)
            elif is_value and not excused and looks_secret(text):
                to.fault(
                    at, "this looks like a secret, and would be part of a key and of bundles", REMEDY, SecretsDetected
                )


def _names(value: Any) -> set[str]:
    return {str(name) for name in value} if isinstance(value, Mapping | list) else set()


def _texts(value: Any, at: Pointer) -> Iterator[tuple[Pointer, str]]:
    """Every text of a value with its place, names of mappings included."""
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield (*at, name), str(name)
            yield from _texts(one, (*at, name))
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _texts(one, (*at, index))
