"""The coercion table: what a plain scalar is, and what only looks like something else."""

from __future__ import annotations

import pytest

from flowbuild.load.scalar import resolve

VALUES = [
    ("", None), ("~", None), ("null", None), ("true", True), ("false", False),
    ("0", 0), ("-0", 0), ("42", 42), ("-3", -3), ("9007199254740991", 2**53 - 1), ("-9007199254740991", 1 - 2**53),
    ("1.5", 1.5), ("-0.25", -0.25), ("1e3", 1000.0), ("1E3", 1000.0), ("1.0e+3", 1000.0), ("2.5e-7", 2.5e-7),
    ("1.10", 1.1), ("0.0", 0.0),
]  # fmt: skip
STRINGS = [
    "no", "yes", "on", "off", "y", "n", "True", "TRUE", "False", "Null", "NULL", "None", "0755", "00", "-01", "0x10",
    "0o17", "0b1", "1_000", "12:30", "12:30:45", "2020-01-01", "2020-01-01T00:00:00Z", "1.", ".5", "-.5", "+1",
    "1.10.2",
    "1e", "e3", "1e3.5", "inf", "nan", "infinity", "-", "--", ".", "..", "...", "-x", "٣", "1٣", "truely", "nullable",
    "1 ", "=", "<", "!", "//a:b", ":a", "/a",
]  # fmt: skip
REFUSED = [
    ".inf", "-.inf", "+.inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", "1e999", "-1e999", "9007199254740992",
    "-9007199254740992", "123456789012345678", "1" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_json_values(text: str, value: object) -> None:
    assert (resolve(text), type(resolve(text))) == (value, type(value))


@pytest.mark.parametrize("text", STRINGS)
def test_everything_else_is_a_string(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize("text", REFUSED)
def test_what_json_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quote it if it is text"):
        resolve(text)
