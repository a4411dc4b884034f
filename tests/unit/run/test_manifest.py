"""The run manifest: seed 001's shape, without floats.

Seed 001: 001-12.
"""

from __future__ import annotations

from typing import Any

from flowbuild.core.canonical import digest
from flowbuild.core.ids import OpId
from flowbuild.core.run_config import RunConfig
from flowbuild.run.manifest import Asked, manifest

BUILD = ["git_commit", "cargo_lock_hash", "flake_lock_hash", "rustc_version", "target_triple", "env_allowlist"]


def made(**params: Any) -> dict[str, Any]:
    asked = Asked(OpId("op"), "//a", params, RunConfig(max_concurrency=2))
    return manifest(asked, channel="direct", policy="build", variables=("LC_ALL",))


def test_the_shape_of_seed_001() -> None:
    doc = made()
    assert list(doc) == ["op_id", "op_version", "input_params", "run_config", "build"]
    assert doc["run_config"] == RunConfig(max_concurrency=2).doc()
    assert list(doc["build"]) == BUILD
    assert doc["build"]["env_allowlist"] == ["LC_ALL"]


def test_numbers_that_are_no_integers_travel_as_strings() -> None:
    params = made(a=1.5, b={"c": [0.1, 2]}, d=(1e300,))["input_params"]["params"]
    assert params == {"a": "1.5", "b": {"c": ["0.1", 2]}, "d": ["1e+300"]}


def test_parameters_are_told_apart() -> None:
    assert len({digest(made(x=value)) for value in (1, 2, "1", True, None, [1])}) == 6
