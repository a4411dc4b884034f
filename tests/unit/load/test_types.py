"""The types of attributes: what each accepts, the normal form it gives, and what it says otherwise."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flowbuild.core.errors import FlowError
from flowbuild.load import types
from flowbuild.load.attributes import Attribute, check_value, render_attribute

ENUM = Attribute("a", "enum", values=("baseline", "scenario"))
LABELS = Attribute("a", "list", items=Attribute("a", "label"))
FILES_BY_NAME = Attribute("a", "map", items=Attribute("a", "file"))


def a(kind: str) -> Attribute:
    return Attribute("a", kind)


NORMAL: list[tuple[Attribute, Any, Any]] = [
    (a("string"), "x", "x"), (a("integer"), 3, 3), (a("number"), 3, 3), (a("number"), 1.5, 1.5),
    (a("boolean"), False, False),
    (a("seconds"), 0.5, 0.5), (a("any"), {"a": [None]}, {"a": [None]}), (ENUM, "scenario", "scenario"),
    (a("list"), [1, "x"], [1, "x"]), (a("map"), {"a": 1}, {"a": 1}), (LABELS, [":x", "//a"], ["//w:x", "//a"]),
    (FILES_BY_NAME, {"k": "f", "l": ":t"}, {"k": "w/f", "l": "//w:t"}),
    (a("path"), "../x/", "x/"), (a("label"), ":t#out", "//w:t#out"), (a("label"), "//w", "//w"),
    (a("label"), "//w:w", "//w"),
    (a("file"), "f", "w/f"), (a("file"), "//b:c", "//b:c"),
    (a("files"), "f", "w/f"), (a("files"), ["f", ":t"], ["w/f", "//w:t"]),
    (a("files"), {"glob": "*.txt"}, {"glob": ["*.txt"], "exclude": [], "optional": False}),
    (a("files"), ["f", {"glob": ["a*", "b*"], "exclude": "c*", "optional": True}],
     ["w/f", {"glob": ["a*", "b*"], "exclude": ["c*"], "optional": True}]),
    (a("inputs"), {"x": "f", "y": [":t", "g"], "z_2": {"glob": "*"}},
     {"x": "w/f", "y": ["//w:t", "w/g"], "z_2": {"glob": ["*"], "exclude": [], "optional": False}}),
    (a("outputs"), {"x": "./a.txt", "y": "parts/"}, {"x": "a.txt", "y": "parts/"}),
    (a("command"), "sort -u 'a b'", ["sort", "-u", "a b"]), (a("command"), ["head", "-n", 3], ["head", "-n", "3"]),
    (a("command"), "cat ${{ inputs.x }} ${{ a.b | join(' ') }}", ["cat", "${{ inputs.x }}", "${{ a.b | join(' ') }}"]),
    (a("env"), ["LC_ALL", "_X9"], {"LC_ALL": None, "_X9": None}),
    (a("env"), {"A": "x", "N": 3, "P": None}, {"A": "x", "N": "3", "P": None}),
    (a("handler"), "top.py:f", "w/top.py:f"), (a("handler"), "../lib/x.py:f", "lib/x.py:f"),
    (a("handler"), "pkg.mod:f_2", "pkg.mod:f_2"),
    (a("pointer"), "/a/0/~0~1", "/a/0/~0~1"), (a("pointer"), "", ""), (a("word"), 3, "3"), (a("output"), "a", "a"),
]  # fmt: skip


@pytest.mark.parametrize(("attribute", "value", "normal"), NORMAL, ids=str)
def test_normal_form(attribute: Attribute, value: Any, normal: Any) -> None:
    assert check_value(attribute, value, "w") == normal


@pytest.mark.parametrize(("attribute", "value", "normal"), NORMAL, ids=str)
def test_rendering_what_is_normal_changes_nothing(attribute: Attribute, value: Any, normal: Any) -> None:
    assert render_attribute(attribute, normal, {}, "w") == normal


WRONG: list[tuple[Attribute, Any, str]] = [
    (a("string"), 3, "'a' is a string, and here stands the number 3; quote it"),
    (a("string"), True, "'a' is a string, and here stands the boolean true; quote it"),
    (a("string"), ["x"], "'a' is a string, and here stands a list"),
    (a("string"), "x\0", "'a' holds the character U+0000"),
    (a("integer"), "3", "'a' is an integer, and here stands the string '3'"),
    (a("integer"), True, "'a' is an integer, and here stands the boolean true"),
    (a("integer"), 1.5, "'a' is an integer, and here stands the number 1.5"),
    (a("number"), "1", "'a' is a number, and here stands the string '1'"),
    (a("boolean"), "no", "'a' is a boolean, and here stands the string 'no'; write true or false"),
    (a("seconds"), 0, "'a' is a number of seconds above zero, and here stands the number 0"),
    (a("seconds"), "10s", "'a' is a number of seconds above zero, and here stands the string '10s'"),
    (a("seconds"), True, "'a' is a number of seconds above zero, and here stands the boolean true"),
    (ENUM, "scenarios", "'a' is one of baseline, scenario, and here stands the string 'scenarios'; did you mean"),
    (a("list"), "x", "'a' is a list, and here stands the string 'x'; write it as [one, two]"),
    (a("map"), [1], "'a' is a mapping, and here stands a list"),
    (LABELS, ["x"], "'x' is not a label; a label looks like //package:target or :target"),
    (a("label"), "//a b?:c", "'//a b?:c' is not a label: 'a b?' is not a directory name; a label looks like"),
    (a("path"), ":t", "'a' is a path, and here stands the string ':t'; a label can't stand here"),
    (a("path"), "/etc/passwd", "the path '/etc/passwd' is absolute; write it relative to the package"),
    (a("path"), "../../x", "the path '../../x' leaves the workspace"),
    (a("file"), {}, "'a' is a path or a label, and here stands a mapping"),
    (a("files"), [["x"]], "'a' is a path, a label, a list of them, or a {glob: ...}, and here stands a list; a list"),
    (a("files"), {"globs": "*", "glob": "*"}, "a glob has no 'globs'; did you mean 'glob'?"),
    (a("files"), {"exclude": "*"}, "'a' is a mapping without `glob`; write {glob: texts/**/*.txt}"),
    (a("files"), {"glob": 3}, "`glob` is a pattern or a list of patterns"),
    (a("files"), {"glob": "/x"}, "the glob '/x' is not relative to the package"),
    (a("files"), {"glob": "*", "exclude": "[z-a]"}, "the pattern '[z-a]' can't be read"),
    (a("files"), {"glob": "${{ x }}"}, "a glob holds no expression; write it out"),
    (a("files"), {"glob": "*", "optional": "yes"}, "`optional` is true or false"),
    (a("inputs"), ["x"], "'a' is a mapping of names to files, and here stands a list"),
    (a("inputs"), {"X": "f"}, "'X' is not a name in 'a'; a name is a small letter"),
    (a("inputs"), {"a-b": "f"}, "'a-b' is not a name in 'a'"),
    (a("inputs"), {"x": None}, "the input 'x' names no file; write a path or a label"),
    (a("inputs"), {"x": 3}, "'input' is a path, a label, a list of them, or a {glob: ...}, and here stands the"),
    (a("outputs"), {"x": "/a"}, "the path '/a' is absolute"),
    (a("outputs"), {"x": "../a"}, "'../a' leaves the target's output directory"),
    (a("outputs"), {"x": "a", "y": "a"}, "the output 'a' lies where 'a' does"),
    (a("outputs"), {"x": "a/", "y": "a/b"}, "the output 'a/b' lies where 'a/' does"),
    (a("outputs"), {"x": "a/b", "y": "a"}, "the output 'a' lies where 'a/b' does"),
    (a("outputs"), {"x": "A", "y": "a"}, "the output 'a' lies where 'A' does"),
    (a("outputs"), {"x": ["a"]}, "'output' is a path below the target's output directory, and here stands a list"),
    (a("command"), "", "'a' names no program"),
    (a("command"), [], "'a' names no program"),
    (a("command"), ["", "x"], "'a' names no program"),
    (a("command"), "a 'b", "the command can't be split into words: a quote is opened and never closed"),
    (a("command"), ["a", 1.5], "'word' is text or an integer, and here stands the number 1.5; quote it"),
    (a("command"), ["a", True], "'word' is text or an integer, and here stands the boolean true; quote it"),
    (a("command"), {}, "'a' is a command: a string, or a list of words, and here stands a mapping"),
    (a("env"), ["A-B"], "'A-B' is not the name of a variable"),
    (a("env"), {"1A": "x"}, "'1A' is not the name of a variable"),
    (a("env"), {"A": 1.5}, "'value' is text or an integer, and here stands the number 1.5; quote it"),
    (a("env"), "LC_ALL", "'a' is a list of variables to pass through, or a mapping of names to values, and"),
    (a("handler"), "top.py", "'a' is a handler: file.py:function or module:function, and here stands the string"),
    (a("handler"), "top.py:a.b", "'a' is a handler"),
    (a("handler"), "a/b:f", "'a' is a handler"),
    (a("handler"), "/x.py:f", "the path '/x.py' is absolute"),
    (a("pointer"), "a", "'a' is a JSON pointer, and here stands the string 'a'; write it like /a/0/b"),
    (a("pointer"), "/a~2", "'a' is a JSON pointer"),
]  # fmt: skip


@pytest.mark.parametrize(("attribute", "value", "message"), WRONG, ids=str)
def test_wrong(attribute: Attribute, value: Any, message: str) -> None:
    with pytest.raises(FlowError) as caught:
        check_value(attribute, value, "w")
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("kind", sorted(types.TYPES))
def test_a_whole_expression_passes_every_type(kind: str) -> None:
    value = "${{ params.x }}"
    assert check_value(Attribute("a", kind, values=("v",) if kind == "enum" else ()), value, "w") in (value, [value])


@pytest.mark.parametrize(
    "kind", sorted(name for name, row in types.TYPES.items() if not row.is_text and not row.splits)
)
def test_text_around_an_expression_is_a_string(kind: str) -> None:
    with pytest.raises(FlowError, match="an expression with text around it is a string; write the expression alone"):
        check_value(a(kind), "x${{ params.x }}", "w")


NAMES = {"params": {"file": "f", "many": ["f", ":t"], "n": 3, "bad": "/x", "name": "LC", "label": ":t"}}


@pytest.mark.parametrize(
    ("attribute", "value", "normal"),
    [
        (a("integer"), "${{ params.n }}", 3),
        (a("path"), "sub/${{ params.file }}", "w/sub/f"),
        (a("path"), "w/already", "w/already"),
        (a("label"), "//w:${{ params.file }}", "//w:f"),
        (a("files"), ["w/x", "${{ params.many }}"], ["w/x", "w/f", "//w:t"]),
        (a("inputs"), {"x": "w/x", "y": "${{ params.many }}"}, {"x": "w/x", "y": ["w/f", "//w:t"]}),
        (a("outputs"), {"x": "${{ params.file }}.txt"}, {"x": "f.txt"}),
        (a("env"), {"A": "${{ params.n }}", "B": None}, {"A": "3", "B": None}),
        (a("handler"), "${{ params.file }}.py:f", "w/f.py:f"),
        (a("command"), ["a", "${{ params.many }}"], ["a", "${{ params.many }}"]),
        (LABELS, ["//w:x", "${{ params.label }}"], ["//w:x", "//w:t"]),
        (a("string"), "n=${{ params.n }}", "n=3"),
        (a("map"), {"k": {"deep": "${{ params.n }}"}}, {"k": {"deep": 3}}),
    ],
    ids=str,
)
def test_rendered_values_are_made_normal(attribute: Attribute, value: Any, normal: Any) -> None:
    assert render_attribute(attribute, value, NAMES, "w") == normal


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        (a("integer"), "${{ params.file }}", "'a' is an integer, and here stands the string 'f'"),
        (a("inputs"), {"x": "${{ params.bad }}"}, "the path '/x' is absolute"),
        (a("outputs"), {"x": "a", "y": "${{ params.n }}"}, "'output' is a path"),
        (a("path"), "${{ params.nope }}", "${{ params.nope }}: 'params' has no 'nope'"),
    ],
)
def test_rendered_values_are_checked(attribute: Attribute, value: Any, message: str) -> None:
    with pytest.raises(FlowError) as caught:
        render_attribute(attribute, value, NAMES, "w")
    assert str(caught.value).startswith(message)


def test_the_docstring_names_every_type() -> None:
    table = (types.__doc__ or "").split("Errors:")[0]
    assert set(re.findall(r"[a-z]+", table)) >= types.TYPES.keys()
