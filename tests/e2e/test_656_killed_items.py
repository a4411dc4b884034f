"""A fan-out is killed at every event of its items, and of the run around it: what was done is not done again.

The list is made by an earlier state. After each kill the same words are typed again: a run that has facts goes on, the
artifacts are the same, each item has been performed once more at most, and not at all if its record was written.

Seed 001: 001-28, 001-31.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from killing import killed, points

from flowbuild.bundle.read import load_bundle
from flowbuild.testing import Space

BUILD = """
targets:
  names: {rule: exec, command: "cp ${{ inputs.list }} ${{ outputs.names }}", inputs: {list: list.json}, outputs: {names: names.json}}
  pages: {rule: python, handler: pages.py:page, each: {name: ":names"}, with: {log: LOG}, outputs: {page: pages/*.txt}}
  report: {rule: run, targets: [":pages"]}
"""
PAGES = """
def page(name, page, io, log):
    with open(log, "a") as file:
        file.write(f"{name}\\n")
    io.record_value("the page", {"name": name})
    page.write_text(f"{name} {io.get_recorded_fact('the page')}")
"""
NAMES = ("ada", "bob", "cay")
WORDS = ("//:report", "-j1")
SLICES = 3


def fresh(root: Path) -> Space:
    space = Space(root / "workspace")
    space.write("BUILD.yaml", BUILD.replace("LOG", str(root / "log")))
    space.write("pages.py", PAGES)
    space.write("list.json", json.dumps(NAMES))
    return space


def called(root: Path) -> Counter[str]:
    return Counter((root / "log").read_text().split() if (root / "log").exists() else [])


def told(space: Space, name: str) -> list[Any]:
    """The payloads of the events of this name that were written whole before the kill."""
    lines = [
        line
        for path in space.root.glob("out/report/*/journal.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
    ]
    rows = [json.loads(line)["event"].get("Domain") for line in lines if line.endswith(b"\n")]
    return [row["payload"] for row in rows if row is not None and row["name"] == name]


def outputs(space: Space) -> dict[str, Any]:
    """What each state of the last bundle came to."""
    out = space.root / "out/report"
    states = load_bundle(out / out.joinpath("LATEST").read_text().strip()).document("summary.json")["states"]
    return {state_id: row["outputs"] for state_id, row in states.items()}


@pytest.mark.parametrize("part", range(SLICES))
def test_an_item_is_done_once_more_at_most_wherever_the_program_is_killed(tmp_path: Path, part: int) -> None:
    undisturbed = fresh(tmp_path / "undisturbed")
    everywhere = points(undisturbed, *WORDS)
    assert called(tmp_path / "undisturbed") == Counter(NAMES)
    whole = outputs(undisturbed)
    assert sum(where == "flushed" for where, _ in everywhere) >= len(NAMES)  # a fact an item
    for number, (where, event) in enumerate(everywhere[part::SLICES]):
        root = tmp_path / str(number)
        space = fresh(root)
        done = killed(space, where, event, *WORDS)
        assert done.returncode == -signal.SIGKILL, (where, event, done)
        before, has_facts = called(root), bool(told(space, "fact_recorded"))
        kept = {payload["item"] for payload in told(space, "item_recorded")}
        again = space.run(*WORDS)
        assert again.code == 0, (where, event, again)
        assert "going on with run" in again.out or not has_facts, (where, event, again)
        assert outputs(space) == whole, (where, event)
        after = called(root) - before
        assert set(before) | set(after) == set(NAMES), (where, event)
        assert all(count == 1 for count in (before + after - Counter(NAMES)).values()), (where, event, before, after)
        assert not kept & set(after), (where, event, kept, after)
