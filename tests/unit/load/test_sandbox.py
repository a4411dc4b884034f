"""The closed room: attacks end in an error, soon and small; honest expressions work."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from flowbuild.core.errors import BadExpression
from flowbuild.load.expression import evaluate

NAMES: dict[str, Any] = {
    "inputs": {"names": "a.txt", "items": ["b", "a", "b"]},
    "params": {"limit": 10, "draft": False, "big": "x" * 1000, "text": "Some Text "},
    "attr": {"tables": [{"name": "t", "path": "p"}]},
}

ATTACKS = [
    # Out of the room.
    "''.__class__.__mro__[1].__subclasses__()", "inputs.__class__", "inputs['__class__']", "params.big['__class__']",
    "cycler.__init__.__globals__.os.popen('id').read()", "self.__init__.__globals__", "self", "loop", "caller()",
    "lipsum.__globals__", "joiner('x')", "namespace(x=1)", "dict(a=1)", "''|attr('__class__')", "[].append(1)",
    "inputs.items()", "params.get('x')", "params.big.format", "'{0.__class__}'.format(1)", "x|map('attr', 'y')",
    "inputs|xmlattr", "range.__class__", "(range)(3).__class__", "params.big.upper()", "inputs.update({'a': 1})",
    # Out of memory or time.
    "'%1000000000d' % 1", "'%s' % params.big", "'x' * 1000000000", "[0] * 1000000000", "[[1] * 1000] * 1000",
    "range(1000000000)", "range(10001)", "range(-9007199254740993, 9007199254740993)", "9 ** 9 ** 9", "'x' ** 2",
    "9007199254740991 * 9007199254740991", "1e308 * 10", "'x'|center(1000000000)", "'x'|indent(1000000000)",
    "params.big|batch(1)", "'%s'|format(1)", "range(1000)|join(range(1000)|join(range(1000)|join))",
    "params.big|replace('', params.big|replace('', params.big))", "'\\\\'" + "|tojson" * 25, "x" * 3000,
    "params.big ~ " * 180 + "''|replace('', params.big)", "(" * 900 + "1" + ")" * 900, "not " * 490 + "true",
    "-" * 1990 + "1", "1+" * 900 + "1", "[" * 1900, "1 if 1 else " * 150 + "1", "('9' ~ '9'|join)|int ~ 1e999",
    # Nonsense.
    "1/0", "1 // 0", "1 % 0", "1e999", "'\\ud800'", "x for", "a b", "a.", ".a", "{% set x = 1 %}", "{{ 1 }}",
    "params.big[::0]",
    "params.limit.x", "1 + 'a'", "params.draft + 1", "none|upper", "'a'|int", "''|split('')", "[]|first",
    "[1, 'a']|sort",
    "'a' in 3", "params[inputs]", "range()", "range('a')", "1|nope", "1 is nope", "'a' if false", "params.nope",
    "nope|default(1)",
    "params.nope.x|default(1)", "params.nope == 1", "params.nope ~ 'a'", "not params.nope", "[params.nope]|join",
    "\x00", "é", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("body", ATTACKS)
def test_an_attack_ends_in_an_error_soon(body: str) -> None:
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(BadExpression):
            evaluate(body, NAMES)
        assert time.process_time() - start < 1
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


HEAVY = [
    "range(10000)" + "|sort|reverse" * 9, "range(9000)|join(',')|split(',')|sort|unique|join",
    "params.big|replace('x', params.big)",
    "params.big|replace('x', params.big)" + "|upper|lower" * 9,
]  # fmt: skip


@pytest.mark.parametrize("body", HEAVY)
def test_the_heaviest_that_is_allowed_is_still_soon(body: str) -> None:
    start = time.process_time()
    evaluate(body, NAMES)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("not params.draft", True),
        ("params.limit > 3 and 'many' or 'few'", "many"),
        ("'a' if params.draft else 'b'", "b"),
        ("params['limit'] + 1 - 2 * 3 // 4 % 5", 10),
        ("7 / 2", 3.5),
        ("-params.limit", -10),
        ("inputs['items']|unique|join(',')", "b,a"),
        ("inputs.items|sort|first ~ inputs.items[0] ~ 1 ~ true", "ab1true"),
        ("inputs.items[1:]", ["a", "b"]),
        ("inputs.items|length", 3),
        ("'b' in inputs.items", True),
        ("inputs.names[:-4]", "a"),
        ("attr.tables[0].name", "t"),
        ("params.text|trim|lower|replace(' ', '_')", "some_text"),
        ("params.nope|default(3)", 3),
        ("params.draft|default(3, true)", 3),
        ("params.nope is defined", False),
        ("params.limit is number and params.text is string", True),
        ("range(2, 5)", [2, 3, 4]),
        ("(1, 2)", [1, 2]),
        ("{'a': [1, {'b': none}]}", {"a": [1, {"b": None}]}),
        ("[3, 1]|max + '4'|int", 7),
        ("2.5|round|string ~ 1.0", "21"),
        ("{'b': 1, 'a': 'é'}|tojson", '{"a":"é","b":1}'),
        ("'a,b'|split(',')|last|upper", "B"),
        ("[1, 2]|reverse == [2, 1]", True),
    ],
)
def test_honest_expressions(body: str, value: Any) -> None:
    assert evaluate(body, NAMES) == value


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("params.limt|string", "there is no 'limt'; did you mean 'limit'?"),
        ("pramas.limit|string", "there is no 'pramas'; did you mean 'params'?"),
        ("params.text|uper", "No filter named 'uper'.; did you mean 'upper'?"),
        ("params.text is sring", "No test named 'sring'.; did you mean 'string'?"),
        (
            "params.text.upper()",
            "there are no methods and functions here; range is the one function; filters are written",
        ),
        ("9 ** 9", "'pow' has no place in an expression"),
        ("1 2", "'2' is left over at the end"),
    ],
)
def test_messages(body: str, message: str) -> None:
    with pytest.raises(BadExpression) as caught:
        evaluate(body, NAMES)
    assert message in str(caught.value)


def test_nothing_is_changed() -> None:
    names = {"a": {"b": [1, 2]}}
    evaluate("a.b + [3]", names)
    evaluate("a.b|sort|reverse", names)
    assert names == {"a": {"b": [1, 2]}}
