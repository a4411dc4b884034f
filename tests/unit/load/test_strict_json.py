"""Strict JSON: values with places, and what is refused where JSON readers disagree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.errors import BadJson, Faults, Location
from flowbuild.load.strict_json import parse_json, read_json

TEXT = b'{\n  "a": [1, {"b": "x"}],\n  "c": null\n}\n'


@pytest.mark.parametrize(
    ("pointer", "key", "line", "column"),
    [
        ((), False, 1, 1),
        (("a",), False, 2, 8),
        (("a",), True, 2, 3),
        (("a", 0), False, 2, 9),
        (("a", 1, "b"), False, 2, 18),
        (("c",), False, 3, 8),
        (("c", "deeper"), False, 3, 3),
        (("nothing",), False, 1, 1),
    ],
)
def test_every_value_has_its_place(pointer: tuple[str | int, ...], key: bool, line: int, column: int) -> None:
    found = parse_json(TEXT, "f").place(pointer, key=key)
    assert (found.path, found.line, found.column) == ("f", line, column)
    assert found.text == TEXT.decode().splitlines()[line - 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "f:1:1: this is not JSON"),
        (b"{} x", "f:1:4: this is not JSON"),
        (b"{\n 'a': 1}", "f:2:2: this is not JSON"),
        (b"a: 1", "f:1:1: this is not JSON"),
        (b'{"a": 1,\n "a": 2}', "f:2:2: the key 'a' is given twice, first on line 1"),
        (b"[1, NaN]", "f:1:5: NaN is no JSON"),
        (b"[-Infinity]", "f:1:2: -Infinity is no JSON"),
        (b"[9007199254740992]", "f:1:2: 9007199254740992 is beyond"),
        (b'["\\ud800"]', "f:1:2: half of a surrogate pair"),
        (b'{"\\udc00": 1}', "f:1:2: half of a surrogate pair"),
        (b'["\n\xff"]', "f:2: byte 0xff is not UTF-8"),
        (b"[" * 200 + b"]" * 200, "nested deeper than 100"),
        (b"[" * 100_000, "nested deeper than 100"),
        (b"1" * 5000, "a number has too many digits"),
    ],
)
def test_what_is_refused_is_told_with_its_place(text: bytes, says: str) -> None:
    with pytest.raises(BadJson) as found:
        parse_json(text, "f")
    assert says in str(found.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Faults) as found:
        parse_json(b'{"a": NaN, "a": 9999999999999999}', "f")
    assert len(found.value.exceptions) == 3


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_json(b"\xef\xbb\xbf[1]", "f").value == [1]


def test_a_large_number_that_is_no_integer_is_left_alone() -> None:
    assert parse_json(b"[1e300, 9007199254740991, -9007199254740991]", "f").value == [1e300, 2**53 - 1, 1 - 2**53]


def test_a_file_that_is_not_there_is_the_caller_s(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "no", "no")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_what_any_writer_writes_is_read_and_every_value_is_placed(value: object, ascii_: bool, indent: object) -> None:
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent)  # type: ignore[arg-type]
    document = parse_json(text.encode(), "f")
    assert document.value == value
    for pointer, (start, _) in document.places.items():
        here = value
        for part in pointer:
            here = here[part]  # type: ignore[index]
        assert json.JSONDecoder().raw_decode(text, start)[0] == here
    assert document.place(()) == Location("f", 1, 1, text.split("\n")[0].rstrip("\r"))
