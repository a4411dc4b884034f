"""`runs diff --first`: the first state where two runs part, with the action, facts, outputs and errors of both sides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from counting import Counting, serving

from flowbuild.testing import Space

BUILD = """
targets:
  page: {rule: python, handler: steps.py:page, outputs: {page: page.txt}}
  side: {rule: python, handler: steps.py:side, after: [":page"], outputs: {side: side.txt}}
  loud:
    rule: exec
    script: "cat ${{ inputs.side }} > /dev/null; tr a-z A-Z < ${{ inputs.page }} > ${{ outputs.loud }}"
    inputs: {page: ":page", side: ":side"}
    outputs: {loud: loud.txt}
  report: {rule: run, targets: [":loud"]}
"""
STEPS = """
def page(page, io):
    body = io.call("http", {"url": "URL"}, fact_key="the page").response["body"]
    page.write_text(f"first line\\n{body}\\nlast line\\n")

def side(side):
    side.write_text("same")
"""


@pytest.fixture
def report(space: Space) -> Iterator[Space]:
    Counting.seen = 0
    space.write("BUILD.yaml", BUILD)
    with serving(Counting) as url:
        space.write("steps.py", STEPS.replace("URL", url))
        yield space


def latest(space: Space, code: int = 0) -> str:
    """Run, and the id of that run."""
    assert space.run("//:report").code == code
    return str(json.loads(space.run("runs", "list", "--json").out.splitlines()[-1])["run_id"])


def first(space: Space, old: str, new: str) -> dict[str, Any]:
    ran = space.run("runs", "diff", old, new, "--first", "--json")
    found: dict[str, Any] = json.loads(ran.out)["first"]
    assert ran.code == 1
    return found


def test_another_answer_of_the_outside_is_named_with_both_sides(report: Space) -> None:
    old, new = latest(report), latest(report)
    ran = report.run("runs", "diff", old, new, "--first")
    assert ran.code == 1
    head, *lines = ran.out.splitlines()
    assert head.startswith(f"{old[:8]} //:report (") and f" → {new[:8]} //:report (" in head
    assert lines[:6] == [
        "first apart: //:page call, the first of all",
        "  came to    performed",
        next(line for line in lines if re.fullmatch(r"  event      \d+ outcome_recorded", line)),
        next(line for line in lines if line.startswith("  fact       the page ")),
        '    body                             "answer 1" → "answer 2"',
        next(line for line in lines if line.startswith("  output     page ")),
    ]
    assert lines[6:] == [
        "    -answer 1",
        "    +answer 2",
        "  from the same action: the outside answered otherwise",
    ]
    found = first(report, old, new)
    assert (found["label"], found["before"], found["is_same_action"], found["action"]) == ("//:page", 0, True, [])
    assert found["facts"]["the page"]["fields"] == [{"field": "body", "old": "answer 1", "new": "answer 2"}]
    assert found["outputs"]["page"]["lines"] == ["-answer 1", "+answer 2"]
    journal = (report.root / "out/report" / new / "journal.jsonl").read_text().splitlines()
    event = json.loads(journal[found["new"]["event"]["seq"] - 1])["event"]["Domain"]
    assert event["payload"]["outputs"] == found["new"]["outputs"]
    report.write("steps.py", report.read("steps.py") + "# edited\n")
    ran = report.run("runs", "diff", new, latest(report), "--first")
    assert '"answer 2" → "answer 3"' in ran.out and "from the same action" not in ran.out


def test_another_action_is_named_although_it_comes_to_the_same(report: Space) -> None:
    report.write(
        "steps.py", STEPS.replace('io.call("http", {"url": "URL"}, fact_key="the page").response["body"]', '"x"')
    )
    old = latest(report)
    report.write("steps.py", report.read("steps.py") + "# edited\n")
    report.write("BUILD.yaml", BUILD.replace("> /dev/null", "> /dev/zero"))
    found = first(report, old, latest(report))
    assert (found["label"], found["outputs"], found["facts"]) == ("//:page", {}, {})
    assert found["is_same_action"] is False
    assert [row["field"] for row in found["action"]] == ["handler.source"]


def test_what_failed_is_told_with_its_error(report: Space) -> None:
    report.write("steps.py", "def page(page): page.write_text('x')\ndef side(side): side.write_text('same')\n")
    old = latest(report)
    report.write(
        "steps.py", report.read("steps.py").replace("side.write_text('same')", "raise ValueError('\\x1b[31mno')")
    )
    new = latest(report, code=1)
    found = first(report, old, new)  # the whole module is in the key of both handlers
    assert (found["label"], found["before"]) == ("//:page", 0)
    report.write("BUILD.yaml", BUILD.replace("side.txt}", "side.txt}, with: {limit: 1}"))
    report.write("steps.py", report.read("steps.py").replace("side(side)", "side(side, limit)"))
    found = first(report, new, latest(report, code=1))
    assert found["old"]["error"] is None


def test_a_failure_alone_parts_two_runs(report: Space, tmp_path: Any) -> None:
    gate = tmp_path / "gate"
    report.write("steps.py", f"import os\ndef page(page): page.write_text('x')\ndef side(side):\n    if os.path.exists('{gate}'): raise ValueError('\\x1b[31mno')\n    side.write_text('same')\n")  # fmt: skip
    old = latest(report)
    gate.touch()
    assert report.run("//:report", "--force", "//:side").code == 1
    new = json.loads(report.run("runs", "list", "--json").out.splitlines()[-1])["run_id"]
    found = first(report, old, new)
    assert (found["label"], found["before"], found["is_same_action"]) == ("//:side", 1, True)
    assert (found["old"]["error"], found["new"]["how"]) == (None, "failed")
    ran = report.run("runs", "diff", old, new, "--first")
    assert "  came to    performed → failed (" in ran.out and "\x1b" not in ran.out
    assert "first apart: //:side call, after 1 that came to the same\n" in ran.out


def test_a_state_of_one_run_only_is_where_they_part(report: Space) -> None:
    report.write("steps.py", "def page(page): page.write_text('x')\ndef side(side): side.write_text('same')\n")
    old = latest(report)
    report.write(
        "BUILD.yaml", BUILD.replace(', side: ":side"}', "}").replace("cat ${{ inputs.side }} > /dev/null; ", "")
    )
    new = latest(report)
    found = first(report, old, new)
    assert (found["label"], found["before"], found["new"], found["old"]["how"]) == ("//:side", 1, None, "performed")
    assert "  only in the first run\n" in report.run("runs", "diff", old, new, "--first").out
    assert first(report, new, old)["old"] is None


def test_outputs_are_told_by_fields_files_or_lines(report: Space) -> None:
    steps = """
