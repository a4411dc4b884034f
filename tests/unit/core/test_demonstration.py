"""The four demonstration kinds, and the policies that one of them applies."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.core.demonstration import KINDS, policy_apply

POLICY = {
    "rules": [
        {"when": {"t": {"above": 70, "below": 90}}, "emit": {"action": "COOL"}},
        {"when": {"mode": "off", "t": {"below": 0.5}}, "emit": {"action": "HEAT"}},
    ],
    "otherwise": {"action": "WAIT"},
}


def test_there_are_four() -> None:
    assert sorted(KINDS) == ["dsl.emit", "opcua.read", "opcua.write", "policy.apply"]


@pytest.mark.parametrize(
    ("values", "action"),
    [
        ({"t": 80}, "COOL"),
        ({"t": 90}, "WAIT"),
        ({"t": True}, "WAIT"),
        ({"t": "80"}, "WAIT"),
        ({"t": 0, "mode": "off"}, "HEAT"),
        ({"t": 0}, "WAIT"),
        (None, "WAIT"),
    ],
)
def test_the_first_rule_that_holds_decides(values: Any, action: str) -> None:
    found = policy_apply({"policy": POLICY, "policy_id": "p", "values": values})
    assert found == {"action": action, "policy_id": "p"}


@pytest.mark.parametrize(
    "policy",
    [
        *(None, {}, [], "x", {"rules": 3}, {"rules": [3]}, {"rules": [{"when": {}}]}, {"rules": [], "otherwise": 1}),
        *({"rules": [{"when": {"t": limit}, "emit": {}}]} for limit in ({"over": 1}, {"above": "1"})),
    ],
)
def test_a_policy_that_can_t_be_read_is_an_answer_too(policy: Any) -> None:
    found = policy_apply({"policy": policy, "policy_id": "p", "values": {"t": 1}})
    assert (found["action"], found["values"]) == ("NONE", {"t": 1})
    assert found["error"]
