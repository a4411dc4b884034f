"""The run manifest: seed 001's shape, without floats."""

from __future__ import annotations

from typing import Any

from flowbuild.core.canonical import digest
from flowbuild.run.manifest import manifest

CONFIG = [
    *("io_mode", "retry_policy", "event_profile", "execution_mode", "context_checkpointing"),
    *("replay_missing_fact_retryable", "skip_tags", "nix_flake_allowlist"),
]
BUILD = ["git_commit", "cargo_lock_hash", "flake_lock_hash", "rustc_version", "target_triple", "env_allowlist"]


def made(policy: str = "build", **params: Any) -> dict[str, Any]:
    return manifest("op", "//a", params, channel="direct", policy=policy, jobs=2, variables=("LC_ALL",))


def test_the_shape_of_seed_001() -> None:
    doc = made()
    assert list(doc) == ["op_id", "op_version", "input_params", "run_config", "build"]
    assert list(doc["run_config"]) == CONFIG
    assert list(doc["build"]) == BUILD
    assert doc["run_config"]["execution_mode"] == {"FanOutJoin": {"max_concurrency": 2}}
    assert doc["build"]["env_allowlist"] == ["LC_ALL"]


def test_numbers_that_are_no_integers_travel_as_strings() -> None:
    params = made(a=1.5, b={"c": [0.1, 2]}, d=(1e300,))["input_params"]["params"]
    assert params == {"a": "1.5", "b": {"c": ["0.1", 2]}, "d": ["1e+300"]}


def test_parameters_are_told_apart() -> None:
    assert len({digest(made(x=value)) for value in (1, 2, "1", True, None, [1])}) == 6


def test_only_replay_has_a_mode_of_its_own() -> None:
    modes = {policy: made(policy)["run_config"]["io_mode"] for policy in ("build", "live", "replay", "verify")}
    assert modes == {"build": "Live", "live": "Live", "replay": "Replay", "verify": "Live"}
