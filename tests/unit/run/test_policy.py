"""The one table that decides."""

from __future__ import annotations

import pytest

from flowbuild.front.arguments import CHOICES
from flowbuild.run.policy import TABLE, Decision, Effect, Policy, decide


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(Policy)
    assert all(isinstance(decide(policy, effect), Decision) for policy in Policy for effect in Effect)


def test_every_decision_is_reached() -> None:
    assert {decide(policy, effect) for policy in Policy for effect in Effect} == set(Decision)


@pytest.mark.parametrize(
    ("policy", "effect", "decision"),
    [
        (Policy.BUILD, Effect.NONE, "reuse if remembered, else perform"),
        (Policy.BUILD, Effect.APPLY, "perform; reuse only by idempotency key"),
        (Policy.BUILD, Effect.IO, "reuse if bound in this run, else perform and record"),
        (Policy.LIVE, Effect.NONE, "perform"),
        (Policy.REPLAY, Effect.NONE, "perform and compare with the source run"),
        (Policy.REPLAY, Effect.APPLY, "take the source run's outcome, else refuse"),
        (Policy.REPLAY, Effect.IO, "take the source run's fact, else refuse"),
        (Policy.VERIFY, Effect.APPLY, "never performed: reported unverified"),
    ],
)
def test_the_design_says(policy: Policy, effect: Effect, decision: str) -> None:
    assert decide(policy, effect) == decision


def test_live_differs_from_build_only_where_nothing_is_done_to_the_world() -> None:
    assert TABLE[Policy.LIVE]._replace(none=TABLE[Policy.BUILD].none) == TABLE[Policy.BUILD]


def test_only_build_and_live_move_latest() -> None:
    assert {policy for policy, row in TABLE.items() if row.moves_latest} == {Policy.BUILD, Policy.LIVE}


def test_dry_only_says() -> None:
    assert {decide(Policy.DRY, effect) for effect in Effect} == {Decision.SAY}


def test_the_command_line_knows_the_same_words() -> None:
    assert CHOICES["policy"] == tuple(Policy)
