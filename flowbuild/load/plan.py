"""Plans as seed 003's documents: reading one, and everything that is wrong with one.

Knows nothing of how a plan is run. Nothing is imported or started: a plan is data.

Shapes:  plan.v0.1. A lane that `lanes` does not mention counts as enabled.
Errors:  BadJson, BadAttribute, UnknownName, BadPath; `lint` gives them as values.
Source:  seed 003, plan and lint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, BadPath, Faults, FlowError, UnknownName, raise_all
from flowbuild.core.suggest import did_you_mean, nearest
from flowbuild.load.registry import Registry, find_file, flat
from flowbuild.load.registry_check import LANES, PROBE, PROFILE, entry_faults, profile_faults
from flowbuild.load.strict_json import Document, read_json

PLAN_SCHEMA = "runtime-tools.plan.v0.1"
MACH_DRIVER = "sandbox_mach_probe"

_KEYS = (
    "schema_version",
    "plan_id",
    "registry_id",
    "world_id",
    "profiles",
    "lanes",
    "controls",
    "apply_preflight_profile",
    "notes",
)


def read_plan(file: Path, shown: str) -> Document:
    """The plan in a file; every fault of its shape at once."""
    try:
        document = read_json(file, shown)
    except FileNotFoundError:
        raise BadPath(f"there is no plan {shown}") from None
    raise_all(shape_faults(document))
    return document


def shape_faults(document: Document) -> Iterator[FlowError]:
    """What keeps a document from being a plan."""
    doc = document.value
    if not isinstance(doc, dict):
        yield document.fault(BadAttribute, (), "a plan is an object")
        return
    if doc.get("schema_version") != PLAN_SCHEMA:
        message = f"the schema is {doc.get('schema_version')!r}, not {PLAN_SCHEMA}"
        yield document.fault(BadAttribute, ("schema_version",), message)
    if "schema_versions" in doc:
        message = "a plan can't override `schema_versions`"
        yield document.fault(BadAttribute, ("schema_versions",), message, "take the key out", key=True)
    for key in ("plan_id", "registry_id"):
        if not isinstance(doc.get(key), str) or not doc[key]:
            yield document.fault(BadAttribute, (key,), f"a plan needs `{key}`, a text")
    profiles = doc.get("profiles")
    if not isinstance(profiles, list) or not all(isinstance(one, str) for one in profiles):
        yield document.fault(BadAttribute, ("profiles",), "`profiles` is a list of ids")
    yield from _lane_faults(document)


def _lane_faults(document: Document) -> Iterator[FlowError]:
    lanes = document.value.get("lanes", {})
    if not isinstance(lanes, dict):
        yield document.fault(BadAttribute, ("lanes",), "`lanes` is an object of lanes, each true or false")
        return
    if all(lanes.get(lane, True) is False for lane in LANES):
        yield document.fault(BadAttribute, ("lanes",), "a plan runs at least one lane")
    for lane, value in lanes.items():
        if lane not in LANES:
            remedy = did_you_mean(lane, LANES)
            yield document.fault(UnknownName, ("lanes", lane), f"there is no lane {lane!r}", remedy, key=True)
        elif type(value) is not bool:
            yield document.fault(BadAttribute, ("lanes", lane), f"the lane {lane!r} is true or false")


def plan_faults(document: Document, registry_of: Callable[[str], Registry], root: Path) -> list[FlowError]:
    """Everything wrong with a plan that has the shape of one: with itself, and with what it names."""
    doc = document.value
    faults = list(_odd_keys(document))
    preflight = doc.get("apply_preflight_profile")
    if preflight is not None:
        faults += _preflight_faults(document, preflight, root)
    if not doc["profiles"]:
        faults.append(document.fault(BadAttribute, ("profiles",), "a plan names at least one profile"))
    try:
        registry = registry_of(doc["registry_id"])
    except UnknownName as error:
        faults.append(document.fault(UnknownName, ("registry_id",), error.message, error.remedy))
    except (FlowError, Faults) as error:
        faults += flat(error)
    else:
        for number, profile_id in enumerate(doc["profiles"]):
            faults += _profile_faults(document, number, profile_id, registry)
    return faults


def _odd_keys(document: Document) -> Iterator[FlowError]:
    """Keys that are nearly known ones. Others are somebody's own, and are left alone."""
    for key in document.value:
        near = nearest(key, _KEYS) if key not in _KEYS else None
        if near:
            yield document.fault(UnknownName, (key,), f"a plan has no key {key!r}", f"did you mean {near!r}?", key=True)


def _preflight_faults(document: Document, path: Any, root: Path) -> Iterator[FlowError]:
    at = ("apply_preflight_profile",)
    try:
        if not isinstance(path, str) or find_file(path, document, root) is None:
            yield document.fault(BadPath, at, f"the preflight profile {path!r} is not there")
    except BadPath as error:
        yield document.fault(BadPath, at, error.message, error.remedy)


def _profile_faults(document: Document, number: int, profile_id: str, registry: Registry) -> Iterator[FlowError]:
    at = ("profiles", number)
    if profile_id in document.value["profiles"][:number]:
        yield document.fault(BadAttribute, at, f"the profile {profile_id!r} stands here twice")
        return
    profile = registry.profile_entries.get(profile_id)
    if profile is None:
        message = f"registry {registry.registry_id!r} has no profile {profile_id!r}"
        yield document.fault(UnknownName, at, message, did_you_mean(profile_id, registry.profile_entries))
        return
    yield from entry_faults(registry.profiles, ("profiles", profile_id), profile, PROFILE)
    if not isinstance(profile, dict):
        return
    yield from profile_faults(registry, profile_id)
    for ref in _refs(profile):
        probe = registry.probe_entries.get(ref)
        if probe is not None:
            yield from entry_faults(registry.probes, ("probes", ref), probe, PROBE)
        if isinstance(probe, dict) and document.value.get("lanes", {}).get("scenario", True):
            yield from _mach_faults(registry, profile, ref, probe)


def _mach_faults(registry: Registry, profile: dict[str, Any], ref: str, probe: dict[str, Any]) -> Iterator[FlowError]:
    """A mach-lookup under a policy that denies by default can't be asked by a program that is started under it."""
    if probe.get("operation") != "mach-lookup" or probe.get("driver") == MACH_DRIVER:
        return
    if _denies_by_default(registry, profile):
        message = f"the probe {ref!r} looks up a Mach service under a policy that denies by default"
        yield registry.probes.fault(BadAttribute, ("probes", ref), message, f"its driver must be {MACH_DRIVER}")


def _denies_by_default(registry: Registry, profile: dict[str, Any]) -> bool:
    if any(str(rule).strip().startswith("(deny default") for rule in profile.get("key_specific_rules") or ()):
        return True
    try:
        file = registry.file(str(profile.get("profile_path")))
        return file is not None and b"(deny default" in file.read_bytes()
    except (BadPath, OSError):  # told where the file is checked
        return False


def _refs(profile: dict[str, Any]) -> list[str]:
    refs = profile.get("probe_refs")
    return [ref for ref in refs if isinstance(ref, str)] if isinstance(refs, list) else []
