"""Context: values that states hand on along the edges of the graph, and only those.

Seed 001: 001-07, 001-15.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from flowbuild.core.canonical import digest
from flowbuild.testing import Space

BUILD = """
targets:
  count: {rule: python, handler: h.py:count, outputs: {o: o}, inputs: {words: words.txt}, writes: [count, first.word]}
  shown: {rule: exec, script: "cat ${{ inputs.o }} > ${{ outputs.s }}", inputs: {o: ":count"}, outputs: {s: s}}
  twice: {rule: python, handler: h.py:twice, outputs: {o: o}, reads: [count], writes: [count], after: [":shown"]}
  page: {rule: python, handler: h.py:page, outputs: {page: page}, reads: [count], after: [":twice", ":count"]}
  report: {rule: run, targets: [":page"]}
"""
HANDLERS = """
from flowbuild.io import Context

def count(words, o, context: Context):
    found = words.read_text().split()
    o.write_text("same")
    context.write("count", len(found))
    context.write("first.word", found[0])

def twice(o, context: Context):
    o.write_text("")
    context.write("count", 2 * context.read_typed("count", int))

def page(page, context: Context):
    page.write_text(f"{context.dump()}")
"""


@pytest.fixture
def report(space: Space) -> Space:
    space.write("BUILD.yaml", BUILD)
    space.write("h.py", HANDLERS)
    space.write("words.txt", "one two three")
    return space


def bundle(space: Space) -> Path:
    out = space.root / "out/report"
    return out / out.joinpath("LATEST").read_text().strip()


def kernel(path: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = [json.loads(line)["event"] for line in (path / "journal.jsonl").read_text().splitlines()]
    return [next(iter(row["Kernel"].items())) for row in rows if "Kernel" in row]


def snapshots(path: Path) -> list[tuple[str, Any, Any]]:
    """Of each state the slug of its label, and the snapshots that it began and ended with."""
    begun = {one["state_id"]: one["base_snapshot_id"] for kind, one in kernel(path) if kind == "StateEntered"}
    return [
        (one["state_id"].split("_")[0], held(path, begun[one["state_id"]]), held(path, one["context_snapshot_id"]))
        for kind, one in kernel(path)
        if kind == "StateCompleted"
    ]


def held(path: Path, sha: str) -> Any:
    return json.loads((path / "objects" / sha).read_text())


def test_values_go_along_the_edges_and_the_later_writer_counts(report: Space) -> None:
    assert report.build("//:report").performed == 4
    first, doubled = {"count": 3, "first.word": "one"}, {"count": 6, "first.word": "one"}
    path = bundle(report)
    assert snapshots(path) == [
        ("count", {}, first),
        ("shown", first, first),
        ("twice", first, doubled),
        ("page", doubled, doubled),
    ]
    assert kernel(path)[-1][1]["final_snapshot_id"] == digest(doubled)
    assert report.run("//:page").code == 0
    assert report.read("out/bin/page/page") == "{'count': 6}"  # and not what it does not read


def test_a_key_covers_only_what_is_read(report: Space) -> None:
    report.build("//:report")
    report.write("words.txt", "two one three")  # another first word, as many words
    assert report.build("//:report").performed == 1
    assert snapshots(bundle(report))[-1] == (
        "page",
        {"count": 6, "first.word": "two"},
        {"count": 6, "first.word": "two"},
    )
    report.write("words.txt", "two one")
    assert report.build("//:report").performed == 3  # `shown` read nothing of it


def test_the_reason_is_told_by_its_key(report: Space) -> None:
    report.build("//:report")
    report.write("words.txt", "one two")
    assert "//:twice context count changed" in " ".join(report.run("//:report").out.split())
    said = report.run("why", "//:page").out
    assert "because context count changed:" in said and "from //:twice" in said
    assert "//:count  inputs.words.sha256" in said
    report.write("words.txt", "one")
    report.run("//:count")
    assert "context.count" in report.run("explain", "//:twice").out


def test_a_remembered_result_needs_its_changes(report: Space) -> None:
    report.build("//:report")
    path = bundle(report)
    gone = digest({"delete": [], "write": {"count": 6}})
    os.unlink(report.root / ".flowbuild/cas" / gone[:2] / gone)
    ran = report.run("//:report")
    assert (ran.code, ran.performed) == (0, 1), ran
    assert snapshots(bundle(report)) == snapshots(path)


def test_a_bundle_repeats_its_contexts_elsewhere(report: Space, tmp_path: Path) -> None:
    report.build("//:report")
    report.write("words.txt", "one two")
    assert report.run("//:report").performed == 3  # one is reused, and replayed too
    shutil.copytree(bundle(report), tmp_path / "elsewhere")
    os.rename(report.root, tmp_path / "gone")
    other = Space(tmp_path / "other")
    ran = other.run("runs", "replay", str(tmp_path / "elsewhere"))
    assert (ran.code, ran.out) == (0, "replayed elsewhere: 4 equal\n"), ran


def test_a_write_that_is_not_repeated_differs(report: Space) -> None:
    report.write("h.py", HANDLERS.replace("len(found)", "__import__('os').getpid()"))
    assert report.run("//:report").code == 0
    ran = report.run("runs", "replay", "//:report")
    assert ran.code == 1 and "differs  //:count  output context" in ran.out, ran


CLASH = """
targets:
  one: {rule: python, handler: h.py:one, outputs: {o: o}, writes: [k]}
  two: {rule: python, handler: h.py:two, outputs: {o: o}, writes: [k]}
  both: {rule: exec, script: "cat ${{ inputs.i }} > ${{ outputs.o }}", inputs: {i: [":one", ":two"]}, outputs: {o: o}}
  report: {rule: run, targets: [":both"]}
  ends: {rule: run, targets: [":one", ":two"]}
