"""A run's configuration: the seed's JSON form, both ways.

Seed 001: 001-03, 001-04, 001-05, 001-06, 001-07, 001-08, 001-09, 001-11, 001-12.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import flowbuild
from flowbuild.core.canonical import digest
from flowbuild.core.errors import BadAttribute, BadConfig
from flowbuild.core.event import NEEDED
from flowbuild.core.retry import Retry
from flowbuild.core.run_config import (
    DETAILS,
    PROFILES,
    SEED_ALLOWLIST,
    EventProfile,
    IoMode,
    RunConfig,
    from_doc,
    read_profile,
)

CONFIGS = [
    RunConfig(),
    RunConfig(IoMode.REPLAY, Retry(3), PROFILES["minimal"], 4, True, ("a", "b"), ("github:one",)),
    RunConfig(retry=Retry(2, 1500), event_profile=PROFILES["verbose"]),
    RunConfig(retry=Retry(5, 10, 2**31), event_profile=read_profile("custom:page_read,rows"), max_concurrency=1),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_a_document_says_all_of_a_configuration(config: RunConfig) -> None:
    assert from_doc(config.doc()) == config
    assert from_doc(config.doc()).doc() == config.doc()


def test_the_forms_of_the_seed() -> None:
    assert CONFIGS[3].doc() == {
        "io_mode": "Live",
        "retry_policy": {
            "max_attempts": 5,
            "backoff": {
                "Exponential": {
                    "base_delay": {"secs": 0, "nanos": 10_000_000},
                    "max_delay": {"secs": 2147483, "nanos": 648_000_000},
                }
            },
        },
        "event_profile": {"Custom": "page_read,rows"},
        "execution_mode": {"FanOutJoin": {"max_concurrency": 1}},
        "context_checkpointing": "AfterEveryState",
        "replay_missing_fact_retryable": False,
        "skip_tags": [],
        "nix_flake_allowlist": [],
    }
    assert CONFIGS[2].doc()["retry_policy"]["backoff"] == {"Fixed": {"delay": {"secs": 1, "nanos": 500_000_000}}}
    assert RunConfig().doc()["execution_mode"] == "Sequential"


def test_the_smallest_manifest_of_the_seed() -> None:
    config = RunConfig(retry=Retry(3), event_profile=PROFILES["minimal"], nix_flake_allowlist=SEED_ALLOWLIST)
    build = dict.fromkeys(("git_commit", "cargo_lock_hash", "flake_lock_hash", "rustc_version", "target_triple"))
    doc = {"op_id": "op", "op_version": "0", "input_params": {}, "run_config": config.doc()}
    found = digest({**doc, "build": {**build, "env_allowlist": []}})
    assert found == "8a3bbc67f751e5ecd31dfcde1e76565a20209e5fd572829a9f284a95a41ae9de"


def test_the_allowlist_alone_may_be_absent() -> None:
    doc = RunConfig().doc()
    del doc["nix_flake_allowlist"]
    assert from_doc(doc).nix_flake_allowlist == SEED_ALLOWLIST
    for name in doc:
        with pytest.raises(BadConfig, match=f"run_config_malformed: it has no {name}"):
            from_doc({key: value for key, value in RunConfig().doc().items() if key != name})


@pytest.mark.parametrize(
    "wrong",
    [
        {"io_mode": "Both"},
        {"io_mode": None},
        {"retry_policy": {"max_attempts": 1}},
        {"retry_policy": {"max_attempts": -1, "backoff": {"Fixed": {"delay": {"secs": 0, "nanos": 0}}}}},
        {"retry_policy": {"max_attempts": 1, "backoff": {"Fixed": {"delay": 5}}}},
        {"retry_policy": {"max_attempts": True, "backoff": {"Fixed": {"delay": {"secs": 0, "nanos": 0}}}}},
        {"retry_policy": {"max_attempts": 1, "backoff": {"Fixed": {"delay": {"secs": -1, "nanos": 0}}}}},
        {"retry_policy": {"max_attempts": 1, "backoff": {"Fixed": {"delay": {"secs": 0, "nanos": 10**9}}}}},
        {"event_profile": "Loud"},
        {"event_profile": {"Custom": 1}},
        {"context_checkpointing": {"Custom": "each hour"}},
        {"replay_missing_fact_retryable": 1},
        {"skip_tags": "a"},
        {"skip_tags": [1]},
        {"nix_flake_allowlist": None},
        {"more": 1},
    ],
)
def test_what_no_configuration_says(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match="run_config_malformed"):
        from_doc({**RunConfig().doc(), **wrong})
    with pytest.raises(BadConfig, match="run_config_malformed"):
        from_doc([wrong])


@pytest.mark.parametrize(
    "mode",
    [
        *("FanOutJoin", {"Custom": "x"}, None, {"FanOutJoin": {"max_concurrency": 2}, "Sequential": None}),
        *({"FanOutJoin": {"max_concurrency": most}} for most in (0, True, "2", 2.0)),
    ],
)
def test_an_execution_mode_that_is_not_ours(mode: Any) -> None:
    with pytest.raises(BadConfig, match="unsupported_execution_mode"):
        from_doc({**RunConfig().doc(), "execution_mode": mode})


@pytest.mark.parametrize("config", [RunConfig(), CONFIGS[3]])
def test_zero_attempts_are_one(config: RunConfig) -> None:
    doc = config.doc()
    assert from_doc({**doc, "retry_policy": {**doc["retry_policy"], "max_attempts": 0}}).retry.attempts == 1


def read_by(path: Path) -> set[str]:
    """The names of events that a module compares one's name with."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and ast.unparse(node.left) in ("name", "event.name"):
            texts = (one for other in node.comparators for one in ast.walk(other) if isinstance(one, ast.Constant))
            found |= {str(one.value) for one in texts}
    return found


@pytest.mark.parametrize("module", ["run/story.py", "run/artifacts.py", "bundle/said.py"])
def test_what_a_fold_reads_is_needed(module: str) -> None:
    found = read_by(Path(flowbuild.__path__[0]) / module)
    assert found
    assert found <= NEEDED


def test_no_profile_takes_away_what_folds_need() -> None:
    names = [*NEEDED, *DETAILS, "output_captured", "page_read", "page"]
    kept = {name: {one for one in names if profile.keeps(one)} for name, profile in PROFILES.items()}
    assert kept["minimal"] == NEEDED
    assert kept["normal"] == {*NEEDED, "output_captured", "page_read", "page"}
    assert kept["verbose"] == set(names)
    custom = read_profile("custom:page_read,heartbeat")
    assert {one for one in names if custom.keeps(one)} == {*NEEDED, "page_read", "heartbeat"}


@pytest.mark.parametrize("text", ["", "loud", "Normal", "custom:", "custom:a,,b", "custom: a"])
def test_what_is_no_profile(text: str) -> None:
    with pytest.raises(BadAttribute, match="is no event profile"):
        read_profile(text)
    assert read_profile("minimal") == EventProfile("Minimal")
