"""Policies on a real kernel, whole and with mechanisms taken away by an outer filter. Absence fails closed."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Any

import hosts
import pytest

from flowbuild.engine import operations, restrict, seatbelt
from flowbuild.engine.restrict import COVERS, DEGRADED, ENFORCED, UNAVAILABLE, VALUES, Step
from flowbuild.engine.seccomp import Rule, refuse

ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux mechanisms")
FILTERS = pytest.mark.skipif(not hosts.has_filters(), reason="needs seccomp filters")
NO_LANDLOCK = [refuse(number, errno.ENOSYS) for number in (444, 445, 446)]
NO_NAMESPACE = [refuse("unshare", errno.EPERM)]
PR_SET_SECCOMP = 22

SINGLE = [(key, value) for key, values in VALUES.items() for value in values]


def no_filters(number: int = errno.EINVAL) -> list[Rule]:
    return [refuse("prctl", number, only=PR_SET_SECCOMP)]


def means(row: dict[str, Any], name: str) -> dict[str, tuple[str, str | None]]:
    """Mechanism to (status, errno name) of one restriction's steps."""
    steps = row["runtime_result"]["apply_report"]
    return {s["mechanism"]: (s["status"], s["errno_name"]) for s in steps if s["operation"] == name}


def assert_blocked(row: dict[str, Any]) -> None:
    result = row["runtime_result"]
    assert (row["actual"], row["exit_code"], result["errno"]) == (None, None, None)
    assert (result["status"], result["failure_stage"]) == ("blocked", "apply")


@pytest.fixture(scope="module")
def achieved() -> dict[str, Any]:
    found: dict[str, Any] = hosts.record()["operations"]
    return found


@pytest.mark.parametrize(("key", "value"), SINGLE)
def test_what_is_enforced_turns_the_answer_with_an_errno(achieved: dict[str, Any], key: str, value: str) -> None:
    if achieved[f"{key}:{value}"]["status"] != ENFORCED:
        pytest.skip(f"{key}:{value} is {achieved[f'{key}:{value}']} here")
    covered = COVERS[f"{key}:{value}"]
    assert {row["actual"] for row in hosts.rows([hosts.request(each) for each in covered])} == {"allow"}
    for row in hosts.rows([hosts.request(each, {key: value}) for each in covered]):
        assert row["actual"] == "deny" and row["runtime_result"]["status"] == "errno"
        assert row["runtime_result"]["errno_name"] in ("EACCES", "EPERM", "ENOENT")


@pytest.mark.parametrize(("key", "value"), SINGLE)
def test_a_policy_stops_no_more_than_it_covers(achieved: dict[str, Any], key: str, value: str) -> None:
    if achieved[f"{key}:{value}"]["status"] == UNAVAILABLE:
        pytest.skip(f"{key}:{value} is unavailable here")
    others = set(operations.OPERATIONS) - set(COVERS[f"{key}:{value}"])
    found = hosts.rows([hosts.request(each, {key: value}) for each in others])
    assert {row["operation"] for row in found if row["actual"] == "allow"} == others


@pytest.mark.parametrize(
    ("operation", "target"), [("file-read-data", "staged/file"), ("file-write-create", "staged/x")]
)
def test_staged_leaves_the_staged_directory(achieved: dict[str, Any], operation: str, target: str) -> None:
    if achieved["files:staged"]["status"] == UNAVAILABLE:
        pytest.skip("files:staged is unavailable here")
    assert hosts.row(hosts.request(operation, {"files": "staged"}, target))["actual"] == "allow"


def test_the_baseline_lane_applies_nothing() -> None:
    row = hosts.row(hosts.request("network-outbound", {"network": "deny"}) | {"lane": "baseline"})
    assert (row["actual"], row["runtime_result"]["apply_report"]) == ("allow", [])


@ON_LINUX
def test_an_ordinary_user_is_held_as_well() -> None:
    for key, value in SINGLE:
        operation = COVERS[f"{key}:{value}"][0]
        row = hosts.row(hosts.request(operation, {key: value}), command=hosts.as_nobody())
        root = hosts.row(hosts.request(operation, {key: value}))
        assert (row["actual"], row["runtime_result"]) == (root["actual"], root["runtime_result"])


