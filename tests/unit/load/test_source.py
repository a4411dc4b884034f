"""Strict YAML: each fault with its very place, all faults of a file at once, and bombs that do not go off."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from flowbuild.core.errors import BadYaml, Faults, FlowError, Location
from flowbuild.load.source import MAX_ALIASED, MAX_BYTES, MAX_DEPTH, parse


def faults(text: str | bytes) -> list[FlowError]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises((BadYaml, Faults)) as caught:
        parse(data, "f")
    found = caught.value.exceptions if isinstance(caught.value, Faults) else (caught.value,)
    return [fault for fault in found if isinstance(fault, FlowError)]


def shown(text: str | bytes) -> list[str]:
    return [str(fault) for fault in faults(text)]


def test_a_document_is_json() -> None:
    text = b"a: 1\nb: [x, {c: null}, 'true', \"1\"]\nd: |\n  text\ne: >-\n  folded\n  text\nf: no\n'g': 0755\n"
    assert parse(text, "f") == {
        "a": 1, "b": ["x", {"c": None}, "true", "1"], "d": "text\n", "e": "folded text", "f": "no", "g": "0755",
    }  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_says_null(data: bytes) -> None:
    assert parse(data, "f") is None


def test_a_mark_of_byte_order_and_windows_lines_are_fine() -> None:
    assert parse(b"\xef\xbb\xbfa: 1\r\nb: [x,\r\n y]\r\n", "f") == {"a": 1, "b": ["x", "y"]}
    assert shown(b"\xef\xbb\xbfa: !x 1\r\nb: !x 1\r\n")[1].startswith("f:2:4: the tag !x")


ONE_FAULT = [
    ("a: 1\na: 2", "2:1", "the key 'a' is given twice, first on line 1"),
    ("a:\n  b: 1\n  c: 2\n  b: 3", "4:3", "the key 'b' is given twice, first on line 2"),
    ("a: {b: 1, b: 2}", "1:11", "the key 'b' is given twice, first on line 1"),
    ("'a': 1\n\"a\": 2", "2:1", "the key 'a' is given twice, first on line 1"),
    ("1: a", "1:1", "the key 1 is not a string"),
    ("x: {true: a}", "1:5", "the key true is not a string"),
    ("null: a", "1:1", "the key null is not a string"),
    ("? [a]\n: b", "1:3", "a key is a string, and here a list or a mapping stands as one"),
    ("? {a: b}\n: c", "1:3", "a key is a string, and here a list or a mapping stands as one"),
    ("a: &x {b: 1}\nc:\n  <<: *x", "3:3", "merge keys ('<<') are not read"),
    ("a: !!str 1", "1:4", "the tag !!str means nothing here"),
    ("a: !!set {b}", "1:4", "the tag !!set means nothing here"),
    ("a: !!binary aGk=", "1:4", "the tag !!binary means nothing here"),
    ("a: !python/object:os.system x", "1:4", "the tag !python/object:os.system means nothing here"),
    ("a: ! x", "1:4", "the tag ! means nothing here"),
    ("a: *x", "1:4", "there is no &x before"),
    ("a: &x [*x]", "1:8", "*x stands inside its own value"),
    ("a: 1\n---\nb: 2", "2:1", "a second document begins here"),
    ("%YAML 1.1\n---\na: 1", "1:1", "directives mean nothing here"),
    ("a: .inf", "1:4", ".inf is no JSON number"),
    ("a: [1, 9007199254740992]", "1:8", "9007199254740992 is beyond 2^53-1"),
    ("a:\n\tb: 1", "2:1", "a tab can't indent YAML; indent with spaces"),
    ("a: b: c", "1:5", "a ':' can't stand here"),
    ("a: 'x\nb: 1", "1:4", "a quote is opened here and never closed"),
    ("a: @x", "1:4", "a value can't begin with '@'; quote it"),
    ("a: `x`", "1:4", "a value can't begin with '`'; quote it"),
    ("a: [x", "2:1", "expected ',' or ']'"),
    ("a: {b: c", "2:1", "expected ',' or '}'"),
    ('a: "\\q"', "1:5", "found unknown escape character"),
    ("- a\nb: c", "2:1", "expected '-' indicator"),
    ("a: [:x]", "1:5", "inside [ ] and { } YAML refuses a bare leading ':'; quote it"),
    ("a: {b: :x}", "1:8", "inside [ ] and { } YAML refuses a bare leading ':'; quote it"),
    ("a: [b, :x]", "1:8", "inside [ ] and { } YAML refuses a bare leading ':'; quote it"),
    ("a: {b: ${{ x }}}", "1:9", 'inside [ ] and { } put it in quotes: "${{ ... }}"'),
    ("a: [${{ x }}]", "1:6", 'inside [ ] and { } put it in quotes: "${{ ... }}"'),
    ("a: x\x00", "1:5", "the character U+0000 can't stand in YAML"),
    ("a: 1\nb: \x1b[0m", "2:4", "the character U+001B can't stand in YAML"),
    ("a: x\u2028y", "1:5", "the character U+2028 can't stand in YAML"),
    ("a: x\x85y", "1:5", "the character U+0085 can't stand in YAML"),
    (b"a: 1\nb: x\xff\n", "2:5", "byte 0xff is not UTF-8"),
    ("é: 1\nb: é".encode("utf-16"), "1:1", "byte 0xff is not UTF-8"),
    ("é: !x 1".encode(), "1:4", "the tag !x"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "message"), ONE_FAULT)
def test_a_fault_has_its_very_place(text: str | bytes, place: str, message: str) -> None:
    (found,) = shown(text)
    assert found.startswith(f"f:{place}: ") and message in found, found


def test_the_line_is_shown_with_a_marker() -> None:
    assert faults("a: 1\nbb: [:x]\n")[0].report() == (
        "f:2:6: a value begins with ':'\n    bb: [:x]\n         ^\n"
        "  inside [ ] and { } YAML refuses a bare leading ':'; quote it"
    )


def test_all_faults_of_a_file_come_at_once() -> None:
    found = faults("a: !x 1\na: 2\n3: .inf\nb: *c\nd: [e\n")
    places = [(fault.location.line, fault.location.column) for fault in found if fault.location]
    assert places == [(1, 4), (2, 1), (3, 1), (3, 4), (4, 4), (6, 1)]


def test_aliases_share_their_value() -> None:
    assert parse(b"a: &x [1, {b: 2}]\nc: *x\nd: {e: *x}\n&k f: *k\n", "f") == {
        "a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": {"e": [1, {"b": 2}]}, "f": "f",
    }  # fmt: skip


def test_a_billion_laughs() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert shown("\n".join(lines)) == [f"f:6:10: aliases add more than {MAX_ALIASED:,} values"]


def test_nesting_has_a_limit() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "f")
    assert shown("[" * 101) == ["f:1:101: values are nested deeper than 100"]


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? ", "[\n", "{[ ", "[{a: ", "- - a: "])
def test_200000_levels_neither_crash_nor_take_long(piece: str) -> None:
    start = time.process_time()
    assert shown(piece * 200_000)
    assert time.process_time() - start < 1


def test_a_file_has_a_size() -> None:
    (fault,) = faults(b"x" * (MAX_BYTES + 1))
    assert "16,777,216" in fault.message and fault.location == Location("f")


def test_ten_thousand_faults_take_no_quadratic_time() -> None:
    start = time.process_time()
    assert len(faults("".join(f"a{n}: !x 1\n" for n in range(10_000)))) == 10_000
    assert time.process_time() - start < 2


def test_a_large_scalar_is_cheap() -> None:
    tracemalloc.start()
    assert len(parse(b"a: '" + b"x" * 10_000_000 + b"'", "f")["a"]) == 10_000_000
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_it_was(was_on: bool) -> None:
    (gc.enable if was_on else gc.disable)()
    try:
        faults("a: !x 1")
        parse(b"a: 1", "f")
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


def test_without_libyaml_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.delattr(yaml, "CBaseLoader", raising=False)
    assert parse(b"a: [1, {b: no}]\n", "f") == {"a": [1, {"b": "no"}]}
    assert shown("a: !x 1\nb: [") == [
        "f:1:4: the tag !x means nothing here; leave it out; what is quoted is text",
        "f:2:5: expected the node content, but found '<stream end>' (while parsing a flow node)",
    ]
