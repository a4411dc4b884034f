"""Expressions: both roads give the same, values keep their type, text is spelt as JSON spells it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbuild.core.errors import BadExpression
from flowbuild.load import sandbox
from flowbuild.load.expression import evaluate, is_whole, names_in, render, split


class Item(str):
    """A caller's object: text, with a name that expressions see and one that they don't."""

    expression_names: ClassVar[tuple[str, ...]] = ("name",)
    name = "shown"
    secret = "hidden"


NAMES: dict[str, Any] = {
    "inputs": {"names": "a b.txt", "items": ["x", "y z"], "none": [], "keys": "k"},
    "params": {"limit": 10, "rate": 1.0, "small": 1e-7, "draft": True, "empty": None, "map": {"a": {"b": 1}}},
    "item": Item("text"),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${{ params.limit }}", 10),
        ("${{params.draft}}", True),
        ("${{ params.empty }}", None),
        ("${{ inputs.items }}", ["x", "y z"]),
        ("${{ params.map.a }}", {"b": 1}),
        ("${{ inputs.keys }}", "k"),
        ("${{ item.name }}", "shown"),
        ("n=${{ params.limit }} ${{ params.rate }} ${{ params.small }}", "n=10 1 1e-7"),
        ("${{ params.draft }} ${{ inputs.items }}.", "true x y z."),
        ("[${{ inputs.none }}]", "[]"),
        ("${{ '${{' }} ${{ 'a}}b' }}", "${{ a}}b"),
        ("$x ${y} $(z) {{ jinja }} ${ {", "$x ${y} $(z) {{ jinja }} ${ {"),
        ("${{ params.limit + 1 }}", 11),
        ("${{ inputs.items | join(',') }}!", "x,y z!"),
    ],
)
def test_rendered(text: str, value: Any) -> None:
    assert render(text, NAMES) == value
    assert type(render(text, NAMES)) is type(value)


def test_values_are_rendered_wherever_strings_stand() -> None:
    assert render({"a": ["${{ params.limit }}", 1], "${{ x }}": None}, NAMES) == {"a": [10, 1], "${{ x }}": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${{ inputs.nmes }}", "${{ inputs.nmes }}: 'inputs' has no 'nmes'; did you mean 'names'?"),
        ("${{ inptus.names }}", "${{ inptus.names }}: there is no 'inptus'; did you mean 'inputs'?"),
        ("${{ params.map.x }}", "${{ params.map.x }}: 'params.map' has no 'x'; known here: a"),
        ("${{ inputs.names.upper }}", "${{ inputs.names.upper }}: 'inputs.names' has no parts"),
        ("${{ item.secret }}", "${{ item.secret }}: 'item' has no 'secret'; known here: name"),
        ("a ${{ params.empty }}", "${{ params.empty }}: its value is null, which can't stand inside text"),
        ("a ${{ params.map }}", "${{ params.map }}: its value is a mapping, which can't stand inside text"),
        ("a ${{ x", "'${{ x': an expression is opened and never closed; close it with '}}'"),
        ("${{ 'x }}", "\"${{ 'x }}\": an expression is opened and never closed; close it with '}}'"),
        ("${{ }}", "${{  }}: there is nothing between the braces"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(BadExpression) as caught:
        render(text, NAMES)
    assert str(caught.value) == message


def test_text_has_a_bound_before_it_is_made() -> None:
    with pytest.raises(BadExpression, match="longer than"):
        render("${{ big }}" * 100_000, {"big": "x" * 100_000})


words = st.sampled_from(
    ["inputs", "params", "item", "names", "map", "a", "b", "limit", "keys", "items", "name", "not_there"]
)


@given(st.lists(words, min_size=1, max_size=4))
def test_both_roads_give_the_same(path: list[str]) -> None:
    body = ".".join(path)
    try:
        fast: Any = evaluate(f" {body} ", NAMES)
    except BadExpression:
        with pytest.raises(BadExpression):
            sandbox.evaluate(body, NAMES)
    else:
        assert sandbox.evaluate(body, NAMES) == fast
    assert sandbox.names(body) == {body}


@pytest.mark.parametrize("word", ["true", "false", "none", "True", "None"])
def test_words_of_the_language_are_no_names(word: str) -> None:
    assert evaluate(word, {word: "a name"}) in (True, False, None)


@pytest.mark.parametrize(
    ("text", "whole"),
    [("${{ a }}", True), ("${{a}}${{b}}", False), (" ${{ a }}", False), ("${{ a }}\n", False), ("a", False)],
)
def test_whole(text: str, whole: bool) -> None:
    assert is_whole(text) is whole


def test_parts_put_together_are_the_text() -> None:
    text = "a ${{ b }}${{ '}}' }} c"
    assert "".join(part for part, _ in split(text)) == text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("${{ states.a.outputs.b }} ${{ attr.x }}", {"states.a.outputs.b", "attr.x"}),
        ("${{ not attr['x'] and inputs.a[0].b }}", {"attr.x", "inputs.a"}),
        ("${{ [params.a, 'b.c', 3]|join(target.name) }}", {"params.a", "target.name"}),
        ("${{ params.a if params.b == 'x' else range(params.n) }}", {"params.a", "params.b", "params.n"}),
        ("${{ a.b }${{", None),
        ("a.b {{ c }}", set()),
    ],
)
def test_names_in(text: str, names: set[str] | None) -> None:
    if names is None:
        with pytest.raises(BadExpression):
            names_in(text)
    else:
        assert names_in({"k": [text]}) == names


def test_dotted_names_need_no_jinja() -> None:
    code = (
        "import sys; from flowbuild.load.expression import render, names_in\n"
        "render('x ${{ a.b }}', {'a': {'b': 1}}); names_in('${{ a.b }}')\n"
        "sys.exit('jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