def page(page):
    page.write_text('{"a": [N], "b": 1}')

def side(side):
    side.mkdir()
    (side / "kept").write_text("x")
    (side / "moved").write_text("N")
    (side / "onlyN").write_text("x")
"""
    build = BUILD.replace("side.txt", "side/").replace("cat ${{ inputs.side }} > /dev/null; ", "")
    report.write(
        "BUILD.yaml", build.replace(', after: [":page"]', "").replace("page: {rule", "page: {after: [':side'], rule")
    )
    report.write("steps.py", steps.replace("N", "1"))
    old = latest(report)
    report.write("steps.py", steps.replace("N", "2"))
    new = latest(report)
    fields = {row["field"] for row in first(report, old, new)["outputs"]["side"]["fields"]}
    assert {"moved.sha256", "only1", "only2"} == fields
    report.write("BUILD.yaml", BUILD.replace("side.txt", "side/").replace("cat ${{ inputs.side }} > /dev/null; ", ""))
    report.write("steps.py", steps.replace("N", "1"))
    old = latest(report)
    report.write("steps.py", steps.replace("N", "2"))
    (row,) = first(report, old, latest(report))["outputs"]["page"]["fields"]
    assert (row["field"], row["old"], row["new"]) == ("a", [1], [2])


def test_runs_that_do_not_part(report: Space) -> None:
    report.write("steps.py", "def page(page, io): page.write_text(str(io.now_millis() > 1))\ndef side(side): side.write_text('same')\n")  # fmt: skip
    old, new = latest(report), latest(report)
    assert old != new  # the times that they saw are no difference: nothing came of them
    ran = report.run("runs", "diff", old, new, "--first")
    assert (ran.code, ran.out) == (0, "no state parts: 3 came to the same from the same actions\n")
    assert json.loads(report.run("runs", "diff", old, new, "--first", "--json").out)["first"] is None
