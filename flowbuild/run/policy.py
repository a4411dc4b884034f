"""The one table that decides: what a remembered outcome is worth.

Knows nothing of keys, engines or time. A policy is a row and no mode has a code path of its own; a test asserts
that the table is total.

Source:  DESIGN, section 1; seed 001 `IoMode`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Policy(StrEnum):
    """Why somebody asks: what a key is worth to them."""

    BUILD = "build"
    LIVE = "live"
    REPLAY = "replay"
    VERIFY = "verify"
    DRY = "dry"


class Effect(StrEnum):
    """What a state may do to the world outside."""

    NONE = "none"
    APPLY = "apply_side_effect"
    IO = "io"


class Decision(StrEnum):
    """What the evaluator does with a bound action."""

    REUSE_OR_PERFORM = "reuse if remembered, else perform"
    PERFORM = "perform"
    PERFORM_UNLESS_IDEMPOTENT = "perform; reuse only by idempotency key"
    REUSE_IN_RUN = "reuse if bound in this run, else perform and record"
    COMPARE = "perform and compare with the source run"
    SOURCE_OUTCOME = "take the source run's outcome, else refuse"
    SOURCE_FACT = "take the source run's fact, else refuse"
    UNVERIFIED = "never performed: reported unverified"
    REUSE_IN_RUN_AND_COMPARE = "reuse if bound in this run, else perform, record and compare"
    SAY = "say what would happen, and why"


class Row(NamedTuple):
    """One policy: its decision for each effect, and whether its runs may move LATEST."""

    none: Decision
    apply: Decision
    io: Decision
    moves_latest: bool


# A test asserts this is total.
TABLE: Mapping[Policy, Row] = {
    Policy.BUILD: Row(
        Decision.REUSE_OR_PERFORM, Decision.PERFORM_UNLESS_IDEMPOTENT, Decision.REUSE_IN_RUN, moves_latest=True
    ),
    Policy.LIVE: Row(Decision.PERFORM, Decision.PERFORM_UNLESS_IDEMPOTENT, Decision.REUSE_IN_RUN, moves_latest=True),
    Policy.REPLAY: Row(Decision.COMPARE, Decision.SOURCE_OUTCOME, Decision.SOURCE_FACT, moves_latest=False),
    Policy.VERIFY: Row(Decision.COMPARE, Decision.UNVERIFIED, Decision.REUSE_IN_RUN_AND_COMPARE, moves_latest=False),
    Policy.DRY: Row(Decision.SAY, Decision.SAY, Decision.SAY, moves_latest=False),
}


def decide(policy: Policy, effect: Effect) -> Decision:
    """What the table says."""
    row = TABLE[policy]
    return {Effect.NONE: row.none, Effect.APPLY: row.apply, Effect.IO: row.io}[effect]
