"""States and their graph: what is needed, and what expressions see of a file."""

from __future__ import annotations

from posixpath import relpath

import pytest

from flowbuild.core.ids import OpId, StateId
from flowbuild.core.label import Label, parse
from flowbuild.graph.state import Built, Code, File, Input, Item, Product, Source, State, StateGraph, seen_from


def state(name: str, *items: Item, code: Code | None = None) -> State:
    inputs = {f"i{n}": Input((item,), False) for n, item in enumerate(items)}
    return State(StateId(f"{name}.main.x"), Label("", name), "exec", "", {}, inputs, {"o": "o"}, {}, code=code)


def product(number: int) -> Product:
    return Product(number, "o", f"out/bin/{number}/o")


def built(name: str, *states: int, outputs: tuple[Item, ...] = (), members: tuple[str, ...] = ()) -> Built:
    shown = {"o": Input(outputs, True)} if outputs else {}
    return Built(Label("", name), OpId(name), "x", states, shown, tuple(map(parse, members)))


GRAPH = StateGraph(
    (state("a"), state("b", product(0)), state("c"), state("d", product(1), product(2), product(1))),
    {
        one.label: one
        for one in (
            built("a", 0),
            built("b", 1),
            built("c", 2),
            built("d", 3),
            built("files", outputs=(Source("x"), product(1))),
            built("both", members=("//:c", "//:b")),
            built("more", members=("//:both", "//:d", "//:both", "//:c")),
        )
    },
)


@pytest.mark.parametrize(
    ("label", "numbers"),
    [("//:a", [0]), ("//:b", [0, 1]), ("//:d", [0, 1, 2, 3]), ("//:files", [0, 1]), ("//:both", [0, 1, 2])],
)
def test_closure(label: str, numbers: list[int]) -> None:
    assert GRAPH.closure([parse(label)]) == numbers


def test_behind_is_ascending_and_once_each() -> None:
    assert GRAPH.behind([3, 2, 3]) == [0, 1, 2, 3]
    assert GRAPH.behind([]) == []


@pytest.mark.parametrize(
    ("labels", "spread"),
    [
        (["//:both"], ["//:c", "//:b"]),
        (["//:b", "//:both"], ["//:b", "//:c"]),
        (["//:more"], ["//:c", "//:b", "//:d"]),
        (["//:a#o", "//:a"], ["//:a"]),
        (["//:files"], ["//:files"]),
    ],
)
def test_spread_replaces_groups_in_order(labels: list[str], spread: list[str]) -> None:
    assert [str(label) for label in GRAPH.spread(map(parse, labels))] == spread


def test_needs_and_sources() -> None:
    code = Code("p/h.py", None, "f", {"m": "p/m.py"})
    one = state("x", Source("a"), product(1), product(1), Source("b"), code=code)
    assert list(one.needs) == [1, 1]
    assert list(one.sources) == ["a", "b", "p/h.py", "p/m.py"]
    assert list(state("y", code=Code(None, "installed", "f")).sources) == []


@pytest.mark.parametrize(
    ("path", "package", "shown", "name"),
    [
        ("a/b.txt", "a", "b.txt", "b"),
        ("a/b.tar.gz", "", "a/b.tar.gz", "b.tar"),
        ("out/bin/x/parts/", "a/b", "../../out/bin/x/parts/", "parts"),
        ("other/x", "a", "../other/x", "x"),
        ("a/.hidden", "a", ".hidden", ".hidden"),
    ],
)
def test_what_an_expression_sees_of_a_file(path: str, package: str, shown: str, name: str) -> None:
    file = File(Source(path), package, 4)
    assert (file, file.path, file.name, file.index, file.item) == (shown, shown, name, 4, Source(path))


def test_code_as_a_worker_is_told_of_it() -> None:
    doc = Code("p/h.py", None, "f", {"m": "p/m.py"}, ("numpy",)).doc()
    assert doc == {"source": "p/h.py", "module": None, "function": "f", "modules": {"m": "p/m.py"}}


@pytest.mark.parametrize("package", ["", "a", "a/b"])
@pytest.mark.parametrize(
    "path",
    [
        "x",
        "a",
        "a/x",
        "a/b",
        "a/b/x/y.txt",
        "a/bb/x",
        "a/../x",
        "a/./b//x",
        "plots/",
        "/abs/x",
        "",
        "..",
        "out/bin/a/t/x",
        "a//",
    ],
)
def test_a_path_is_seen_from_a_package_as_relpath_says(package: str, path: str) -> None:
    assert seen_from(package, path) == relpath("/" + path, "/" + package)