@ON_LINUX
def test_any_restriction_drops_privileges_for_what_is_run_as_well() -> None:
    said = under({"environment": "scrub"}, "os.execv('/bin/cat', ['cat', '/proc/self/status'])")
    status = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert {status[name].strip("0 ") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert status["NoNewPrivs"] == "1"


@FILTERS
def test_no_exec_holds_for_a_program_in_memory() -> None:
    code = """
from pathlib import Path
memory = os.memfd_create("program")
os.write(memory, Path("/bin/cat").read_bytes())
try:
    os.execve(memory, ["cat", "/etc/hosts"], {})
except PermissionError as error:
    print(error.errno)
"""
    assert under({"exec": "deny"}, code) == f"{errno.EACCES}\n"


@FILTERS
def test_no_network_leaves_local_sockets_and_nothing_else() -> None:
    code = """
import socket
from flowbuild.engine.syscalls import syscall
def answer(act, *arguments):
    try:
        act(*arguments)
        return 0
    except OSError as error:
        return error.errno
MPTCP = 262
kinds = [(socket.AF_UNIX, 1), (socket.AF_INET, 1), (socket.AF_INET, 1, MPTCP), (socket.AF_INET6, 2)]
kinds += [(socket.AF_NETLINK, 3)]
print([answer(socket.socket, *kind) for kind in kinds], answer(socket.socketpair), answer(syscall, 425, 1, None))
"""
    assert under({"network": "deny"}, code) == f"{[0] + [errno.EACCES] * 4} 0 {errno.EACCES}\n"


def under(policy: dict[str, str], code: str) -> str:
    """What a process prints that has applied a policy to itself."""
    text = "import os, sys; sys.path.append(sys.argv[1]); from flowbuild.engine import restrict"
    text += f"\nrestrict.apply({policy!r}, staged='/tmp')\n{code}"
    return hosts.raw([*hosts.PYTHON, "-c", text, hosts.ROOT]).decode()


@FILTERS
@pytest.mark.parametrize("value", VALUES["files"])
@pytest.mark.parametrize("operation", ["file-read-data", "file-write-data", "file-read-metadata"])
def test_files_without_landlock_are_blocked_whatever_is_probed(value: str, operation: str) -> None:
    row = hosts.row(hosts.request(operation, {"files": value}), NO_LANDLOCK)
    assert_blocked(row)
    assert row["runtime_result"]["failure_kind"] == "policy_unavailable"
    assert means(row, f"files:{value}") == {"landlock": (UNAVAILABLE, "ENOSYS")}


@FILTERS
@pytest.mark.parametrize("number", [445, 446])
def test_files_are_blocked_when_only_one_landlock_call_is_missing(number: int) -> None:
    row = hosts.row(hosts.request("file-read-data", {"files": "staged"}), [refuse(number, errno.ENOSYS)])
    assert_blocked(row)


@FILTERS
def test_without_landlock_the_other_restrictions_find_other_means() -> None:
    expected = {
        "exec": ("process-exec", ENFORCED),
        "signals": ("signal", DEGRADED),
        "network": ("network-bind", ENFORCED),
    }
    for key, (operation, status) in expected.items():
        row = hosts.row(hosts.request(operation, {key: "deny"}), NO_LANDLOCK)
        assert (row["actual"], row["runtime_result"]["errno_name"]) == ("deny", "EACCES")
        assert means(row, f"{key}:deny")["seccomp"] == (status, None)


@FILTERS
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_network_without_seccomp_is_left_by_a_namespace(number: int) -> None:
    rows = [hosts.row(hosts.request(each, {"network": "deny"}), no_filters(number)) for each in COVERS["network:deny"]]
    found = means(rows[0], "network:deny")
    assert found["seccomp"] == (UNAVAILABLE, errno.errorcode[number])
    if found["network-namespace"][0] == UNAVAILABLE:
        pytest.skip("this host lets us into no network namespace")
    answers = {row["operation"]: row["runtime_result"]["errno_name"] for row in rows}
    assert answers["network-outbound-udp"] == "ENETUNREACH"
    if hosts.landlock_abi() >= 4:
        assert answers["network-bind"] == answers["network-outbound"] == "EACCES"


@FILTERS
@pytest.mark.skipif(hosts.landlock_abi() < 4, reason="needs Landlock's TCP rules")
def test_network_with_landlock_alone_does_not_answer_for_udp() -> None:
    outer = no_filters() + NO_NAMESPACE
    tcp = hosts.row(hosts.request("network-outbound", {"network": "deny"}), outer)
    assert (tcp["actual"], tcp["runtime_result"]["errno_name"]) == ("deny", "EACCES")
    assert means(tcp, "network:deny") == {
        **{"network-namespace": (UNAVAILABLE, "EPERM"), "landlock": (DEGRADED, None)},
        **{"seccomp": (UNAVAILABLE, "EINVAL")},
    }
    udp = hosts.row(hosts.request("network-outbound-udp", {"network": "deny"}), outer)
    assert_blocked(udp)
    assert udp["runtime_result"]["failure_kind"] == "not_enforced"


@FILTERS
def test_network_by_a_namespace_alone_does_not_answer_for_bind() -> None:
    outer = no_filters() + NO_LANDLOCK
    row = hosts.row(hosts.request("network-bind", {"network": "deny"}), outer)
    assert_blocked(row)
    if means(row, "network:deny")["network-namespace"][0] != UNAVAILABLE:
        assert hosts.row(hosts.request("network-outbound", {"network": "deny"}), outer)["actual"] == "deny"


@FILTERS
@pytest.mark.parametrize("operation", COVERS["network:deny"])
def test_network_without_any_means_is_blocked(operation: str) -> None:
    outer = no_filters() + NO_NAMESPACE + NO_LANDLOCK
    assert_blocked(hosts.row(hosts.request(operation, {"network": "deny"}), outer))


@FILTERS
@pytest.mark.parametrize("key", ["exec", "signals"])
def test_other_restrictions_without_any_means_are_blocked(key: str) -> None:
    operation = COVERS[f"{key}:deny"][0]
    assert_blocked(hosts.row(hosts.request(operation, {key: "deny"}), no_filters() + NO_LANDLOCK))


@FILTERS
def test_exec_by_paths_alone_is_called_degraded() -> None:
    if not hosts.landlock_abi():
        pytest.skip("needs Landlock")
    row = hosts.row(hosts.request("process-exec", {"exec": "deny"}), no_filters())
    assert row["actual"] == "deny"
    assert means(row, "exec:deny") == {"landlock": (DEGRADED, None), "seccomp": (UNAVAILABLE, "EINVAL")}


@FILTERS
def test_one_missing_restriction_blocks_the_whole_policy() -> None:
    policy = {"files": "staged", "environment": "scrub"}
    assert_blocked(hosts.row(hosts.request("environment-read", policy), NO_LANDLOCK))


@pytest.mark.parametrize("policy", [{}, {"files": "staged", "network": "deny"}, {"environment": "scrub"}])
def test_good_policies_have_no_faults(policy: dict[str, str]) -> None:
    assert restrict.check(policy) == []


@pytest.mark.parametrize(
    ("policy", "parts"),
    [
        ({"file": "staged"}, ["unknown restriction 'file'"]),
        ({"files": "deny", "exec": None}, ["files: 'deny' is none of", "exec: None is none of deny"]),
        (["network"], ["restrict is a mapping"]),
        ({"network": ["deny"]}, ["network: ['deny'] is none of"]),
    ],
)
def test_faults_of_a_policy_are_named(policy: object, parts: Sequence[str]) -> None:
    faults = restrict.check(policy)
    assert len(faults) == len(parts)
    assert all(part in fault for part, fault in zip(parts, faults, strict=True))


def test_applying_an_unknown_restriction_is_refused_before_anything_is_applied() -> None:
    with pytest.raises(ValueError, match="unknown restriction"):
        restrict.apply({"time": "deny"}, staged="/")


def test_a_restriction_leaves_open_what_all_of_its_means_leave_open() -> None:
    tcp = Step("network:deny", "landlock", DEGRADED, leaves=("network-outbound-udp",))
    namespace = Step("network:deny", "network-namespace", DEGRADED, leaves=("network-bind",))
    absent = Step("network:deny", "seccomp", UNAVAILABLE)
    assert restrict.left_open([tcp, absent]) == {"network-outbound-udp"}
    assert restrict.left_open([tcp, namespace, absent]) == set()


def test_tables_are_total() -> None:
    names = {f"{key}:{value}" for key, value in SINGLE}
    assert set(COVERS) == names
    assert {name for covered in COVERS.values() for name in covered} <= set(operations.OPERATIONS)
    assert "environment:scrub" not in seatbelt.policy(sorted(names), "/s")
    for name in names - {"environment:scrub"}:
        assert seatbelt.policy([name], "/s") != seatbelt.policy([], "/s")


def test_the_seatbelt_policy_quotes_the_place_and_ends_with_exec() -> None:
    text = seatbelt.policy(["exec:deny", "files:staged"], '/no"where')
    assert '(subpath "/no\\"where")' in text
    assert text.splitlines()[-1] == "(deny process-exec*)"
