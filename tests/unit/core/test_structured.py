"""Structured artifacts are read as they were written, or not at all.

Seed 001: 001-02, 001-25.
"""

from __future__ import annotations

import pytest

from flowbuild.core.canonical import Digest, sha256
from flowbuild.core.errors import StoreCorrupt
from flowbuild.core.structured import structured


@pytest.mark.parametrize("data", [b"{}", b'{"a":2,"b":1}', b"[null,true]", b'"x"', b"1795255000000"])
def test_what_is_canonical_is_read(data: bytes) -> None:
    assert structured(data, sha256(data)) == eval(data, {"null": None, "true": True})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"nonsense", "artifact_json_decode_failed"),
        (b"\xff", "artifact_json_decode_failed"),
        (b"[" * 100_000, "artifact_json_decode_failed"),
        (b'{"a":1.0}', "artifact_float_not_allowed"),
        (b"[NaN]", "artifact_float_not_allowed"),
        (b'{"b":1,"a":2}', "artifact_not_canonical"),
        (b'{"a": 1}', "artifact_not_canonical"),
        (b'{"a":1,"a":1}', "artifact_not_canonical"),
        (b'"\\u0061"', "artifact_not_canonical"),
        (b"9007199254740993", "artifact_not_canonical"),
    ],
)
def test_each_fault_has_its_code(data: bytes, code: str) -> None:
    with pytest.raises(StoreCorrupt, match=f"^{code}: ") as caught:
        structured(data, sha256(data))
    assert (caught.value.exit_code, caught.value.details) == (5, {"code": code})


def test_bytes_of_another_name() -> None:
    with pytest.raises(StoreCorrupt, match="^artifact_content_address_mismatch: "):
        structured(b"{}", Digest("0" * 64))
