"""What a plain YAML scalar means: JSON's types in JSON's spelling, and a string otherwise.

Knows nothing of quotes, tags or positions: only plain scalars are asked about.

    null  ~  (nothing)       null              true  false                   boolean
    0  -3  42                integer           1.5  -0.25  1e3  2.5e-7       number
    no  yes  on  True  0755  0x10  0o17  1_000  12:30  2020-01-01  1.  .5  +1  1.10.2  the string itself

Errors:  ValueError with a message for a person: an infinity, NaN, an integer beyond 2^53-1, a number too large.
Source:  YAML 1.2 section 10.2 (JSON schema); RFC 8785 for the largest integer.
"""

from __future__ import annotations

import re

from flowbuild.core.canonical import MAX_INTEGER

Scalar = None | bool | int | float | str

_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "true": True, "false": False}
_FIRST = frozenset("0123456789-+.ntf~")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve(text: str) -> Scalar:
    """The value of a plain scalar."""
    if text and text[0] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _NUMBER.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError(f"{text} is larger than a number can be; quote it if it is text")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no JSON number; quote it if it is text")
    return text


def _integer(text: str) -> int:
    # Sixteen digits hold 2^53; int() of a huge text would cost quadratic time.
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise ValueError(f"{text[:40]} is beyond 2^53-1, which JSON can't carry exactly; quote it if it is text")
    return int(text)
