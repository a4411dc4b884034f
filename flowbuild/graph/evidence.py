"""Registries and plans as the documents of seed 003, what a plan expects, and the cells to run.

Knows nothing of labels' grammar or of what a host can restrict. Attributes are without fault (`evidence_faults`).

Approach: seed 003's probe has one `expected`, and its profile lists probes; ours may expect otherwise under each
profile. So each (profile, probe) pair becomes one probe `<profile>.<probe>` with its own `expected`.

Shapes:  probe_registry.v0.2, profile_registry.v0.2, plan.v0.1, expected_matrix. A registry that a target declares is
         bound to no host: its `world_id` is `host-neutral`, and a run's documents carry the host's. A profile's
         restriction is a file of its own, `profiles/<id>.json` beside the documents, which `profile_path` names.
Errors:  UnknownName when a filter names a profile or scenario that the plan does not have.
Source:  seed 003, registry and plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flowbuild.core.canonical import Digest, digest
from flowbuild.core.errors import UnknownName
from flowbuild.core.suggest import did_you_mean

NEUTRAL_WORLD = "host-neutral"
LANES = ("baseline", "scenario", "oracle")
DEFAULT_LANES = ("baseline", "scenario")

Doc = dict[str, Any]
Attributes = Mapping[str, Any]

# What a probe may say beside operation, target and expected: seed 003's optional texts.
PROBE_TEXTS = ("mode", "driver", "syscall", "attr_payload", "anchor_ctx_id", "filter_name")


class Cell(NamedTuple):
    """One probe to run: in the baseline lane without a policy (`profile` None), in the scenario lane under one."""

    lane: str
    profile: str | None
    probe: str
    operation: str
    target: str


def probes_document(registry_id: str, attrs: Attributes) -> Doc:
    """probe_registry.v0.2: a probe for each (profile, probe) pair."""
    probes = {
        f"{profile}.{name}": _probe_entry(f"{profile}.{name}", name, probe, _expected(name, probe, attrs, profile))
        for profile in attrs["profiles"]
        for name, probe in attrs["probes"].items()
    }
    return _registry("probe_registry", registry_id, "probes", probes)


def profiles_document(registry_id: str, attrs: Attributes) -> Doc:
    """profile_registry.v0.2, in mode `restrict`; `doc` stands in for `notes`."""
    profiles = {
        name: {
            "profile_id": name,
            "profile_path": profile_path(name),
            "mode": "restrict",
            "family": profile.get("family"),
            "semantic_group": profile.get("semantic_group"),
            "probe_refs": [f"{name}.{probe}" for probe in attrs["probes"]],
            "key_specific_rules": [],
            "notes": profile.get("notes", profile.get("doc")),
        }
        for name, profile in attrs["profiles"].items()
    }
    return _registry("profile_registry", registry_id, "profiles", profiles)


def profile_path(profile: str) -> str:
    """Where a profile's restriction stands, beside the registry's documents and in a bundle."""
    return f"profiles/{profile}.json"


def restrictions(attrs: Attributes) -> dict[str, Doc]:
    """What each profile forbids, as the document at its `profile_path`."""
    return {
        name: {"schema_version": "flowbuild.restriction.v1", "profile_id": name, "restrict": dict(profile["restrict"])}
        for name, profile in attrs["profiles"].items()
    }


def plan_document(plan_id: str, registry_id: str, attrs: Attributes, registry: Attributes) -> Doc:
    """plan.v0.1. A plan that names no profiles runs all of them, in the registry's order."""
    lanes = attrs.get("lanes", DEFAULT_LANES)
    return {
        "schema_version": "runtime-tools.plan.v0.1",
        "plan_id": plan_id,
        "registry_id": registry_id,
        "profiles": list(attrs.get("profiles") or registry["profiles"]),
        "lanes": {lane: lane in lanes for lane in LANES},
        "controls": {"baseline": "baseline" in lanes},
    }


def plan_digest(plan_doc: Mapping[str, Any]) -> Digest:
    """The identity of a plan: seven fields in RFC 8785 form; absent ones count as the seed counts them."""
    return digest(
        {
            "plan_id": plan_doc.get("plan_id"),
            "registry_id": plan_doc.get("registry_id"),
            "profiles": plan_doc.get("profiles") or [],
            "lanes": plan_doc.get("lanes") or {},
            "controls": plan_doc.get("controls") or {},
            "schema_versions": plan_doc.get("schema_versions") or {},
            "apply_preflight_profile": plan_doc.get("apply_preflight_profile"),
        }
    )


