"""Policies of other people's profiles: applied where the host can, and never taken for applied."""

from __future__ import annotations

import errno
import sys
from typing import Any

import hosts
import pytest

from flowbuild.engine import foreign
from flowbuild.engine.restrict import PolicyUnavailable

ELSEWHERE = pytest.mark.skipif(sys.platform == "darwin", reason="macOS applies these policies")
ON_MACOS = pytest.mark.skipif(sys.platform != "darwin", reason="only macOS applies these policies")
SBPL = {"mode": "sbpl", "text": "(version 1)\n(allow default)\n(deny file-read-data)\n"}


def asked(operation: str, target: str | None = None, **more: Any) -> dict[str, Any]:
    """A request of the scenario lane that somebody else's documents made."""
    return hosts.request(operation, {}, target) | {"lenient": True, **more}


@pytest.mark.parametrize(
    ("platform", "mode", "refused"),
    [("darwin", "sbpl", False), ("linux", "sbpl", True), ("darwin", "blob", True), ("linux", "blob", True)],
)
def test_only_macos_tries_and_only_texts(platform: str, mode: str, refused: bool) -> None:
    row = foreign.refusal({"mode": mode}, platform)
    assert (row is not None) is refused
    if row is not None:
        assert (row.operation, row.status, row.errno) == (mode, "unavailable", errno.ENOSYS)


@ELSEWHERE
@pytest.mark.parametrize("policy", [SBPL, {"mode": "blob", "base64": ""}])
def test_a_policy_that_cannot_be_applied_blocks_at_apply(policy: dict[str, str]) -> None:
    row = hosts.row(asked("file-read-data", "/etc/hosts", foreign=policy))
    result = row["runtime_result"]
    assert row["actual"] is None
    assert (result["status"], result["failure_stage"], result["failure_kind"]) == (
        "blocked",
        "apply",
        "policy_unavailable",
    )
    assert result["apply_report"][0]["errno_name"] == "ENOSYS"
    with pytest.raises(PolicyUnavailable):
        foreign.apply(policy)


@ON_MACOS
def test_macos_applies_a_text() -> None:
    row = hosts.row(asked("file-read-data", "/etc/hosts", foreign=SBPL))
    assert (row["actual"], row["runtime_result"]["errno_name"]) == ("deny", "EPERM")


def test_the_baseline_lane_knows_no_policy() -> None:
    row = hosts.row(asked("file-read-data", "/etc/hosts", foreign=SBPL) | {"lane": "baseline", "profile": None})
    assert row["actual"] == "allow"


@pytest.mark.parametrize(
    ("operation", "target", "kind"),
    [("mach-lookup", "com.apple.x", "unknown_operation"), ("signal", "same-sandbox", "unfit_target")],
)
def test_what_this_harness_cannot_perform_is_blocked(operation: str, target: str, kind: str) -> None:
    row = hosts.row(asked(operation, target))
    result = row["runtime_result"]
    assert (row["actual"], result["failure_stage"], result["failure_kind"]) == (None, "bootstrap", kind)
