"""Parameters: declared short or long, and read from the command line."""

from __future__ import annotations

from typing import Any

import pytest

from flowbuild.core.errors import BadFlag
from flowbuild.load.attributes import Checker
from flowbuild.load.params import Param, read_params


def read(given: dict[str, Any]) -> tuple[dict[str, Param], list[str]]:
    to = Checker("")
    done = read_params(to, given, ())
    return done, [f"{'.'.join(map(str, found.pointer))}: {found.message}" for found in to.findings]


@pytest.mark.parametrize(
    ("item", "kind", "default"),
    [
        (10, "integer", 10), (1.5, "number", 1.5), (True, "boolean", True), ("x", "string", "x"),
        ({"default": 3}, "integer", 3), ({"type": "number", "default": 3}, "number", 3),
        ({"type": "enum", "values": ["a", "b"], "default": "b"}, "enum", "b"),
        ({"type": "string", "default": ""}, "string", ""), ({"default": False, "doc": "d"}, "boolean", False),
    ],
)  # fmt: skip
def test_declared(item: Any, kind: str, default: Any) -> None:
    done, faults = read({"p": item})
    assert faults == [] and (done["p"].type, done["p"].default) == (kind, default)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"P": 1}, "P: 'P' is not the name of a parameter"),
        ({"p": None}, "p: the parameter 'p' is a plain value, and here stands nothing"),
        ({"p": [1]}, "p: the parameter 'p' is a plain value, and here stands a list"),
        ({"p": "${{ x }}"}, "p: the parameter 'p' is a value, and no expression"),
        ({"p": {"type": "integer"}}, "p: the parameter 'p' needs 'default'"),
        ({"p": {"type": "integer", "default": "x"}}, "p.default: 'p' is an integer, and here stands the string 'x'"),
        (
            {"p": {"type": "path", "default": "x"}},
            "p.type: 'type' is one of boolean, enum, integer, number, string, and here",
        ),
        ({"p": {"default": 1, "docs": "x"}}, "p.docs: the parameter 'p' has no 'docs'"),
        ({"p": {"type": "enum", "default": "x"}}, "p: 'p': `values` belongs to type enum, and enum needs it"),
        ({"p": {"type": "enum", "values": ["a"], "default": "x"}}, "p.default: 'p' is one of a, and here stands"),
        ({"p": {"default": []}}, "p.default: the parameter 'p' is a plain value"),
    ],
)
def test_faults(given: dict[str, Any], fault: str) -> None:
    (found,) = read(given)[1]
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("param", "text", "value"),
    [
        (Param("p", "integer", 1), "3", 3), (Param("p", "number", 1), "3", 3), (Param("p", "number", 1), "1e3", 1000.0),
        (Param("p", "boolean", True), "false", False), (Param("p", "string", ""), "3", "3"),
        (Param("p", "string", ""), "", ""),
        (Param("p", "enum", "a", values=("a", "b")), "b", "b"),
    ],
)  # fmt: skip
def test_set(param: Param, text: str, value: Any) -> None:
    assert param.read(text) == value


@pytest.mark.parametrize(
    ("param", "text"),
    [
        (Param("p", "integer", 1), "three"), (Param("p", "integer", 1), "1.5"), (Param("p", "integer", 1), "9" * 20),
        (Param("p", "integer", 1), ""), (Param("p", "boolean", True), "no"), (Param("p", "number", 1), ".nan"),
        (Param("p", "enum", "a", values=("a",)), "b"), (Param("p", "string", ""), "a\0b"),
        (Param("p", "string", ""), "${{ 1 }}"),
    ],
)  # fmt: skip
def test_set_to_something_else(param: Param, text: str) -> None:
    with pytest.raises(BadFlag, match=r"^--set p="):
        param.read(text)
