"""The run manifest of seed 001: what was asked, with which configuration, built by what.

Knows nothing of outcomes. Numbers travel as decimal strings where they are no integers: the manifest refuses floats.

Source:  seed 001 `RunManifest`, `RunConfig`, `BuildProvenance`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from typing import Any

from flowbuild.version import __version__


def manifest(
    op: str, label: str, params: Mapping[str, Any], *, channel: str, policy: str, jobs: int, variables: tuple[str, ...]
) -> dict[str, Any]:
    """The manifest of one run. Its digest is the run's `manifest_id`."""
    return {
        "op_id": op,
        "op_version": __version__,
        "input_params": {
            "channel": channel,
            "label": label,
            "params": {name: _exact(value) for name, value in sorted(params.items())},
            "policy": policy,
        },
        "run_config": {
            "io_mode": "Replay" if policy == "replay" else "Live",
            "retry_policy": {"max_attempts": 1, "backoff": {"Fixed": {"delay": {"secs": 0, "nanos": 0}}}},
            "event_profile": "Normal",
            "execution_mode": {"FanOutJoin": {"max_concurrency": jobs}},
            "context_checkpointing": "AfterEveryState",
            "replay_missing_fact_retryable": False,
            "skip_tags": [],
            "nix_flake_allowlist": [],
        },
        "build": {
            "git_commit": None,
            "cargo_lock_hash": None,
            "flake_lock_hash": None,
            "rustc_version": None,
            "target_triple": f"{platform.machine()}-{sys.platform}-{sys.implementation.cache_tag}",
            "env_allowlist": list(variables),
        },
    }


def _exact(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {name: _exact(one) for name, one in value.items()}
    return [_exact(one) for one in value] if isinstance(value, list | tuple) else value
