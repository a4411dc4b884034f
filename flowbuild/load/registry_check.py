"""What is wrong with the entries of a registry: every fault at once, each with its place.

Knows nothing of where the documents come from: a target's own are checked as files are.

Shapes:  the tables PROBE and PROFILE say every key that an entry may have. An optional one may be null.
Errors:  none: faults are FlowErrors that nobody raised yet.
Source:  seed 003, registry and lint; decision 11 (mode `restrict`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from flowbuild.core.errors import BadAttribute, BadJson, BadPath, Faults, FlowError, UnknownName
from flowbuild.core.restriction import RESTRICTIONS
from flowbuild.core.suggest import did_you_mean
from flowbuild.load.position import Pointer
from flowbuild.load.registry import HEAD, Registry, flat, odd_keys
from flowbuild.load.strict_json import Document, read_json

RESTRICTION_SCHEMA = "flowbuild.restriction.v1"
LANES = ("baseline", "scenario", "oracle")
CONTROLS = ("baseline", "allow_default", "deny_default")
MODES = ("sbpl", "blob", "restrict")


class Field(NamedTuple):
    """One key of an entry: the kind of its value, whether it must stand, and the words that it may have."""

    kind: str
    required: bool = True
    values: tuple[str, ...] = ()


PROBE: Mapping[str, Field] = {
    "probe_id": Field("text"),
    "name": Field("text"),
    "operation": Field("text"),
    "target": Field("text"),
    "expected": Field("text", values=("allow", "deny")),
    "supports_lanes": Field("lanes"),
    "expected_primary_ops": Field("texts"),
    "expected_predicates": Field("texts"),
    "capabilities_required": Field("texts"),
    "controls_supported": Field("texts", values=CONTROLS),
    "expectation_id": Field("text or null", False),
    "mode": Field("text or null", False),
    "driver": Field("text or null", False),
    "syscall": Field("text or null", False),
    "attr_payload": Field("text or null", False),
    "anchor_ctx_id": Field("text or null", False),
    "filter_name": Field("text or null", False),
    "filter_type": Field("integer or null", False),
}
PROFILE: Mapping[str, Field] = {
    "profile_id": Field("text"),
    "profile_path": Field("text"),
    "mode": Field("text", values=MODES),
    "family": Field("text or null"),
    "semantic_group": Field("text or null"),
    "probe_refs": Field("texts"),
    "key_specific_rules": Field("texts"),
    "notes": Field("text or null"),
}

_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "text": ("a text", lambda value: isinstance(value, str) and value != ""),
    "text or null": ("a text or null", lambda value: value is None or isinstance(value, str)),
    "texts": ("a list of texts", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value)),
    "integer or null": ("an integer or null", lambda value: value is None or type(value) is int),
    "lanes": ("an object of lanes, each true or false", lambda value: _is_lanes(value)),
}


def registry_faults(registry: Registry) -> list[FlowError]:
    """Everything wrong with a registry's entries, and with the files that they name."""
    faults: list[FlowError] = []
    for document, entries in ((registry.probes, "probes"), (registry.profiles, "profiles")):
        faults += odd_keys(document, (), document.value, (*HEAD, entries), "a registry document")
    for key, value in registry.probe_entries.items():
        faults += entry_faults(registry.probes, ("probes", key), value, PROBE)
    for key, value in registry.profile_entries.items():
        faults += entry_faults(registry.profiles, ("profiles", key), value, PROFILE)
        if isinstance(value, dict):
            faults += profile_faults(registry, key)
    return faults


def _name_faults(registry: Registry, profile_id: str) -> Iterator[FlowError]:
    """Whether a profile can have a file of its name in a bundle, on any file system."""
    at = ("profiles", profile_id)
    if not profile_id or len(profile_id) > 200 or re.search(r"[/\\\x00-\x1f\x7f]", profile_id):
        yield registry.profiles.fault(BadAttribute, at, f"{profile_id!r:.80} can't name a file in a bundle", key=True)
    same = [one for one in registry.profile_entries if one.casefold() == profile_id.casefold()]
    if same[0] != profile_id:
        yield registry.profiles.fault(BadAttribute, at, f"{profile_id!r} and {same[0]!r} differ only in case", key=True)


