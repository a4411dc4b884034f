"""A handler's name and its arguments, from its source."""

from __future__ import annotations

import pytest

from flowbuild.core.errors import BadAttribute, BadPath
from flowbuild.load.handler import Checked, Handler, check, parse


@pytest.mark.parametrize(
    ("text", "handler"),
    [
        ("top.py:most_frequent", Handler("most_frequent", file="top.py")),
        ("deep/top.py:f", Handler("f", file="deep/top.py")),
        ("flowbuild.engine.golden:compare", Handler("compare", module="flowbuild.engine.golden")),
    ],
)
def test_a_handler_is_named(text: str, handler: Handler) -> None:
    assert parse(text) == handler


@pytest.mark.parametrize(
    "text", ["top.py", ":f", "top.py:", "top.py:f()", "top.py:A.f", "a-b:f", "deep/top:f", "a..b:f"]
)
def test_what_is_no_handler_is_refused(text: str) -> None:
    with pytest.raises(BadAttribute):
        parse(text)


@pytest.mark.parametrize("text", ["/top.py:f", "../top.py:f", "a/../../top.py:f"])
def test_a_handler_is_a_file_of_the_package(text: str) -> None:
    with pytest.raises(BadPath):
        parse(text)


def faults(signature: str, *given: str, function: str = "f") -> list[str]:
    source = f"import x\n\n{signature}\n    pass\n"
    return [str(fault) for fault in check(source, "words/top.py", function, given).faults]


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        ("def f():", []),
        ("def f(a, b):", ["b", "a"]),
        ("def f(a, b=1, *, c=2):", ["a"]),
        ("def f(a, *rest, **more):", ["a", "z"]),
        ("@wrapped\ndef f(*, a):", ["a"]),
        ("def f():\n    def g(): yield 1\n    h = lambda: (yield)", []),
    ],
)
def test_what_fits_has_no_fault(signature: str, given: list[str]) -> None:
    assert faults(signature, *given) == []


def test_a_misspelt_name_is_one_fault() -> None:
    assert faults("def f(words, limit):", "words", "limt") == [
        "words/top.py:3:1: f() has no argument 'limt'; did you mean 'limit'?"
    ]


def test_each_fault_is_told() -> None:
    assert faults("def f(words, limit):", "names", "words") == [
        "words/top.py:3:1: f() has no argument 'names'; known here: limit",
        "words/top.py:3:1: f() needs 'limit'; declare it in inputs, outputs or `with`, or give limit a default",
    ]
    assert faults("def f():", "a") == ["words/top.py:3:1: f() has no argument 'a'"]


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("async def f(a):", "is async"),
        ("def f(a):\n    if a:\n        yield 1", "is a generator"),
        ("def f(a, /):", "takes 'a' by position only; arguments are passed by name; remove the `/`"),
    ],
)
def test_what_a_handler_may_not_be(signature: str, said: str) -> None:
    (fault,) = faults(signature, "a")
    assert fault.startswith("words/top.py:3:1: f() ") and said in fault


def test_a_reserved_name_is_not_given() -> None:
    assert faults("def f(context):", "context") == [
        "words/top.py:3:1: 'context' is a reserved name; give it another name"
    ]


def test_a_function_that_is_not_there() -> None:
    assert faults("def most():", function="mots") == ["words/top.py has no function mots(); did you mean 'most'?"]
    (fault,) = check("f = 1", "top.py", "f", []).faults
    assert fault.remedy == "a handler is a `def` at the left margin"


def test_a_fault_of_syntax_has_its_place() -> None:
    (fault,) = check("x = 1\ndef f(:\n", "words/top.py", "f", []).faults
    assert str(fault).startswith("words/top.py:2:7: not valid Python: ")
    assert check("\0", "top.py", "f", []).faults


def test_a_handler_asks_for_what_it_names() -> None:
    assert check("def f(a, io, *, emit): ...", "words/top.py", "f", ["a"]) == Checked([], ("emit", "io"))
    assert check("def f(a): ...", "words/top.py", "f", ["a"]).doors == ()


def test_a_warning_of_pythons_is_no_fault() -> None:  # in these tests a warning is an error, as with `python -W error`
    assert check("def f(): return '\\d'  # once\n", "top.py", "f", []).faults == []
