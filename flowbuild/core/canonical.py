"""Canonical JSON (RFC 8785) and digests: the identity of everything.

Knows nothing of files. Two encoders, one form: msgspec for documents without floats, with ASCII texts and
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
        try:
            data = _fast.encode(doc)
        except (TypeError, ValueError):
            return _exact(doc)
        # All keys and texts are ASCII: their order is then that of UTF-16, and their escapes are the form's.
        return data if data.isascii() and _is_plain(doc) else _exact(doc)
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


def _is_plain(doc: Any) -> bool:
    """Whether a value that could be encoded has only types that both encoders write alike. A loop, no recursion:
    this is asked of every event and every action."""
    pending = [doc]
    for value in pending:
        kind: type = type(value)
        if kind is str:
            continue
        if kind is dict:  # a key that is no text was refused when it was encoded
            pending += value.values()
        elif kind is list or kind is tuple:
            pending += value
        elif kind is int:
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                return False
        elif value is not None and kind is not bool:
            return False
    return True


EMPTY_CONTEXT = digest({})