def entry_faults(document: Document, at: Pointer, value: Any, fields: Mapping[str, Field]) -> Iterator[FlowError]:
    """What is wrong with one entry by itself: its keys, their values, and whether it is filed under its own id."""
    kind = "probe" if fields is PROBE else "profile"
    if not isinstance(value, dict):
        yield document.fault(BadAttribute, at, f"a {kind} is an object")
        return
    yield from odd_keys(document, at, value, fields, f"a {kind}")
    missing = [f"`{key}`" for key, field in fields.items() if field.required and key not in value]
    if missing:
        yield document.fault(BadAttribute, at, f"a {kind} needs {', '.join(missing)}", key=True)
    own = f"{kind}_id"
    if own in value and value[own] != at[-1]:
        yield document.fault(BadAttribute, (*at, own), f"`{own}` is {value[own]!r}, and it stands under {at[-1]!r}")
    for key, field in fields.items():
        if key in value:
            yield from _value_faults(document, (*at, key), value[key], field)


def _value_faults(document: Document, at: Pointer, value: Any, field: Field) -> Iterator[FlowError]:
    doc, is_kind = _KINDS[field.kind]
    if not is_kind(value):
        yield document.fault(BadAttribute, at, f"`{at[-1]}` is {doc}, and here stands {value!r:.60}")
        return
    for item in value if isinstance(value, list) else [value]:
        if field.values and item not in field.values:
            message = f"`{at[-1]}` is {' or '.join(field.values)}, and here stands {item!r:.60}"
            yield document.fault(BadAttribute, at, message)


def profile_faults(registry: Registry, profile_id: str) -> Iterator[FlowError]:
    """What is wrong with what a profile names: its probes, and its file."""
    yield from _name_faults(registry, profile_id)
    document, at = registry.profiles, ("profiles", profile_id)
    profile, probes = registry.profile_entries[profile_id], registry.probe_entries
    refs = profile.get("probe_refs")
    if not refs:
        yield document.fault(BadAttribute, (*at, "probe_refs"), f"profile {profile_id!r} names no probe")
    names: dict[str, str] = {}
    for number, ref in enumerate(refs if isinstance(refs, list) else []):
        place = (*at, "probe_refs", number)
        probe = probes.get(ref) if isinstance(ref, str) else None
        if probe is None:
            message = f"profile {profile_id!r} names the probe {ref!r}, which the registry has not"
            yield document.fault(UnknownName, place, message, did_you_mean(str(ref), probes))
        elif isinstance(probe, dict) and isinstance(probe.get("name"), str):
            first = names.setdefault(probe["name"], ref)
            if first != ref or ref in refs[:number]:
                message = f"profile {profile_id!r} has the probe name {probe['name']!r} twice"
                yield document.fault(BadAttribute, place, message, "rows are known by their probe's name: rename one")
    yield from _file_faults(registry, at, profile)


def _file_faults(registry: Registry, at: Pointer, profile: Mapping[str, Any]) -> Iterator[FlowError]:
    path, place = profile.get("profile_path"), (*at, "profile_path")
    if not isinstance(path, str) or not path:
        return  # told with the entry
    try:
        found = registry.files.get(path) or registry.file(path)
    except BadPath as error:
        yield registry.profiles.fault(BadPath, place, error.message, error.remedy)
        return
    if found is None:
        yield registry.profiles.fault(BadPath, place, f"the file {path!r} of profile {at[-1]!r} is not there")
    elif profile.get("mode") == "restrict" and not isinstance(found, Document):
        try:
            yield from restriction_faults(read_json(found, path))
        except (BadJson, Faults) as error:
            yield from flat(error)


def restriction_faults(document: Document) -> Iterator[FlowError]:
    """What is wrong with the document of a profile in mode `restrict`."""
    doc = document.value
    if not isinstance(doc, dict) or doc.get("schema_version") != RESTRICTION_SCHEMA:
        yield document.fault(BadAttribute, ("schema_version",), f"a restriction is {RESTRICTION_SCHEMA}")
        return
    yield from odd_keys(document, (), doc, ("schema_version", "profile_id", "restrict"), "a restriction")
    restrict = doc.get("restrict")
    if not isinstance(restrict, dict):
        yield document.fault(BadAttribute, ("restrict",), "`restrict` is an object such as {network: deny}")
        return
    for key, value in restrict.items():
        if key not in RESTRICTIONS:
            message, remedy = f"unknown restriction {key!r}", did_you_mean(key, RESTRICTIONS)
            yield document.fault(UnknownName, ("restrict", key), message, remedy, key=True)
        elif value not in RESTRICTIONS[key]:
            message = f"`{key}` is {' or '.join(RESTRICTIONS[key])}, and here stands {value!r:.60}"
            yield document.fault(BadAttribute, ("restrict", key), message)


def _is_lanes(value: Any) -> bool:
    return isinstance(value, dict) and all(key in LANES and type(on) is bool for key, on in value.items())
