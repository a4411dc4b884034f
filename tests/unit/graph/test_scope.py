"""A target's scope: values as files and labels, faults with their places, ids that never clash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from workshop import Workshop

from flowbuild.core.errors import BadAttribute, FlowError, NoMatch, UnknownName
from flowbuild.core.label import parse
from flowbuild.graph.lower import lower
from flowbuild.graph.scope import Scope, as_input, as_inputs, holds
from flowbuild.graph.state import File, Input, Product, Source
from flowbuild.load.attribute import Attribute

BUILD = {
    "targets": {
        "asks": {"rule": "group", "targets": []},
        "one": {"rule": "exec", "command": "x", "outputs": {"o": "o"}},
        "two": {"rule": "exec", "command": "x", "outputs": {"a": "a", "bee": "b"}},
        "files": {"rule": "filegroup", "files": ["x.txt", ":one"]},
        "none": {"rule": "group", "targets": []},
    }
}


@pytest.fixture
def scope(workshop: Workshop) -> Scope:
    """The scope of //p:asks, in a graph where the others are lowered already."""
    for name in ("x.txt", "y.txt", "deep/z.txt", "drafts/d.txt"):
        workshop.write(f"p/{name}", "")
    workshop.write("p/BUILD.yaml", json.dumps(BUILD, indent=1))
    catalog = workshop.open("//...").catalog
    graph = lower(catalog, [parse(f"//p:{name}") for name in ("one", "two", "files", "none")])
    asks = catalog.target(parse("//p:asks"))
    return Scope(catalog, asks, catalog.rules["group"], graph.targets, list(graph.states), {})


def items(scope: Scope, value: Any) -> Any:
    found = scope.files(value)
    return [one.item for one in found] if isinstance(found, list) else found.item  # type: ignore[union-attr]


ONE = Product(0, "o", "out/bin/p/one/o")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("p/x.txt", Source("p/x.txt")),
        (":one", ONE),
        ("//p:one#o", ONE),
        (["p/x.txt", ":one"], [Source("p/x.txt"), ONE]),
        ([":files", "p/y.txt"], [Source("p/x.txt"), ONE, Source("p/y.txt")]),
        (":files", [Source("p/x.txt"), ONE]),
        ({"glob": "*.txt"}, [Source("p/x.txt"), Source("p/y.txt")]),
        ({"glob": ["**/*.txt"], "exclude": "drafts/"}, [Source(f"p/{n}.txt") for n in ("deep/z", "x", "y")]),
        ({"glob": "*.no", "optional": True}, []),
        ([], []),
    ],
)
def test_files(scope: Scope, value: Any, expected: Any) -> None:
    assert items(scope, value) == expected


def test_a_map_of_files(scope: Scope) -> None:
    found = scope.files({"a": ":one", "b": {"glob": "*.txt"}})
    assert as_inputs(found) == {
        "a": Input((ONE,), False),
        "b": Input((Source("p/x.txt"), Source("p/y.txt")), True),
    }


def test_files_in_a_list_are_numbered(scope: Scope) -> None:
    found = scope.files([":files", "p/y.txt"])
    assert isinstance(found, list)
    assert [one.index for one in found] == [0, 1, 2]


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (":two", BadAttribute, "//p:two has 2 outputs, and one is needed here; name one: //p:two#a, //p:two#bee"),
        (":none", BadAttribute, "//p:none has no outputs"),
        (":two#be", UnknownName, "//p:two has no output 'be'; did you mean 'bee'?"),
        ({"glob": "*.no"}, NoMatch, "no file matches *.no; write `optional: true`"),
        ([{"a": "p/x.txt"}], BadAttribute, "can't hold a mapping"),
    ],
)
def test_files_that_are_none(scope: Scope, value: Any, kind: type[FlowError], message: str) -> None:
    with pytest.raises(kind) as caught:
        scope.files(value, "targets")
    assert message in str(caught.value)
    assert str(caught.value.location).startswith("p/BUILD.yaml:")


def test_a_fault_keeps_the_place_that_it_has(scope: Scope) -> None:
    first = scope.fault(BadAttribute("x"), "targets")
    place = first.location
    assert scope.fault(first, "rule").location is place


def test_ids_are_fresh(scope: Scope) -> None:
    made = [scope.state_id("main", name) for name in ("x", "X", "x!", "y")]
    assert [one.rpartition(".")[2] for one in made] == ["x", "x_2", "x_3", "y"]


def test_long_ids_that_share_their_beginning_are_fresh_too(scope: Scope) -> None:
    made = {scope.state_id("main", "a" * 70 + str(n)) for n in range(12)}
    assert len(made) == 12
    assert all(len(part) <= 63 for one in made for part in one.split("."))


def test_names_that_expressions_see(scope: Scope) -> None:
    assert scope.names()["target"] == {"name": "asks", "label": "//p:asks", "package": "p"}
    assert scope.render("${{ target.label }}", scope.names()) == "//p:asks"


def test_where_outputs_stand(scope: Scope) -> None:
    assert scope.place({"o": "d/o", "p": "p/"}) == {"o": "out/bin/p/asks/d/o", "p": "out/bin/p/asks/p/"}


def test_a_file_is_an_input_and_a_list_is_many() -> None:
    one = File(Source("x"), "")
    assert (as_input(one), as_input([one])) == (Input((Source("x"),), False), Input((Source("x"),), True))


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        (Attribute("a", "files"), True),
        (Attribute("a", "string"), False),
        (Attribute("a", "list", items=Attribute("i", "file")), True),
        (Attribute("a", "map", items=Attribute("i", "list", items=Attribute("j", "inputs"))), True),
        (Attribute("a", "list", items=Attribute("i", "string")), False),
    ],
)
def test_holds(attribute: Attribute, expected: bool) -> None:
    assert holds(attribute, frozenset({"file", "files", "inputs"})) is expected
