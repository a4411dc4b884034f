"""The four demonstration step kinds, as pure functions from what a step gets to a JSON object.

Knows nothing of engines or executors, and needs the standard library only: both perform these very functions, so they
come to the same.

Shapes:  `policy.apply` takes {"policy", "policy_id", "values"}; a policy is {"rules": [{"when": {name: a value, or
         {"above" | "below": number}}, "emit": object}], "otherwise": object}. The first rule that holds is emitted.
Source:  seed 000, section 5. The form of policies is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

With = Mapping[str, Any]


def opcua_read(with_: With) -> dict[str, Any]:
    """Every node of the plant reads 80."""
    nodes = with_.get("node_ids")
    values = {str(node): 80.0 for node in nodes} if isinstance(nodes, list) else {}
    return {"endpoint": with_.get("endpoint"), "values": values}


def opcua_write(with_: With) -> dict[str, Any]:
    """Every write is fine."""
    return {**{name: with_.get(name) for name in ("endpoint", "node_id", "value")}, "status": "ok"}


def policy_apply(with_: With) -> dict[str, Any]:
    """What the first rule that holds emits, else `otherwise`; NONE where there is no policy that can be read."""
    policy, values = with_.get("policy"), with_.get("values")
    known = {"policy_id": with_.get("policy_id")}
    problem = _unreadable(policy)
    if problem:
        return {"action": "NONE", "error": problem, "values": values, **known}
    assert isinstance(policy, Mapping)
    for rule in policy["rules"]:
        if isinstance(values, Mapping) and all(_holds(values.get(n), limit) for n, limit in rule["when"].items()):
            return {**rule["emit"], **known}
    return {**policy.get("otherwise", {"action": "NONE"}), **known}


def _unreadable(policy: Any) -> str:
    """Why a policy can't be applied; nothing for one that can."""
    if not isinstance(policy, Mapping) or not policy:
        return "there is no policy"
    rules = policy.get("rules")
    if not isinstance(rules, list) or not isinstance(policy.get("otherwise", {}), Mapping):
        return "a policy has `rules`, a list, and may have `otherwise`, an object"
    for rule in rules:
        if not isinstance(rule, Mapping) or not all(isinstance(rule.get(key), Mapping) for key in ("when", "emit")):
            return "a rule of a policy has `when` and `emit`, two objects"
        for limit in rule["when"].values():
            if isinstance(limit, Mapping) and not all(
                word in ("above", "below") and isinstance(bound, int | float) for word, bound in limit.items()
            ):
                return "a condition of a policy is a value, or {above: number, below: number}"
    return ""


def _holds(value: Any, limit: Any) -> bool:
    if not isinstance(limit, Mapping):
        return bool(value == limit)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return all(value > bound if word == "above" else value < bound for word, bound in limit.items())


KINDS: Mapping[str, Callable[[With], dict[str, Any]]] = {
    "dsl.emit": dict,
    "opcua.read": opcua_read,
    "opcua.write": opcua_write,
    "policy.apply": policy_apply,
}
