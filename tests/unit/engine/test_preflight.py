"""The preflight: what is achieved on this host, and on hosts that lack a mechanism."""

from __future__ import annotations

import errno
import json
from typing import Any

import hosts
import pytest

from flowbuild.engine import preflight
from flowbuild.engine.restrict import COVERS, DEGRADED, ENFORCED, UNAVAILABLE
from flowbuild.engine.seccomp import refuse

FILTERS = pytest.mark.skipif(not hosts.has_filters(), reason="needs seccomp filters")
NO_LANDLOCK = [refuse(number, errno.ENOSYS) for number in (444, 445, 446)]
NO_FILTERS = [refuse("prctl", errno.EINVAL, only=22)]
NO_NAMESPACE = [refuse("unshare", errno.EPERM)]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return hosts.record()


def test_it_is_the_same_on_every_run(record: dict[str, Any]) -> None:
    assert hosts.record() == record


def test_every_restriction_has_its_entry_and_every_operation_its_canary(record: dict[str, Any]) -> None:
    assert set(record["operations"]) == set(COVERS)
    assert {name for covered in COVERS.values() for name in covered} == set(preflight.CANARIES)


@pytest.mark.skipif(hosts.landlock_abi() < 6 or not hosts.has_filters(), reason="needs Landlock ABI 6 and seccomp")
def test_a_whole_host_enforces_everything(record: dict[str, Any]) -> None:
    assert {entry["status"] for entry in record["operations"].values()} == {ENFORCED}
    assert all(entry["errno"] and not entry["leaves"] for entry in record["operations"].values())
    assert (record["apply_ok"], record["failure_stage"]) == (True, None)
    assert record["operations"]["exec:deny"]["mechanism"] == "landlock+seccomp"


@FILTERS
def test_without_landlock_files_are_unavailable() -> None:
    found = hosts.record(NO_LANDLOCK)
    for name in ("files:read-only", "files:staged"):
        entry = found["operations"][name]
        assert (entry["status"], entry["errno_name"], entry["mechanism"]) == (UNAVAILABLE, "ENOSYS", None)
    assert found["operations"]["network:deny"]["status"] == ENFORCED
    assert (found["apply_ok"], found["failure_stage"]) == (False, "apply")


@FILTERS
@pytest.mark.skipif(hosts.landlock_abi() < 4, reason="needs Landlock's TCP rules")
def test_with_landlock_alone_the_network_is_degraded() -> None:
    entry = hosts.record(NO_FILTERS + NO_NAMESPACE)["operations"]["network:deny"]
    assert (entry["status"], entry["leaves"]) == (DEGRADED, ["network-outbound-udp"])


@FILTERS
def test_an_outer_filter_is_seen() -> None:
    said = hosts.record(NO_LANDLOCK)["sandbox_check_self"]
    assert said["sandboxed"] is True and said["seccomp"] == 2


@FILTERS
def test_the_digest_is_of_what_was_achieved(record: dict[str, Any]) -> None:
    same = record | {"apply_report": [], "sandbox_check_self": {}}
    assert preflight.isolation_digest(same) == preflight.isolation_digest(json.loads(json.dumps(record)))
    assert preflight.isolation_digest(hosts.record(NO_LANDLOCK)) != preflight.isolation_digest(record)


def _row(actual: str | None, number: int | None = None) -> dict[str, Any]:
    name = errno.errorcode.get(number or 0)
    return {"operation": "signal", "actual": actual, "runtime_result": {"errno": number, "errno_name": name}}


def _entry(actual: str | None, status: str = ENFORCED, is_open: bool = True) -> dict[str, Any]:
    step = {"operation": "signals:deny", "mechanism": "m", "status": status, "abi": None, "errno": None, "leaves": []}
    rows = [_row(actual, errno.EPERM if actual == "deny" else None)]
    return preflight.achievement("signals:deny", rows, [step], {"signal": is_open})


def test_a_mechanism_that_stops_nothing_is_unavailable() -> None:
    assert _entry("deny")["status"] == ENFORCED
    assert _entry("deny", DEGRADED)["status"] == DEGRADED
    assert _entry("allow")["status"] == UNAVAILABLE
    assert _entry(None, UNAVAILABLE)["status"] == UNAVAILABLE


def test_what_the_host_refuses_anyway_proves_nothing() -> None:
    entry = _entry("deny", is_open=False)
    assert (entry["status"], entry["untested"], entry["errno"]) == (DEGRADED, ["signal"], None)
