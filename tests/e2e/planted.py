"""Looking for a secret in what was written and said, as somebody who wants it would.

Knows nothing of how it got there, nor of `core.mask`: what masks and what searches are written twice.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from flowbuild.testing import Space


def forms(value: str) -> Iterator[bytes]:
    """The value as a search for it would try."""
    for text in (value, *value.split("\n")):
        data = text.encode()
        yield from (data, data.hex().encode(), data.hex().upper().encode())
        yield from (json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[1:-1].encode())
        yield from (repr(text)[1:-1].encode(), ascii(text)[1:-1].encode(), repr(data)[2:-1].encode())
        yield from (quote(text, safe="").encode(), quote_plus(text).encode(), quote(text).encode())
        for before in range(3):
            yield base64.b64encode(b"\0" * before + data)[4:-4]


def leaks(root: Path, *values: str) -> list[str]:
    """The files below a directory in which a value stands, in any form, or whose name holds it."""
    found = []
    for path in root.rglob("*"):
        data = str(path.relative_to(root)).encode() + (path.read_bytes() if path.is_file() else b"")
        data = data.replace(b"\n", b"") + data
        found += [f"{path}: {form!r}" for value in values for form in forms(value) if form in data]
    return found


def written(space: Space, *values: str) -> list[str]:
    """The leaks in all that flowbuild wrote."""
    return [one for name in ("out", ".flowbuild") for one in leaks(space.root / name, *values)]
