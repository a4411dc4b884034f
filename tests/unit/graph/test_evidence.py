"""Registries and plans: faults with their places, the seed's documents, the digest, the cells."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flowbuild.core.errors import UnknownName
from flowbuild.graph.evidence import (
    cells,
    expected_matrix,
    plan_digest,
    plan_document,
    probes_document,
    profiles_document,
    restrictions,
)
from flowbuild.graph.evidence_faults import plan_faults, registry_faults

REGISTRY: dict[str, Any] = {
    "probes": {
        "read-outside": {"operation": "file-read-data", "target": "/etc/hostname", "doc": "outside the staged tree"},
        "tcp-connect": {"operation": "network-outbound", "target": "127.0.0.1:0", "driver": "loopback"},
        "secret": {"operation": "environment-read", "target": "SECRET", "expected": "deny"},
    },
    "profiles": {
        "unrestricted": {"restrict": {}, "allows": ["secret"]},
        "no-network": {
            "restrict": {"network": "deny"},
            "denies": ["tcp-connect"],
            "doc": "no sockets",
            "family": "net",
        },
    },
}
PLAN: dict[str, Any] = {"registry": "//e:probes", "profiles": ["no-network", "unrestricted"]}
WORDS = {"network": ("deny",), "files": ("read-only", "staged")}


def documents(plan: dict[str, Any] = PLAN) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    probes, profiles = probes_document("//e:probes", REGISTRY), profiles_document("//e:probes", REGISTRY)
    return plan_document("//e:plan", "//e:probes", plan, REGISTRY), probes, profiles


def broken(*path: Any, value: Any) -> dict[str, Any]:
    attrs = copy.deepcopy(REGISTRY)
    at: Any = attrs
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return attrs


def test_a_sound_registry_and_plan_have_no_fault() -> None:
    assert registry_faults(REGISTRY, WORDS) == []
    assert plan_faults(PLAN, REGISTRY) == []


@pytest.mark.parametrize(
    ("path", "value", "pointer", "says"),
    [
        (("probes",), {}, ("probes",), "at least one"),
        (("probes",), None, ("probes",), "at least one"),
        (("profiles",), "x", ("profiles",), "at least one"),
        (("probes", "a.b"), {"operation": "o", "target": "t"}, ("probes", "a.b"), "not a name"),
        (("probes", "Secret"), {"operation": "o", "target": "t"}, ("probes", "Secret"), "differ only in case"),
        (("probes", "secret"), [], ("probes", "secret"), "a probe is a mapping"),
        (("probes", "secret"), {"operation": "o"}, ("probes", "secret"), "needs `target`"),
        (("probes", "secret", "target"), 3, ("probes", "secret", "target"), "is a text"),
        (("probes", "secret", "expected"), "no", ("probes", "secret", "expected"), "allow or deny"),
        (("probes", "secret", "filter_type"), True, ("probes", "secret", "filter_type"), "an integer"),
        (("probes", "secret", "capabilities_required"), "x", ("probes", "secret", "capabilities_required"), "list"),
        (("probes", "secret", "operatoin"), "x", ("probes", "secret", "operatoin"), "unknown key"),
        (("profiles", "no-network"), None, ("profiles", "no-network"), "a profile is a mapping"),
        (("profiles", "no-network", "restrict"), None, ("profiles", "no-network"), "needs `restrict`"),
        (("profiles", "no-network", "restrict"), "deny", ("profiles", "no-network", "restrict"), "needs `restrict`"),
        (("profiles", "no-network", "restrict", "netwrok"), "deny", ("profiles", "no-network", "restrict", "netwrok"), "unknown restriction"),
        (("profiles", "no-network", "restrict", "network"), "off", ("profiles", "no-network", "restrict", "network"), "cannot be 'off'"),
        (("profiles", "no-network", "restrict", "network"), True, ("profiles", "no-network", "restrict", "network"), "is a word"),
        (("profiles", "no-network", "denies"), ["tcp-conect"], ("profiles", "no-network", "denies", 0), "no probe"),
        (("profiles", "no-network", "denies"), ["secret", "secret"], ("profiles", "no-network", "denies", 1), "twice"),
        (("profiles", "no-network", "denies"), "secret", ("profiles", "no-network", "denies"), "a list of names"),
        (("profiles", "no-network", "allows"), ["tcp-connect"], ("profiles", "no-network", "allows", 0), "too"),
        (("profiles", "no-network", "notes"), 1, ("profiles", "no-network", "notes"), "is a text"),
        (("profiles", "no-network", "denys"), [], ("profiles", "no-network", "denys"), "unknown key"),
    ],
)  # fmt: skip
def test_a_fault_of_a_registry_points_at_its_place(path: Any, value: Any, pointer: Any, says: str) -> None:
    faults = registry_faults(broken(*path, value=value), WORDS)
    assert [fault for fault in faults if fault.pointer == pointer and says in fault.message], faults


def test_all_faults_come_at_once_with_the_nearest_word() -> None:
    attrs = broken("profiles", "no-network", "denies", value=["tcp-conect", "red-outside"])
    assert [fault.remedy for fault in registry_faults(attrs)] == [
        "did you mean 'tcp-connect'?",
        "did you mean 'read-outside'?",
    ]


@pytest.mark.parametrize(
    ("plan", "pointer"),
    [
        ({"profiles": ["no-netwrok"]}, ("profiles", 0)),
        ({"profiles": ["no-network", "no-network"]}, ("profiles", 1)),
        ({"profiles": "no-network"}, ("profiles",)),
        ({"lanes": ["orakel"]}, ("lanes", 0)),
        ({"lanes": []}, ("lanes",)),
    ],
)
def test_a_fault_of_a_plan_points_at_its_place(plan: Any, pointer: Any) -> None:
    assert [fault.pointer for fault in plan_faults(plan, REGISTRY)] == [pointer]


def test_each_pair_is_a_probe_with_its_own_expectation() -> None:
    probes = documents()[1]
    assert {ref: probe["expected"] for ref, probe in probes["probes"].items()} == {
        "unrestricted.read-outside": "allow",
        "unrestricted.tcp-connect": "allow",
        "unrestricted.secret": "allow",
        "no-network.read-outside": "allow",
        "no-network.tcp-connect": "deny",
        "no-network.secret": "deny",
    }


def test_probes_have_the_fields_of_the_seed_and_no_other() -> None:
    probes = documents()[1]
    assert {key: probes[key] for key in probes if key != "probes"} == {
        "schema_version": "runtime-tools.probe_registry.v0.2",
        "registry_id": "//e:probes",
        "world_id": "host-neutral",
    }
    assert probes["probes"]["no-network.tcp-connect"] == {
        "probe_id": "no-network.tcp-connect",
        "name": "tcp-connect",
        "operation": "network-outbound",
        "target": "127.0.0.1:0",
        "expected": "deny",
        "supports_lanes": {"baseline": True, "scenario": True, "oracle": True},
        "expected_primary_ops": ["network-outbound"],
        "expected_predicates": ["127.0.0.1:0"],
        "capabilities_required": [],
        "controls_supported": ["baseline"],
        "driver": "loopback",
    }
    assert "doc" not in probes["probes"]["no-network.read-outside"]


def test_profiles_have_the_fields_of_the_seed_and_no_other() -> None:
    profiles = documents()[2]
    assert profiles["schema_version"] == "runtime-tools.profile_registry.v0.2"
    assert profiles["profiles"]["no-network"] == {
        "profile_id": "no-network",
        "profile_path": "profiles/no-network.json",
        "mode": "restrict",
        "family": "net",
        "semantic_group": None,
        "probe_refs": ["no-network.read-outside", "no-network.tcp-connect", "no-network.secret"],
        "key_specific_rules": [],
        "notes": "no sockets",
    }
    assert restrictions(REGISTRY)["no-network"]["restrict"] == {"network": "deny"}


def test_a_plan_names_its_profiles_and_lanes() -> None:
    assert documents()[0] == {
        "schema_version": "runtime-tools.plan.v0.1",
        "plan_id": "//e:plan",
        "registry_id": "//e:probes",
        "profiles": ["no-network", "unrestricted"],
        "lanes": {"baseline": True, "scenario": True, "oracle": False},
        "controls": {"baseline": True},
    }
    assert documents({"lanes": ["scenario"]})[0]["profiles"] == ["unrestricted", "no-network"]


def test_the_plan_digest_agrees_with_the_vector_of_the_seed() -> None:
    families = ["mach_lookup", "mach_lookup_allow", "notifications", "notifications_allow", "process_info_allow"]
    families += ["process_info_allow_canary", "process_info_deny", "signal_self_allow", "signal_self_deny"]
    plan = {
        "plan_id": "hardened-runtime.v1",
        "registry_id": "hardened-runtime",
        "profiles": [f"hardened:{name}" for name in [*families, "sysctl_read", "sysctl_read_allow"]],
        "lanes": {"baseline": True, "scenario": True, "oracle": True},
        "controls": {"baseline": True},
        "apply_preflight_profile": "book/experiments/hardened-runtime/sb/apply_preflight_allow.sb",
    }
    assert plan_digest(plan) == "94d6e76483e1414b5e44bbda225be222a2ce5fcdfdd5001648237f6ccca2f11e"
    assert plan_digest(plan | {"world_id": "w", "notes": "n"}) == plan_digest(plan)


def test_the_matrix_carries_each_expectation() -> None:
    matrix = expected_matrix(*documents(), "this-host")
    assert matrix["world_id"] == "this-host"
    row = matrix["profiles"]["no-network"]
    assert {key: row[key] for key in row if key != "probes"} == {
        "blob": "profiles/no-network.json",
        "mode": "restrict",
        "family": "net",
        "semantic_group": None,
    }
    assert row["probes"][1] == {
        "name": "tcp-connect",
        "operation": "network-outbound",
        "target": "127.0.0.1:0",
        "expected": "deny",
        "expectation_id": "no-network.tcp-connect",
        "driver": "loopback",
    }


def test_cells_run_the_baseline_once_a_probe_and_each_pair_once() -> None:
    plan = documents()[0]
    found = cells(plan, expected_matrix(*documents(), "w"), documents()[1])
    assert [(cell.lane, cell.profile, cell.probe) for cell in found] == [
        ("baseline", None, "read-outside"),
        ("baseline", None, "tcp-connect"),
        ("baseline", None, "secret"),
        ("scenario", "no-network", "read-outside"),
        ("scenario", "no-network", "tcp-connect"),
        ("scenario", "no-network", "secret"),
        ("scenario", "unrestricted", "read-outside"),
        ("scenario", "unrestricted", "tcp-connect"),
        ("scenario", "unrestricted", "secret"),
    ]
    assert {
        cell.lane
        for cell in cells(plan | {"lanes": {"baseline": False}}, expected_matrix(*documents(), "w"), documents()[1])
    } == {"scenario"}


def test_filters_leave_out_the_rest_and_refuse_unknown_words() -> None:
    matrix = expected_matrix(*documents(), "w", only_profiles=["no-network"])
    assert list(matrix["profiles"]) == ["no-network"]
    matrix = expected_matrix(*documents(), "w", only_scenarios=["unrestricted.secret"])
    assert [cell.probe for cell in cells(documents()[0], matrix, documents()[1])] == ["secret", "secret"]
    with pytest.raises(UnknownName, match="no profile 'no-netwrok'; did you mean 'no-network'"):
        expected_matrix(*documents(), "w", only_profiles=["no-netwrok"])
