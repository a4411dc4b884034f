"""Items and children: what a list comes to, by what each is known, and how what they make is joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop, declare, lowered

from flowbuild.core.canonical import canonical
from flowbuild.run.items import name, tag
from flowbuild.run.spread import join
from flowbuild.run.story import ITEMS
from flowbuild.run.why_items import item_changes
from flowbuild.store.cas import Cas
from flowbuild.store.tree import Artifact, collect, entries


@pytest.mark.parametrize(
    ("doc", "said"),
    [
        ({"value": "a\n b"}, "a b"),
        ({"value": {"name": "Mars", "km": 1}}, "Mars"),
        ({"value": {"id": "x1"}}, "x1"),
        ({"value": {"name": 3}}, '{"name":3}'),
        ({"value": None}, "null"),
        ({"value": "\x1b[31mred"}, "?[31mred"),
        ({"value": "x" * 99}, "x" * 59 + "…"),
        ({"file": "out/bin/w/parts/d/a.txt", "sha256": "0" * 64, "executable": False}, "w/parts/d/a.txt"),
    ],
)
def test_an_item_has_a_name_for_people(doc: dict[str, Any], said: str) -> None:
    assert name(doc) == said


def test_items_are_told_apart_as_json_does() -> None:
    docs = [{"value": value} for value in (1, True, "1", None, "", [], {}, [1], 1.5)]
    assert len({tag(doc) for doc in docs}) == len(docs)
    assert tag({"value": {"a": 1, "b": 2}}) == tag({"value": {"b": 2, "a": 1}})


def made(cas: Cas, path: Path, text: str) -> Artifact:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return collect(cas, path)


def test_what_items_made_is_one_directory_in_their_order(tmp_path: Path) -> None:
    cas = Cas(tmp_path / "cas")
    one, two = (made(cas, tmp_path / text, text) for text in ("one", "two"))
    (tmp_path / "two").chmod(0o755)
    two = collect(cas, tmp_path / "two")
    found = join(cas, {"o": "parts/p-*.txt"}, [{"o": two}, {"o": one}, {"o": two}])["o"]
    assert [(entry.path, entry.sha256, entry.executable) for entry in entries(cas, found.sha256)] == [
        ("p-00000.txt", two.sha256, True),
        ("p-00001.txt", one.sha256, False),
        ("p-00002.txt", two.sha256, True),
    ]
    assert (found.size, found.is_directory) == (9, True)


def test_directories_of_items_lie_side_by_side(tmp_path: Path) -> None:
    cas = Cas(tmp_path / "cas")
    made(cas, tmp_path / "d/x/a", "a")
    directory = collect(cas, tmp_path / "d")
    found = join(cas, {"o": "deep/parts/*/"}, [{"o": directory}, {"o": directory}])["o"]
    assert [entry.path for entry in entries(cas, found.sha256)] == ["00000/x/a", "00001/x/a"]


def test_no_event_of_an_item_is_left_out() -> None:
    from flowbuild.core.event import ITEM_EVENTS

    assert set(ITEMS) == ITEM_EVENTS


DOCS: dict[str, Any] = {
    "a1": {"item": {"value": "a"}, "with": 1},
    "b1": {"item": {"value": "b"}, "with": 1},
    "a2": {"item": {"value": "a"}, "with": 2},
    "b2": {"item": {"value": "b"}, "with": 2},
    "f1": {"item": {"file": "f", "sha256": "1"}},
    "f2": {"item": {"file": "f", "sha256": "2"}},
}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (["a1"], ["a1", "b1"], [("items[b]", None, "b1")]),
        (["a1", "b1"], ["b1"], [("items[a]", "a1", None)]),
        (["a1", "b1"], ["a2", "b2"], [("with", 1, 2)]),
        (["f1"], ["f2"], [("items[f]", "f1", "f2")]),
        (["gone1234567"], ["a1"], [("items[gone1234]", "gone1234567", None), ("items[a]", None, "a1")]),
    ],
)
def test_what_differs_is_told_by_item(old: list[str], new: list[str], said: list[tuple[str, Any, Any]]) -> None:
    def compare(one: Any, two: Any) -> list[tuple[str, Any, Any]]:
        return [(key, one[key], two[key]) for key in one if one[key] != two[key]]

    assert list(item_changes(old, new, DOCS.get, compare)) == said


def test_another_order_is_told_as_that() -> None:
    ((field, old, new),) = item_changes(["a1", "b1"], ["b1", "a1"], DOCS.get, lambda one, two: [])
    assert field == "items.order" and old != new


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"outputs": {"o": "o.txt"}}, "write o: o/*.txt, where the star stands for the item's number"),
        ({"outputs": {"o": "*.txt"}}, "the output 'o' is '*.txt'"),
        ({"outputs": {"o": "a/*/b"}}, "the output 'o' is 'a/*/b'"),
        ({"outputs": {"o": "a/*-*"}}, "the output 'o' is 'a/*-*'"),
        ({"command": "say", "each": {"a": "l.json", "b": "l.json"}}, "`each` names one variable"),
        ({"command": "say", "each": {"inputs": "l.json"}}, "'inputs' is no name for an item"),
        ({"each": {"o": "l.json"}}, "'o' stands in `each` too"),
        ({"each": {"it": "none.json"}}, "none.json is not there"),
        ({"command": "say ${{ other }}"}, "there is no 'other' here"),
        ({"inputs": {"i": "${{ it }}"}}, "there is no 'it' here"),
        ({"timeout": "${{ it }}"}, "there is no 'it' here"),
    ],
)
def test_what_can_be_no_fan_out_is_refused_before_anything_runs(
    workshop: Workshop, more: dict[str, Any], said: str
) -> None:
    workshop.write("l.json", "[]")
    target = {"rule": "exec", "command": "say ${{ it }}", "each": {"it": "l.json"}, "outputs": {"o": "o/*"}, **more}
    workshop.write("BUILD.yaml", declare({"t": target}))
    with pytest.raises(Exception, match=".*") as caught:
        lowered(workshop)
    found = getattr(caught.value, "exceptions", [caught.value])
    assert any(said in str(one) for one in found), [str(one) for one in found]


def test_a_fan_out_is_one_state_whose_output_is_a_directory(workshop: Workshop) -> None:
    workshop.write("l.json", "[1, 2, 3]")
    target = {"rule": "exec", "command": "say ${{ it }}", "each": {"it": "l.json"}, "outputs": {"o": "o/*.txt"}}
    workshop.write("BUILD.yaml", declare({"t": target}))
    (state,) = lowered(workshop).states
    assert (dict(state.outputs), list(state.sources)) == ({"o": "out/bin/t/o/"}, ["l.json"])
    assert state.fan is not None
    ones = [state.fan.fill(value, "tag") for value in (1, 2)]
    assert [one.with_ for one in ones] == [{"command": ["say", "1"]}, {"command": ["say", "2"]}]
    assert canonical(dict(ones[0].env)) == b"{}"