"""
TWO = """
def one(o, context): o.write_text("1"); context.write("k", 1)
def two(o, context): o.write_text("2"); context.write("k", {"v": 2})
"""


def test_two_writers_that_disagree_are_named(space: Space) -> None:
    space.write("BUILD.yaml", CLASH)
    space.write("h.py", TWO)
    ran = space.run("//:report", "-j", "2")
    assert (ran.code, ran.performed) == (1, 2), ran
    assert "context key 'k': //:one and //:two left different values, and neither is later" in ran.err + ran.out
    (failed,) = [path for path in (space.root / "out/report").iterdir() if path.is_dir()]
    (error,) = [one["error"]["info"] for kind, one in kernel(failed) if kind == "StateFailed"]
    assert (error["code"], error["category"]) == ("context_conflict", "Context")
    assert space.run("bundle", "validate", str(failed)).code == 0
    again = space.run("runs", "replay", str(failed), "-v")
    assert again.code == 0 and "taken    //:both  it was never performed" in again.out, again
    assert "and fail: context key 'k'" in space.run("explain", "//:both").out


def test_ends_that_disagree_have_no_final_snapshot(space: Space) -> None:
    space.write("BUILD.yaml", CLASH)
    space.write("h.py", TWO)
    assert space.run("//:ends").code == 0
    out = space.root / "out/ends"
    path = out / out.joinpath("LATEST").read_text().strip()
    assert kernel(path)[-1] == ("RunCompleted", {"final_snapshot_id": None, "status": "Completed"})


def test_equal_values_of_two_writers_are_one(space: Space) -> None:
    space.write("BUILD.yaml", CLASH)
    space.write("h.py", TWO.replace('{"v": 2}', "1"))
    assert space.build("//:report").performed == 3


def test_a_state_that_fails_wrote_nothing(report: Space) -> None:
    report.write("h.py", HANDLERS.replace("2 * context", "0 / 0 * context").replace("def twice(o, context: Context):", "def twice(o, context: Context):\n    context.write('count', 0)"))  # fmt: skip
    assert report.run("//:report").code == 1
    (path,) = [path for path in (report.root / "out/report").iterdir() if path.is_dir()]
    final = digest({"count": 3, "first.word": "one"})
    assert kernel(path)[-1] == ("RunCompleted", {"final_snapshot_id": final, "status": "Failed"})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('context.write("co" + "unts", 1)', "context key 'counts' is not declared; add it to `writes`"),
        ('context.read("first" + ".word")', "context key 'first.word' is not declared; add it to `reads`"),
        ('context.write("count", 1.5)', "context key 'count' holds a float; keep the text, or scale it"),
        ('context.write("count", "Bearer x")', "context key 'count' holds what looks like a secret"),
        ('context.write("count", {1})', "context key 'count': Object of type set is not JSON serializable"),
        ('context.write("count", float("nan"))', "context key 'count': Out of range float values"),
        ('context.write("count", 2**60)', "context key 'count': value has no canonical JSON form"),
        ('context.write("count", "x" * 300_000)', "are no context; make them an output"),
        ('x = []; x.append(x); context.write("count", x)', "context key 'count': more than 64 levels deep"),
        ('context.delete("count"); context.read_typed("count", int)', "context key 'count' is not there"),
        ('context.read_typed("count", str)', "context key 'count' holds int, not str"),
    ],
)
def test_what_a_context_refuses(report: Space, line: str, said: str) -> None:
    report.write("h.py", HANDLERS.replace('    o.write_text("")', f'    o.write_text(""); {line}; return'))
    ran = report.run("//:twice")
    assert ran.code == 1 and said in ran.err + ran.out, ran
    assert "Bearer x" not in "".join(path.read_text() for path in report.root.rglob("journal.jsonl"))


def test_a_deleted_key_is_not_there(report: Space) -> None:
    report.write("h.py", HANDLERS.replace('context.write("count", 2 * context.read_typed("count", int))', 'context.delete("count")'))  # fmt: skip
    report.build("//:report")
    assert snapshots(bundle(report))[-1] == ("page", {"first.word": "one"}, {"first.word": "one"})
