"""Belief: which remembered results count, and which results are worth remembering.

Knows nothing of where they are kept.
"""

from __future__ import annotations

from flowbuild.core.action import ErrorInfo, Outcome
from flowbuild.engine.engine import Performance
from flowbuild.run.channel import ChannelName


def is_believed(made: str, asked: str) -> bool:
    """Whether a result of one channel counts in another. A key is the same in both, but only what `clean` performed is
    known to depend on nothing else; so `clean` takes nothing from `direct`, and `direct` takes all."""
    return asked == ChannelName.DIRECT or made == asked


def not_remembered(moved: list[str], outcome: Outcome, is_identified: bool) -> str | None:
    """Why a result is not remembered, or None."""
    if moved:
        return f"{', '.join(moved)} changed while it ran"
    if not outcome.remember:
        return "the engine asks for it to be found anew"
    if not is_identified:
        return "it imports a distribution that can't be identified"
    return None


def unverified() -> Performance:
    """What changes the world is not done again to see what it comes to."""
    yield from ()
    return Outcome(error=ErrorInfo("unverified", "it changes the world outside, and is not done again to compare"))
