"""The run manifest: seed 001's shape, without floats.

Seed 001: 001-12.
"""

from __future__ import annotations

from typing import Any

from flowbuild.core.canonical import digest
from flowbuild.core.ids import OpId
from flowbuild.core.run_config import RunConfig
from flowbuild.run.manifest import Asked, manifest
from flowbuild.version import __version__

BUILD = ["git_commit", "cargo_lock_hash", "flake_lock_hash", "rustc_version", "target_triple", "env_allowlist"]


def made(**params: Any) -> dict[str, Any]:
    asked = Asked(OpId("op"), "//a", params, RunConfig(max_concurrency=2))
    return manifest(asked, channel="direct", policy="build", variables=("LC_ALL",))


def test_the_shape_of_seed_001() -> None:
    doc = made()
    assert list(doc) == ["op_id", "op_version", "input_params", "run_config", "build"]
    assert doc["op_version"] == __version__
    assert doc["run_config"] == RunConfig(max_concurrency=2).doc()
    assert list(doc["build"]) == BUILD
    assert doc["build"]["env_allowlist"] == ["LC_ALL"]


def test_it_says_what_was_asked_and_how() -> None:
    asked = Asked(OpId("op"), "//a", {"x": 1}, RunConfig(), {"run_id": "r"}, {"//b.x": "2"})
    found = manifest(asked, channel="clean", policy="live", commit="c" * 40)
    assert found["input_params"] == {
        **{"channel": "clean", "label": "//a", "params": {"x": 1}, "policy": "live"},
        **{"parent": {"run_id": "r"}, "settings": {"//b.x": "2"}},
    }
    assert found["build"]["git_commit"] == "c" * 40
    assert made()["input_params"].keys() == {"channel", "label", "params", "policy"}


def test_numbers_that_are_no_integers_travel_as_strings() -> None:
    params = made(a=1 / 3, b={"c": [0.1, 2]}, d=(1e300,))["input_params"]["params"]
    assert params == {"a": "0.3333333333333333", "b": {"c": ["0.1", 2]}, "d": ["1e+300"]}


def test_parameters_are_told_apart() -> None:
    assert len({digest(made(x=value)) for value in (1, 2, "1", True, None, [1])}) == 6
