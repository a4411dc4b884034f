"""Structured artifacts: canonical JSON under its digest, checked whenever it is read.

Knows nothing of where artifacts are kept. Manifests, context snapshots and facts are such; they hold no floats. What
looks like a secret is refused where it would be written, since a target may be excused from that.

Errors:  StoreCorrupt, its message beginning with seed 001's code: artifact_content_address_mismatch,
         artifact_json_decode_failed, artifact_float_not_allowed, artifact_not_canonical.
Source:  seed 001, read checks and codes; decision 1.
"""

from __future__ import annotations

import json
from typing import Any

from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.core.errors import BadAttribute, StoreCorrupt


def structured(data: bytes, digest: Digest) -> Any:
    """The JSON value of an artifact."""
    if sha256(data) != digest:
        raise _refused("artifact_content_address_mismatch", digest, "its bytes are not those of its name")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise _refused("artifact_json_decode_failed", digest, "it is no JSON") from None
    if has_float(value):
        raise _refused("artifact_float_not_allowed", digest, "it holds a float")
    try:
        again = canonical(value)
    except BadAttribute:
        again = b""
    if again != data:
        raise _refused("artifact_not_canonical", digest, "its JSON is not in canonical form")
    return value


def has_float(value: Any) -> bool:
    """Whether a float stands anywhere in a JSON value."""
    if isinstance(value, dict):
        return any(map(has_float, value.values()))
    if isinstance(value, list):
        return any(map(has_float, value))
    return isinstance(value, float)


def _refused(code: str, digest: Digest, what: str) -> StoreCorrupt:
    return StoreCorrupt(f"{code}: object {digest}: {what}", remedy="build the target again", details={"code": code})
