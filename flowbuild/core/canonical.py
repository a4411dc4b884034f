"""Canonical JSON (RFC 8785) and digests: the identity of everything.

Knows nothing of files. Two encoders, one form: msgspec for documents without floats, with ASCII keys and
integers below 2^53, which is nearly all of them; rfc8785 for the rest. A differential test holds them equal.

Shapes:  Digest, 64 lowercase hex characters, SHA-256.
Errors:  BadAttribute when a value has no canonical form (NaN, infinity, |n| > 2^53-1, a key that is no string,
         a lone surrogate).
Source:  RFC 8785; seed 001, canonical JSON policy.
"""

from __future__ import annotations

import hashlib
from typing import Any, NewType

import msgspec

from flowbuild.core.errors import BadAttribute

Digest = NewType("Digest", str)

MAX_INTEGER = 2**53 - 1

_fast = msgspec.json.Encoder(order="deterministic")


def canonical(doc: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value. Tuples count as lists."""
    try:
        return _fast.encode(doc) if _is_plain(doc) else _exact(doc)
    except RecursionError:
        raise BadAttribute("value has no canonical JSON form: it is nested too deeply") from None


def _exact(doc: Any) -> bytes:
    """The form of any JSON value, by the reference encoder."""
    import rfc8785

    try:
        return rfc8785.dumps(doc)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadAttribute(f"value has no canonical JSON form: {error}") from None


def digest(doc: Any) -> Digest:
    """SHA-256 of the canonical bytes of a JSON value."""
    return sha256(canonical(doc))


def sha256(data: bytes) -> Digest:
    """SHA-256 of bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def _is_plain(value: Any) -> bool:
    """Whether the fast encoder gives the canonical form of a value: the guard of the fast road, and so plain loops."""
    kind: type = type(value)
    if kind is str:
        return bool(value.isascii() and "\x7f" not in value)
    if kind is dict:
        return _has_plain_items(value)
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110
            if not _is_plain(item):
                return False
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    return value is None or kind is bool


def _has_plain_items(doc: dict[Any, Any]) -> bool:
    for key, item in doc.items():
        if type(key) is not str or not key.isascii() or "\x7f" in key:
            return False
        if type(item) is str:  # most are, and need no call
            if not item.isascii() or "\x7f" in item:
                return False
        elif not _is_plain(item):
            return False
    return True


EMPTY_CONTEXT = digest({})
