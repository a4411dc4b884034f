"""The experiment's own file against this host: every profile turns an answer, and its expectations hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hosts
import pytest
import yaml

from flowbuild.engine import operations, restrict

FILE = Path(__file__).parents[3] / "examples/experiments/hardened-runtime/BUILD.yaml"
TARGETS = yaml.safe_load(FILE.read_text())["targets"]
PROBES: dict[str, dict[str, str]] = TARGETS["probes"]["probes"]
PROFILES: dict[str, dict[str, Any]] = TARGETS["probes"]["profiles"]


@pytest.fixture(scope="module")
def achieved() -> dict[str, Any]:
    found: dict[str, Any] = hosts.record()["operations"]
    return found


def answers(policy: dict[str, str] | None) -> dict[str, str | None]:
    """What each probe comes to."""
    asked = [hosts.request(probe["operation"], policy, probe["target"]) for probe in PROBES.values()]
    return {name: row["actual"] for name, row in zip(PROBES, hosts.rows(asked), strict=True)}


def test_probes_and_profiles_are_well_formed() -> None:
    assert len(PROBES) >= 12 and len(PROFILES) >= 5
    for probe in PROBES.values():
        assert operations.check(probe["operation"], probe["target"]) == []
    for profile in PROFILES.values():
        assert restrict.check(profile["restrict"]) == []
        assert set(profile.get("denies", [])) <= set(PROBES)
    assert set(TARGETS["plan"]["profiles"]) == set(PROFILES)


def test_a_profile_says_that_it_denies_what_its_policy_covers_outside_the_staged_tree() -> None:
    for name, profile in PROFILES.items():
        covered = {op for key in restrict.restrictions(profile["restrict"]) for op in restrict.COVERS[key]}
        outside = {p for p, probe in PROBES.items() if probe["operation"] in covered and "staged" not in p}
        assert outside <= set(profile.get("denies", [])), name


def test_the_baseline_allows_everything() -> None:
    assert set(answers(None).values()) == {"allow"}


@pytest.mark.parametrize("name", PROFILES)
def test_the_kernel_agrees_with_the_profile(achieved: dict[str, Any], name: str) -> None:
    policy, denies = PROFILES[name]["restrict"], PROFILES[name].get("denies", [])
    lacking = [key for key in restrict.restrictions(policy) if achieved[key]["status"] != restrict.ENFORCED]
    if lacking:
        pytest.skip(f"not enforced here: {lacking}")
    assert answers(policy) == {probe: "deny" if probe in denies else "allow" for probe in PROBES}
    assert bool(denies) == bool(policy)
