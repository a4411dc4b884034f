"""What is wrong with the attributes of a registry or a plan: every fault at once, each with its place.

Knows nothing of YAML positions, or of what a host can restrict: faults point into the attributes by a path of keys,
and the words that `restrict` may use are given by the caller.

Errors:  none: faults are values, and the caller locates and raises them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from flowbuild.core.suggest import did_you_mean
from flowbuild.graph.evidence import DEFAULT_LANES, LANES, PROBE_TEXTS, Attributes

_PROBE_KEYS = ("operation", "target", "expected", "doc", "filter_type", "capabilities_required", *PROBE_TEXTS)
_PROFILE_TEXTS = ("doc", "notes", "family", "semantic_group")
_PROFILE_KEYS = ("restrict", "denies", "allows", *_PROFILE_TEXTS)
_DECISIONS = ("allow", "deny")
# No dot: it parts the profile from the probe in `<profile>.<probe>`.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


class Fault(NamedTuple):
    """One thing that is wrong, at a path of keys into the target's attributes."""

    pointer: tuple[str | int, ...]
    message: str
    remedy: str = ""


def registry_faults(attrs: Attributes, restrictions: Mapping[str, Collection[str]] | None = None) -> list[Fault]:
    """Everything wrong with a registry. `restrictions` maps each word of `restrict` to the values it may have."""
    probes, profiles = attrs.get("probes"), attrs.get("profiles")
    faults: list[Fault] = []
    for key, entries in (("probes", probes), ("profiles", profiles)):
        if not isinstance(entries, Mapping) or not entries:
            faults.append(Fault((key,), f"{key} maps at least one name to its description"))
        else:
            faults += _name_faults(key, entries)
    if isinstance(probes, Mapping):
        for name, probe in probes.items():
            faults += _probe_faults(("probes", name), probe)
    if isinstance(profiles, Mapping):
        known = probes if isinstance(probes, Mapping) else {}
        for name, profile in profiles.items():
            faults += _profile_faults(("profiles", name), profile, known, restrictions)
    return faults


def plan_faults(attrs: Attributes, registry: Attributes) -> list[Fault]:
    """Everything wrong with a plan over a registry's attributes."""
    known = registry.get("profiles")
    profiles, lanes = attrs.get("profiles", []), attrs.get("lanes", list(DEFAULT_LANES))
    faults = _choice_faults("profiles", profiles, known if isinstance(known, Mapping) else {}, "the registry")
    faults += _choice_faults("lanes", lanes, LANES, "a plan")
    if isinstance(lanes, Sequence) and not lanes:
        faults.append(Fault(("lanes",), "a plan runs at least one lane", "lanes are baseline, scenario and oracle"))
    return faults


def _name_faults(key: str, entries: Attributes) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in entries:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            message = f"{name!r} is not a name of a {key[:-1]}"
            yield Fault((key, name), message, "a name has letters, digits, '_' and '-', 64 at most")
            continue
        # Names become file names in a bundle, and some file systems don't tell cases apart.
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            yield Fault((key, name), f"{name!r} and {first!r} differ only in case", "rename one of them")


def _probe_faults(at: tuple[str, ...], probe: object) -> Iterator[Fault]:
    if not isinstance(probe, Mapping):
        yield Fault(at, "a probe is a mapping such as {operation: file-read-data, target: /etc/hostname}")
        return
    yield from _unknown_keys(at, probe, _PROBE_KEYS)
    for key in ("operation", "target"):
        if key not in probe:
            yield Fault(at, f"a probe needs `{key}`")
    for key in ("operation", "target", "doc", *PROBE_TEXTS):
        if key in probe and (not isinstance(probe[key], str) or not probe[key]):
            yield Fault((*at, key), f"`{key}` is a text", "put it in quotes")
    if probe.get("expected", "allow") not in _DECISIONS:
        yield Fault((*at, "expected"), f"`expected` is allow or deny, not {probe['expected']!r}")
    if type(probe.get("filter_type", 0)) is not int:
        yield Fault((*at, "filter_type"), "`filter_type` is an integer")
    if not _is_texts(probe.get("capabilities_required", [])):
        yield Fault((*at, "capabilities_required"), "`capabilities_required` is a list of texts")


def _profile_faults(
    at: tuple[str, ...], profile: object, probes: Attributes, words: Mapping[str, Collection[str]] | None
) -> Iterator[Fault]:
    if not isinstance(profile, Mapping):
        yield Fault(at, "a profile is a mapping such as {restrict: {network: deny}, denies: [tcp-connect]}")
        return
    yield from _unknown_keys(at, profile, _PROFILE_KEYS)
    for key in _PROFILE_TEXTS:
        if key in profile and not isinstance(profile[key], str):
            yield Fault((*at, key), f"`{key}` is a text", "put it in quotes")
    yield from _restrict_faults((*at, "restrict"), profile.get("restrict"), words)
    for key in ("denies", "allows"):
        for fault in _choice_faults(key, profile.get(key, []), probes, "the registry", kind="probe"):
            yield fault._replace(pointer=at + fault.pointer)
    denied, allowed = profile.get("denies", []), profile.get("allows", [])
    if _is_texts(denied) and _is_texts(allowed):
        for index, name in enumerate(allowed):
            if name in denied:
                yield Fault((*at, "allows", index), f"{name!r} stands in `denies` too", "take it out of one of them")


def _restrict_faults(
    at: tuple[str, ...], restrict: object, words: Mapping[str, Collection[str]] | None
) -> Iterator[Fault]:
    if not isinstance(restrict, Mapping):
        at = at[:-1] if restrict is None else at
        yield Fault(at, "a profile needs `restrict`, a mapping such as {network: deny}; {} restricts nothing")
        return
    for key, value in restrict.items():
        if not isinstance(value, str):
            yield Fault((*at, key), f"`{key}` is a word such as deny")
        elif words is not None and key not in words:
            yield Fault((*at, key), f"unknown restriction {key!r}", did_you_mean(key, words))
        elif words is not None and value not in words[key]:
            yield Fault((*at, key), f"`{key}` cannot be {value!r}", did_you_mean(value, words[key]))


def _choice_faults(
    key: str, chosen: object, known: Collection[str], owner: str, kind: str | None = None
) -> list[Fault]:
    """What is wrong with a list that picks among known words."""
    kind = kind or key[:-1]
    if not _is_texts(chosen):
        return [Fault((key,), f"`{key}` is a list of names")]
    assert isinstance(chosen, Sequence)
    faults = []
    for index, word in enumerate(chosen):
        if word not in known:
            faults.append(Fault((key, index), f"{owner} has no {kind} {word!r}", did_you_mean(word, known)))
        elif word in chosen[:index]:
            faults.append(Fault((key, index), f"{kind} {word!r} stands here twice", "take one out"))
    return faults


def _unknown_keys(at: tuple[str, ...], entry: Attributes, known: Sequence[str]) -> Iterator[Fault]:
    for key in entry:
        if key not in known:
            yield Fault((*at, key), f"unknown key {key!r}", did_you_mean(str(key), known))


def _is_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
