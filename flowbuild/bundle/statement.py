"""What a promotion says in the world's own format: three in-toto Statements about one bundle.

Knows nothing of keys, envelopes or files. The subject of each is the digest of the bundle's index, which stands for
every file in it. All but the time of the third is a pure function of the bundle.

Shapes:  Statement v1 with the predicates SLSA provenance v1, test-result v0.1 and SVR v0.2. A test is named
         `<profile>.<probe>`: passed when it was seen as expected, failed when not, warned when it could not be asked.
Source:  in-toto Attestation Framework v1; SLSA provenance v1; seed 003.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from flowbuild.bundle.layout import (
    BASELINE_RESULTS,
    EVENTS,
    EXPECTED,
    INDEX,
    JOURNAL,
    MANIFEST,
    PREFLIGHT,
    RUNTIME_RESULTS,
    SUMMARY,
)
from flowbuild.bundle.read import RunBundle
from flowbuild.core.errors import StoreCorrupt
from flowbuild.version import __version__

Doc = dict[str, Any]

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SVR = "https://in-toto.io/attestation/svr/v0.2"

# The short names that people write for the predicate types.
PREDICATES = {"provenance": PROVENANCE, "test-result": TEST_RESULT, "svr": SVR}

# property: the reasons of which none may stand against the bundle.
_PROPERTIES = {
    "FLOWBUILD_RUN_COMMITTED": ("manifest_missing", "run_status_missing", "bundle_in_progress"),
    "FLOWBUILD_RUN_NOT_FAILED": ("bundle_failed",),
    "FLOWBUILD_BUNDLE_INTACT": ("bundle_integrity_unverified",),
    "FLOWBUILD_BUNDLE_COMPLETE": ("bundle_incomplete", "decision_stage_artifacts_missing"),
    "FLOWBUILD_CLEAN_CHANNEL": ("not_clean_channel",),
    "FLOWBUILD_PREFLIGHT_PROVEN": ("apply_preflight_missing", "apply_failed", "already_sandboxed"),
}


class Answers(NamedTuple):
    """The names of a run's probes by how they came out, each in order."""

    passed: list[str]
    warned: list[str]
    failed: list[str]


def statements(bundle: RunBundle, packet: Doc, now_unix: int) -> list[Doc]:
    """The three statements about a bundle and its packet. Each predicate stands under its type."""
    found = {
        PROVENANCE: _provenance(bundle),
        TEST_RESULT: _test_result(bundle),
        SVR: _verification(bundle, packet, now_unix),
    }
    subject = [{"name": INDEX, "digest": {"sha256": bundle.index_digest}}]
    return [
        {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}
        for kind, predicate in found.items()
    ]


def answers(bundle: RunBundle) -> Answers:
    """How each probe under each profile came out. StoreCorrupt when the results are not of the seed's shape."""
    found = Answers([], [], [])
    try:
        for profile, row in bundle.document(RUNTIME_RESULTS).items():
            for probe in row["probes"]:
                place = {True: found.passed, False: found.failed, None: found.warned}[probe["match"]]
                place.append(f"{profile}.{probe['name']}")
    except (AttributeError, KeyError, TypeError):
        raise StoreCorrupt(f"{bundle.out_dir / RUNTIME_RESULTS}: not the results of a run") from None
    return Answers(*(sorted(names) for names in found))


def _provenance(bundle: RunBundle) -> Doc:
    """How the bundle came to be."""
    asked = _object(bundle, MANIFEST)
    status, manifest = bundle.status or {}, bundle.run_manifest or {}
    channel, world = str(manifest.get("channel")), str(status.get("world_id"))
    parameters = asked.get("input_params") if isinstance(asked.get("input_params"), dict) else {}
    version = asked.get("op_version")
    return {
        "buildDefinition": {
            "buildType": "urn:flowbuild:run:v1",
            "externalParameters": {
                **(parameters or {}),
                "plan_id": status.get("plan_id"),
                "plan_digest": status.get("plan_digest"),
            },
            "internalParameters": {"world_id": status.get("world_id")},
            "resolvedDependencies": list(_descriptors(bundle, _declared(bundle))),
        },
        "runDetails": {
            "builder": {
                "id": f"urn:flowbuild:builder:{quote(channel)}:{quote(world)}",
                "version": {"flowbuild": version if isinstance(version, str) else __version__},
            },
            "metadata": {"invocationId": status.get("run_id"), **_times(bundle)},
            "byproducts": list(_descriptors(bundle, (JOURNAL, PREFLIGHT, BASELINE_RESULTS, EVENTS, SUMMARY))),
        },
    }


def _test_result(bundle: RunBundle) -> Doc:
    """What was expected and seen."""
    found = answers(bundle)
    return {
        "result": "FAILED" if found.failed else "WARNED" if found.warned else "PASSED",
        "configuration": list(_descriptors(bundle, (EXPECTED, "plan.json"))),
        "passedTests": found.passed,
        "warnedTests": found.warned,
        "failedTests": found.failed,
    }


def _verification(bundle: RunBundle, packet: Doc, now_unix: int) -> Doc:
    """What was checked before signing."""
    against = set(packet["promotability"]["reasons"])
    properties = [name for name, words in _PROPERTIES.items() if against.isdisjoint(words)]
    found = answers(bundle)
    properties += [] if against else ["FLOWBUILD_PROMOTABLE_DECISION_STAGE"]
    properties += [] if found.failed or found.warned else ["FLOWBUILD_EVERY_PROBE_AS_EXPECTED"]
    return {
        "verifier": {"id": f"urn:flowbuild:promotion:{packet['schema_version']}", "policies": []},
        "timeCreated": _time(now_unix),
        "properties": properties,
    }


def _declared(bundle: RunBundle) -> list[str]:
    """What was run: the plan, its registry and its restrictions."""
    listed = [entry.path for entry in bundle.index.artifacts] if bundle.index else []
    named = ("plan.json", "probes.json", "profiles.json")
    return [path for path in listed if path in named or path.startswith("profiles/")]


def _descriptors(bundle: RunBundle, paths: tuple[str, ...] | list[str]) -> Iterator[Doc]:
    """The resource descriptors of those paths that the bundle has."""
    entries = {entry.path: entry for entry in bundle.index.artifacts} if bundle.index else {}
    for path in paths:
        if path in entries:
            yield {"name": path, "digest": {"sha256": entries[path].sha256}}


def _times(bundle: RunBundle) -> Doc:
    """When the run began and ended, as far as the bundle says it."""
    found = {}
    updated = (bundle.status or {}).get("updated_at_unix")
    if bundle.has(JOURNAL):
        from flowbuild.store.journal import read

        first = next(iter(read(bundle.out_dir / JOURNAL)), {}).get("ts_millis")
        if isinstance(first, int):
            found["startedOn"] = _time(first // 1000)
    if isinstance(updated, int):
        found["finishedOn"] = _time(updated)
    return found


def _time(unix: int) -> str:
    try:
        return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        raise StoreCorrupt(f"{unix} is no time") from None


def _object(bundle: RunBundle, name: str) -> Doc:
    doc = bundle.document(name) if bundle.has(name) else {}
    return doc if isinstance(doc, dict) else {}
