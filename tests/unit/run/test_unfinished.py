"""Marks of runs that dealt with the outside: which of them a build may go on with, and in which order it looks.

Seed 001: 001-28.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.core.ids import OpId, RunId, new_run_id
from flowbuild.core.run_config import RunConfig
from flowbuild.run.manifest import Asked, manifest
from flowbuild.run.unfinished import Unfinished, asked

ASKED = Asked(OpId("a"), "//:a", {"n": 1}, RunConfig(max_concurrency=2))
DOC = manifest(ASKED, channel="direct", policy="build")


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (ASKED._replace(config=RunConfig(max_concurrency=8)), True),
        (ASKED._replace(config=RunConfig()), True),
        (ASKED._replace(config=RunConfig(max_concurrency=2, skip_tags=("report",))), False),
        (ASKED._replace(params={"n": 2}), False),
        (ASKED._replace(op=OpId("b")), False),
        (ASKED._replace(settings={"//:b.n": "2"}), False),
    ],
)
def test_the_same_is_asked_however_many_states_run_at_once(other: Asked, is_same: bool) -> None:
    assert (asked(manifest(other, channel="direct", policy="build", commit="c" * 40)) == asked(DOC)) is is_same


def test_the_newest_comes_first(tmp_path: Path) -> None:
    marks, runs = Unfinished(tmp_path), [new_run_id() for _ in range(3)]
    for age, run_id in enumerate(runs):
        marks.mark(run_id, DOC, tmp_path / run_id / "journal.jsonl")
        os.utime(tmp_path / ".flowbuild/unfinished" / run_id, (1000 - age, 1000 - age))
    assert [(mark.run_id, mark.journal) for mark in marks.of(DOC)] == [
        (run_id, tmp_path / run_id / "journal.jsonl") for run_id in runs
    ]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"asked": 1}', '{"asked": "x", "journal": 7}', "\0"])
def test_what_is_no_mark_is_not_looked_at(tmp_path: Path, text: str) -> None:
    marks = Unfinished(tmp_path)
    marks.mark(RunId("a"), DOC, tmp_path / "journal.jsonl")
    (tmp_path / ".flowbuild/unfinished/b").write_text(text)
    assert [mark.run_id for mark in marks.of(DOC)] == ["a"]
    marks.clear(RunId("a"))
    marks.clear(RunId("a"))
    assert marks.of(DOC) == []
