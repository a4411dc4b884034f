"""A run's configuration: what the workspace, the target and the flags say, the nearest last.

Knows nothing of what any of it means. Where nobody says anything, as many states run at once as there are processors.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flowbuild.core.errors import BadAttribute, BadFlag
from flowbuild.core.run_config import IoMode, RunConfig, read_profile
from flowbuild.core.suggest import did_you_mean
from flowbuild.front.arguments import Request
from flowbuild.graph.state import STANDARD_TAGS, State


def run_config(request: Request, *said: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run that is asked for. `said` is what places say, the farthest first."""
    io_mode = IoMode.REPLAY if request.policy == "replay" else IoMode.LIVE
    config = RunConfig(io_mode, max_concurrency=_several(os.cpu_count() or 1))
    for fields in (*said, _flags(request)):
        config = replace(config, **fields)
    tags = tuple(dict.fromkeys((*config.skip_tags, *request.skip_tags)))
    retry = config.retry._replace(attempts=request.attempts) if request.attempts else config.retry
    return replace(config, skip_tags=tags, retry=retry)


def check_tags(tags: Iterable[str], states: Iterable[State]) -> None:
    """Refuse a tag of `--skip-tag` that nothing has: it may be misspelt, and what it was to leave out performed."""
    known = {*STANDARD_TAGS, *(tag for state in states for tag in state.tags)}
    for tag in tags:
        if tag not in known:
            problem = f"--skip-tag {tag}: nothing that is asked for has this tag"
            raise BadFlag(problem, remedy=did_you_mean(tag, known))


def _flags(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.jobs is not None:
        found["max_concurrency"] = _several(request.jobs)
    if request.event_profile is not None:
        try:
            found["event_profile"] = read_profile(request.event_profile)
        except BadAttribute as error:
            raise BadFlag(f"--event-profile: {error.message}", remedy=error.remedy) from None
    return found


def _several(jobs: int) -> int | None:
    return jobs if jobs > 1 else None
