"""A small run that the tests of this floor share: two profiles, three probes, every kind of answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowbuild.bundle.lanes import Evidence, Row, read_row
from flowbuild.graph.evidence import plan_document, probes_document, profiles_document, restrictions

REGISTRY: dict[str, Any] = {
    "probes": {
        "read-outside": {"operation": "file-read-data", "target": "/etc/hostname"},
        "tcp-connect": {"operation": "network-outbound", "target": "127.0.0.1:0"},
        "signal": {"operation": "signal", "target": "parent"},
    },
    "profiles": {
        "unrestricted": {"restrict": {}},
        "staged-only": {"restrict": {"files": "staged"}, "denies": ["read-outside"]},
        "no-network": {"restrict": {"network": "deny"}, "denies": ["tcp-connect"]},
    },
}
PREFLIGHT: dict[str, Any] = {
    "operations": {
        "files:staged": {"status": "degraded", "mechanism": "landlock", "abi": 7, "leaves": ["file-write-truncate"]},
        "network:deny": {
            "status": "unavailable",
            "mechanism": "seccomp",
            "abi": None,
            "errno": 38,
            "errno_name": "ENOSYS",
        },
    },
    "sandbox_check_self": {"source": "/proc/self/status", "sandboxed": False},
    "apply_report": [],
    "apply_ok": True,
    "failure_stage": None,
    "command": ["python", "-m", "probe"],
    "exit_code": 0,
    "stdout": "",
    "stderr": "",
}
LANDLOCK = {"operation": "files:staged", "mechanism": "landlock", "status": "enforced", "abi": 7}
PRIVILEGES = {"operation": "privileges", "mechanism": "capset", "status": "enforced"}
NO_TCP = {"operation": "network:deny", "mechanism": "landlock", "status": "unavailable", "abi": 3}
NO_SECCOMP = {"operation": "network:deny", "mechanism": "seccomp", "status": "unavailable", "errno_name": "ENOSYS"}


def row_document(probe: str, profile: str | None, actual: str | None, **result: Any) -> dict[str, Any]:
    """A lane row as a probe action writes it."""
    status = {"allow": "success", "deny": "errno", None: "blocked"}[actual]
    denied = {"errno": 13, "errno_name": "EACCES"} if actual == "deny" else {}
    return {
        "probe": probe,
        "operation": REGISTRY["probes"][probe]["operation"],
        "target": REGISTRY["probes"][probe]["target"],
        "lane": "scenario" if profile else "baseline",
        "profile": profile,
        "actual": actual,
        "runtime_result": {"status": status, **denied, "failure_stage": None, "failure_kind": None} | result,
        "probe_details": {},
        "exit_code": 0 if actual == "allow" else 1,
        "stdout": "",
        "stderr": "",
    }


def row(probe: str, profile: str | None, actual: str | None, **result: Any) -> Row:
    return read_row(row_document(probe, profile, actual, **result))


def blocked(probe: str) -> Row:
    """A probe whose restriction could not be applied."""
    return row(
        probe,
        "no-network",
        None,
        failure_stage="apply",
        failure_kind="policy_unavailable",
        apply_report=[NO_TCP, NO_SECCOMP],
    )


def sample(**changes: Any) -> Evidence:
    """Under staged-only all agree but the signal, which is denied; under no-network nothing could be asked."""
    probes = tuple(REGISTRY["probes"])
    evidence = Evidence(
        run_id="6f1c1e6e-3b0a-4b53-9a52-0d1f5a1f8f10",
        world_id="linux-x86_64-20896f5d37b4e517",
        channel="direct",
        plan=plan_document("//e:plan", "//e:probes", {}, REGISTRY),
        probes=probes_document("//e:probes", REGISTRY),
        profiles=profiles_document("//e:probes", REGISTRY),
        restrictions=restrictions(REGISTRY),
        lanes=("baseline", "scenario"),
        baseline=tuple(row(probe, None, "allow") for probe in probes),
        scenario={
            "unrestricted": tuple(row(probe, "unrestricted", "allow") for probe in probes),
            "staged-only": (
                row("read-outside", "staged-only", "deny", apply_report=[LANDLOCK]),
                row("tcp-connect", "staged-only", "allow", apply_report=[LANDLOCK]),
                row("signal", "staged-only", "deny", errno=1, errno_name="EPERM", apply_report=[PRIVILEGES, LANDLOCK]),
            ),
            "no-network": tuple(blocked(probe) for probe in probes),
        },
        preflight=PREFLIGHT,
        started_at_unix=1795255000,
        updated_at_unix=1795255004,
        writer_pid=4242,
        output_root="out/e/run",
    )
    return replace(evidence, **changes)


def agreeing(**changes: Any) -> Evidence:
    """A run in which every probe answers as expected."""
    probes = tuple(REGISTRY["probes"])
    denied = {("staged-only", "read-outside"), ("no-network", "tcp-connect")}
    scenario = {
        profile: tuple(row(probe, profile, "deny" if (profile, probe) in denied else "allow") for probe in probes)
        for profile in REGISTRY["profiles"]
    }
    return sample(**{"scenario": scenario, **changes})
