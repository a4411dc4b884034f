"""The run manifest of seed 001: what was asked, with which configuration, built by what.

Knows nothing of outcomes. Numbers travel as decimal strings where they are no integers: the manifest refuses floats.

Source:  seed 001 `RunManifest`, `RunConfig`, `BuildProvenance`.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from flowbuild.core.ids import OpId
from flowbuild.core.run_config import RunConfig
from flowbuild.version import __version__


class Asked(NamedTuple):
    """What is asked of a run, and how it is to be performed. `parent` says who spawned it, if anybody did.

    `params` are those of its target; `settings` all that somebody set, those of other targets too.
    """

    op: OpId
    label: str
    params: Mapping[str, Any]
    config: RunConfig
    parent: Mapping[str, Any] | None = None
    settings: Mapping[str, str] | None = None


def manifest(
    asked: Asked, *, channel: str, policy: str, variables: tuple[str, ...] = (), commit: str | None = None
) -> dict[str, Any]:
    """The manifest of one run. Its digest is the run's `manifest_id`; `commit` is that of the checkout."""
    return {
        "op_id": asked.op,
        "op_version": __version__,
        "input_params": {
            "channel": channel,
            "label": asked.label,
            "params": _exact(asked.params),
            "policy": policy,
            **({"parent": dict(asked.parent)} if asked.parent else {}),
            **({"settings": dict(asked.settings)} if asked.settings else {}),
        },
        "run_config": asked.config.doc(),
        "build": {
            "git_commit": commit,
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