def expected_matrix(
    plan: Doc,
    probes: Doc,
    profiles: Doc,
    world_id: str,
    only_profiles: Sequence[str] = (),
    only_scenarios: Sequence[str] = (),
) -> Doc:
    """What each profile of a plan is expected to answer to each probe; filters leave out the rest."""
    _check_filter("profile", only_profiles, plan["profiles"])
    scenarios = [expectation_id(probes["probes"][ref]) for ref in _refs(plan, profiles)]
    _check_filter("scenario", only_scenarios, scenarios)
    found: Doc = {}
    for profile_id in plan["profiles"]:
        profile = profiles["profiles"][profile_id]
        entries = [_matrix_entry(probes["probes"][ref]) for ref in profile["probe_refs"]]
        chosen = [entry for entry in entries if not only_scenarios or entry["expectation_id"] in only_scenarios]
        if chosen and (not only_profiles or profile_id in only_profiles):
            found[profile_id] = {
                "blob": profile["profile_path"],
                "mode": profile["mode"],
                "family": profile["family"],
                "semantic_group": profile["semantic_group"],
                "probes": chosen,
            }
    return {"world_id": world_id, "profiles": found}


def has_lane(plan: Doc, lane: str) -> bool:
    """Whether a plan asks for a lane. One that it does not mention counts as enabled (seed 003)."""
    return bool((plan.get("lanes") or {}).get(lane, True))


def cells(plan: Doc, matrix: Doc, probes: Doc) -> tuple[Cell, ...]:
    """What to run for a matrix, in order: the baseline once a probe, then each (profile, probe).

    A lane leaves out the probes that don't support it. The oracle runs nothing.
    """
    pairs = [(profile, entry) for profile, row in matrix["profiles"].items() for entry in row["probes"]]
    without = {(lane, expectation_id(one)) for one in probes["probes"].values() for lane in _unsupported(one)}
    found: dict[Cell, None] = {}
    for lane in ("baseline", "scenario"):
        for profile, entry in pairs if has_lane(plan, lane) else ():
            if (lane, entry["expectation_id"]) not in without:
                whose = profile if lane == "scenario" else None
                found[Cell(lane, whose, entry["name"], entry["operation"], entry["target"])] = None
    return tuple(found)


def _unsupported(probe: Doc) -> Iterator[str]:
    yield from (lane for lane, on in (probe.get("supports_lanes") or {}).items() if on is False)


def _expected(name: str, probe: Attributes, attrs: Attributes, profile: str) -> str:
    row = attrs["profiles"][profile]
    if name in row.get("denies", ()):
        return "deny"
    if name in row.get("allows", ()):
        return "allow"
    return str(probe.get("expected", "allow"))


def _probe_entry(probe_id: str, name: str, probe: Attributes, expected: str) -> Doc:
    entry: Doc = {
        "probe_id": probe_id,
        "name": name,
        "operation": probe["operation"],
        "target": probe["target"],
        "expected": expected,
        "supports_lanes": dict.fromkeys(LANES, True),
        "expected_primary_ops": [probe["operation"]],
        "expected_predicates": [probe["target"]],
        "capabilities_required": list(probe.get("capabilities_required", ())),
        "controls_supported": ["baseline"],
    }
    return entry | {key: probe[key] for key in (*PROBE_TEXTS, "filter_type") if key in probe}


def _registry(kind: str, registry_id: str, key: str, entries: Doc) -> Doc:
    return {
        "schema_version": f"runtime-tools.{kind}.v0.2",
        "registry_id": registry_id,
        "world_id": NEUTRAL_WORLD,
        key: entries,
    }


def _refs(plan: Doc, profiles: Doc) -> Iterator[str]:
    for profile_id in plan["profiles"]:
        yield from profiles["profiles"][profile_id]["probe_refs"]


def expectation_id(probe: Doc) -> str:
    """What a matrix and its observations call a probe."""
    return str(probe.get("expectation_id") or probe["probe_id"])


def _matrix_entry(probe: Doc) -> Doc:
    entry = {key: probe[key] for key in ("name", "operation", "target", "expected")}
    entry["expectation_id"] = expectation_id(probe)
    return entry | {key: probe[key] for key in (*PROBE_TEXTS, "filter_type") if key in probe}


def _check_filter(kind: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for word in wanted:
        if word not in known:
            raise UnknownName(f"the plan has no {kind} {word!r}", remedy=did_you_mean(word, known))
