"""Golden files: what differs, where, and what a person is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_io import TinyIo, action, perform

from flowbuild.engine.golden import Differs, compare
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.worker import Workers

ACCEPT = "\naccept it with: flowbuild test //words:same --update-goldens"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def said(new: str | bytes, old: str | bytes, *volatile: str, golden: str = "golden/x.json") -> str:
    """What is said of two contents; empty when they agree."""
    Path("golden").mkdir(exist_ok=True)
    for path, content in (("actual", new), (golden, old)):
        Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return judged(Path("actual"), Path(golden), golden, *volatile)


def judged(actual: Path, expected: Path | list[Path] | None, golden: str, *volatile: str) -> str:
    Path("verdict").unlink(missing_ok=True)
    try:
        compare(actual, expected, Path("verdict"), list(volatile), "//words:same", golden)
    except Differs as differs:
        assert not Path("verdict").exists()
        return str(differs).removesuffix(ACCEPT)
    assert json.loads(Path("verdict").read_text())["verdict"] == "equal"
    return ""


def dumped(doc: object, **style: int) -> str:
    return json.dumps(doc, **style)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a\n", '{"a": 1}', b"\xff\x00"])
def test_the_same_bytes_agree(text: str | bytes) -> None:
    assert said(text, text) == ""


def test_a_line_of_json_is_shown_at_its_place() -> None:
    old, new = {"top": ["the", "mo", "b"]}, {"top": ["the", "ada", "b"]}
    assert said(dumped(new), dumped(old, indent=2) + "\n") == 'golden/x.json:4   - "mo"   + "ada"'


def test_json_on_one_line_is_shown_by_pointer() -> None:
    assert said('[1, {"a/b": 2, "n": 1}]', '[1, {"a/b": 3, "o": 1}]') == (
        "golden/x.json#/1/a~1b   - 3   + 2\ngolden/x.json#/1/o   - 1\ngolden/x.json#/1/n   + 1"
    )


def test_order_and_layout_of_json_are_no_difference() -> None:
    assert said('{"b": [1],\n"a": 2}', '{"a": 2, "b": [1]}') == ""
    assert said('{"b": 2, "a": 1}', dumped({"a": 1, "b": 1}, indent=2)) == 'golden/x.json:3   - "b": 1   + "b": 2'


@pytest.mark.parametrize(("new", "old"), [("[1]", "[true]"), ("[1]", "[1.0]"), ("[0]", "[null]"), ("{}", "[]")])
def test_values_of_other_types_differ(new: str, old: str) -> None:
    assert said(new, old)


@pytest.mark.parametrize(
    ("new", "old", "pointer"),
    [
        ('{"made_at": 1, "x": 0}', '{"made_at": 2, "x": 0}', "/made_at"),
        ('{"x": 0}', '{"made_at": 2, "x": 0}', "/made_at"),
        ('{"made_at": {"deep": 1}, "x": 0}', '{"x": 0}', "/made_at"),
        ('[{"id": 1}, {"id": 2}]', '[{"id": 1}, {"id": 3}]', "/1/id"),
        ("[1, 2]", "[1, 3]", "/1"),
        ('{"a/b~c": 1}', '{"a/b~c": 2}', "/a~1b~0c"),
    ],
)
def test_what_is_volatile_is_not_compared(new: str, old: str, pointer: str) -> None:
    assert said(new, old, pointer) == ""
    assert said(new, old, "/elsewhere/deep") != ""


def test_lines_keep_their_numbers_behind_what_is_volatile() -> None:
    old = dumped({"made_at": {"a": 1, "b": 2}, "x": 1}, indent=2)
    assert said('{"x": 2, "made_at": 3}', old, "/made_at") == 'golden/x.json:6   - "x": 1   + "x": 2'


def test_text_differs_by_lines() -> None:
    found = said("a\nB\nc\nd\nnew\n", "a\nb\nc\nd\n", golden="golden/x.txt")
    assert found == "golden/x.txt:2   - b   + B\ngolden/x.txt:5   + new"
    assert said("a\n", "a\nb\n", golden="golden/x.txt") == "golden/x.txt:2   - b"


def test_line_ends_are_shown_when_they_are_all() -> None:
    assert said("a\r\n", "a\n", golden="golden/x.txt") == r"golden/x.txt:1   - 'a\n'   + 'a\r\n'"
    assert said("a", "a\n", golden="golden/x.txt") == r"golden/x.txt:1   - 'a\n'   + 'a'"


def test_broken_json_is_text() -> None:
    assert said("{", "{}") == "golden/x.json:1   - {}   + {"


def test_bytes_differ_at_a_byte() -> None:
    assert said(b"\xff\x01\x02", b"\xff\x00", golden="golden/x") == "golden/x: byte 1   - 2 bytes   + 3 bytes"


def test_much_is_cut() -> None:
    found = said(
        "".join(f"n{n}\n" for n in range(50_000)), "".join(f"o{n}\n" for n in range(50_000)), golden="golden/x"
    )
    assert found.splitlines()[-1] == "... and 49990 more differences" and len(found.splitlines()) == 11
    assert len(said("x" * 5000, "y" * 5000, golden="golden/x")) < 300


def test_directories_differ_by_files() -> None:
    for path, text in {"a/same": "1", "a/new": "1", "a/d/x.json": "[1]", "g/same": "1", "g/d/x.json": "[2]"}.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    Path("g/old").mkdir()
    assert judged(Path("a"), Path("g"), "g/").splitlines() == [
        "g/d/x.json#/0   - 2   + 1",
        "g/new   + is new",
        "g/old   - is there",
    ]
    assert judged(Path("a"), [Path("g/same"), Path("g/d/x.json")], "g/").count("\n") == 2
    assert judged(Path("a/same"), Path("g"), "g/") == "g   - a directory   + a file"


@pytest.mark.parametrize("expected", [None, [], Path("golden/none")])
def test_a_first_golden_is_asked_for(expected: Path | list[Path] | None) -> None:
    Path("actual").write_text("x")
    assert judged(Path("actual"), expected, "golden/none") == "golden/none   no golden yet"


def test_it_runs_as_a_handler(tmp_path: Path) -> None:
    io, reaper = TinyIo(tmp_path), Reaper()
    workers = Workers(reaper)
    with_ = {
        "source": None,
        "module": "flowbuild.engine.golden",
        "function": "compare",
        "modules": {},
        "arguments": {
            "actual": {"path": "new"},
            "expected": {"paths": ["old"]},
            "verdict": {"path": "verdict"},
            "volatile": {"value": []},
            "label": {"value": "//words:same"},
            "golden": {"value": "old"},
        },
    }
    staged = (io.write("words/new", "b\n"), io.write("words/old", "a\n"))
    outcome = perform(workers.perform(action("python", with_, staged, {"verdict": "words/verdict"}), io))
    workers.close()
    reaper.close()
    assert outcome.error is not None and outcome.error.message == "old:1   - a   + b" + ACCEPT
    assert outcome.stderr_tail == ""
