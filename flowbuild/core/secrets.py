"""What looks like a secret: the rules by which nothing of the kind is written down.

Knows nothing of where a value goes. A false alarm costs a rename or a declared exemption; a miss costs a credential.

Shapes:  a pointer is the keys and indices on the way to the value, as a JSON pointer.
Source:  seed 001, secrets; decision 6: a phrase is 12 to 24 words of small letters and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Compared with the text in small ASCII letters.
MARKS = (
    "password",
    "passphrase",
    "mnemonic",
    "private_key",
    "privatekey",
    "seed phrase",
    "seed_phrase",
    "seedphrase",
    "api_key",
    "apikey",
    "x-api-key",
    "x_api_key",
    "access_key",
    "accesskey",
    "secret_key",
    "secretkey",
    "aws_access_key_id",
    "aws_secret_access_key",
    "access_token",
    "refresh_token",
    "id_token",
    "authorization",
    "bearer ",
)
LINE = "[a line that looks like a secret]"
_MARK = re.compile("|".join(MARKS))
_STEMS = (b"pass", b"key", b"mnem", b"seed", b"token", b"auth", b"bearer")  # every mark has one of them
_PHRASE = re.compile(r"\s*(?:[a-z]+\s+){11,23}[a-z]+\s*")
_SPACES = 11  # at least, in a phrase
# `scheme://user:password@`, where the password is no reference such as $TOKEN or ${{ params.x }}.
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*:[^\s/?#@$]+@")
_CAPITALS = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def looks_secret(text: str) -> bool:
    """Whether a text names a secret, or is a phrase of words that may be one."""
    small = text.lower() if text.isascii() else text.translate(_CAPITALS)
    return _MARK.search(small) is not None or _PHRASE.fullmatch(text) is not None


def is_clear(data: bytes) -> bool:
    """Whether the canonical bytes of a JSON value hold nothing that looks secret. A quick no may be wrong, a yes not.

    No mark is written otherwise in JSON than it is. Of the white space between the words of a phrase only the space
    is: all other needs a backslash, or is beyond ASCII.
    """
    if data.count(b" ") >= _SPACES or b"\\" in data or not data.isascii():
        return False
    small = data.lower()
    for stem in _STEMS:  # noqa: SIM110 - twice as fast as `any`, and asked for every event
        if stem in small:
            return False
    return True


def holds_password(text: str) -> bool:
    """Whether a URL in a text has a password written out."""
    return _USERINFO.search(text) is not None


def hide_lines(text: str) -> str:
    """A text with each line that looks secret replaced."""
    if not looks_secret(text) and not any(map(looks_secret, text.split("\n"))):
        return text
    return "\n".join(LINE if looks_secret(line) else line for line in text.split("\n"))


def find_secret(value: Any) -> str | None:
    """The pointer of the first key or text of a JSON value that looks secret; None when there is none."""
    if isinstance(value, str):
        return "" if looks_secret(value) else None
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return None
    for key, item in items:
        if isinstance(key, str) and looks_secret(key):
            return f"/{key}"
        found = find_secret(item)
        if found is not None:
            return f"/{key}{found}"
    return None
