"""A run's configuration from the workspace, the target and the flags, and the manifest that says what it was.

Seed 001: 001-03, 001-08, 001-12.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

from flowbuild.core.errors import BadFlag, FlowError, InvalidPlan

BUILD = """
targets:
  hello: {rule: exec, command: echo, outputs: {o: o}}
  run: {rule: run, targets: [":hello"], config: {event_profile: minimal, retry: {attempts: 4}, skip_tags: [impure]}}
"""


@pytest.fixture
def space(tmp_path: Path) -> Workshop:
    space = Workshop(tmp_path / "w")
    space.write("BUILD.yaml", BUILD)
    return space


def manifests(space: Workshop, *words: str) -> list[dict[str, Any]]:
    """The manifests of the runs that are asked for."""
    with space.open(*words) as build:
        assert build.build() == 0
        return [json.loads((path / "manifest.json").read_text()) for path in build.bundles.values()]


def config(space: Workshop, *words: str) -> dict[str, Any]:
    """The configuration that the run's manifest says."""
    (found,) = manifests(space, "//:run", *words)
    return found["run_config"]  # type: ignore[no-any-return]


def test_the_nearer_place_wins(space: Workshop) -> None:
    space.write(
        "flowbuild.yaml",
        "run: {event_profile: verbose, jobs: 3, retry: {attempts: 2}, skip_tags: [old], nix_flake_allowlist: ['github:a']}",
    )
    found = config(space)
    assert found["event_profile"] == "Minimal"
    assert found["retry_policy"]["max_attempts"] == 4
    assert found["execution_mode"] == {"FanOutJoin": {"max_concurrency": 3}}
    assert (found["skip_tags"], found["nix_flake_allowlist"]) == (["impure"], ["github:a"])
    flags = ("-j1", "--event-profile", "custom:a,b", "--attempts", "7", "--skip-tag", "report", "--skip-tag", "impure")
    found = config(space, *flags, "--policy", "live")
    assert found["event_profile"] == {"Custom": "a,b"}
    assert found["retry_policy"]["max_attempts"] == 7
    assert found["execution_mode"] == "Sequential"
    assert found["skip_tags"] == ["impure", "report"]


def test_tags_that_everybody_shares_may_be_skipped_though_nothing_has_them(space: Workshop) -> None:
    tags = ["config", "fetch_data", "compute", "execute", "report", "apply_side_effect", "impure"]
    space.write("BUILD.yaml", BUILD.replace(", skip_tags: [impure]", ""))
    assert config(space, *(word for tag in tags for word in ("--skip-tag", tag)))["skip_tags"] == tags
    with pytest.raises(BadFlag, match="nothing that is asked for has this tag"):
        config(space, "--skip-tag", "reports")


def test_what_nobody_says(space: Workshop) -> None:
    space.write("BUILD.yaml", BUILD.partition(", config")[0] + "}")
    assert config(space, "-j2") == {
        "io_mode": "Live",
        "retry_policy": {"max_attempts": 1, "backoff": {"Fixed": {"delay": {"secs": 0, "nanos": 0}}}},
        "event_profile": "Normal",
        "execution_mode": {"FanOutJoin": {"max_concurrency": 2}},
        "context_checkpointing": "AfterEveryState",
        "replay_missing_fact_retryable": False,
        "skip_tags": [],
        "nix_flake_allowlist": [],
    }


WRONG = [
    ("jobs: 0", "`jobs` is a number above zero"),
    ("event_profile: loud", "'loud' is no event profile"),
    ("retry: {attempts: 0}", "`attempts` of `retry` is a whole number from 1"),
    ("context_checkpointing: hourly", "'hourly' is not implemented"),
    ("skip_tags: slow", "'skip_tags' is a list"),
    ("skip_tag: [slow]", "has no 'skip_tag'"),
    ("replay_missing_fact_retryable: maybe", "'replay_missing_fact_retryable' is"),
]


@pytest.mark.parametrize(("said", "problem"), WRONG)
def test_what_is_wrong_is_told_with_its_place(space: Workshop, said: str, problem: str) -> None:
    space.write("flowbuild.yaml", f"name: mine\nrun:\n  {said}\n")
    with pytest.raises(FlowError) as caught:
        space.make("//:run")
    assert problem in caught.value.message
    assert caught.value.location is not None
    assert (caught.value.location.path, caught.value.location.line) == ("flowbuild.yaml", 3)
    space.write("flowbuild.yaml", "")
    space.write("BUILD.yaml", f"targets:\n  run:\n    rule: run\n    targets: []\n    config:\n      {said}\n")
    with pytest.raises(FlowError) as caught:
        space.make("//:run")
    assert problem in caught.value.message
    assert caught.value.location is not None
    assert (caught.value.location.path, caught.value.location.line) == ("BUILD.yaml", 6)


def test_a_profile_that_a_flag_names(space: Workshop) -> None:
    with pytest.raises(BadFlag, match="--event-profile: 'verbos' is no event profile") as caught:
        space.make("//:run", "--event-profile", "verbos")
    assert "verbose" in caught.value.remedy


@pytest.mark.parametrize("targets", ["[]", '[":texts"]'])
def test_a_run_of_nothing(space: Workshop, targets: str) -> None:
    space.write(
        "BUILD.yaml", f"targets:\n  texts: {{rule: filegroup, files: []}}\n  run: {{rule: run, targets: {targets}}}\n"
    )
    with pytest.raises(InvalidPlan, match="EmptyPlan: none of its targets") as caught:
        space.make("//:run")
    assert caught.value.location is not None
    assert caught.value.location.line == 3


PASSING = """
targets:
  one: {rule: exec, command: echo, outputs: {o: o}, env: [MINE, HOME]}
  two: {rule: exec, command: echo, outputs: {o: o}, env: {YOURS: null, SET: "1"}}
  each: {rule: exec, command: echo, each: {n: ns.json}, outputs: {o: os/*.o}, env: {EACH: null, N: "${{ n }}"}}
  run: {rule: run, targets: [":one"]}
  other: {rule: run, targets: [":two", ":each"]}
"""


def test_a_manifest_names_the_variables_that_its_own_states_get(space: Workshop) -> None:
    space.write("BUILD.yaml", PASSING)
    space.write("ns.json", "[1, 2]")
    found = [one["build"]["env_allowlist"] for one in manifests(space, "//:run", "//:other")]
    assert found == [["HOME", "MINE"], ["EACH", "YOURS"]]
