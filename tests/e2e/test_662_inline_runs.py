"""Inline handlers in runs: tried again, for each item, replayed, verified; a crash costs only what crashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.testing import Space

BUILD = """
targets:
  list: {rule: python, handler: "steps.py:list_", outputs: {o: o.json}, inline: true}
  each: {rule: python, handler: "steps.py:one", each: {n: ":list"}, with: {seen: SEEN}, outputs: {o: "parts/*.txt"},
         inline: true}
  last: {rule: python, handler: "steps.py:last", inputs: {parts: ":each"}, with: {seen: SEEN}, outputs: {o: o.txt},
         retry: {attempts: 2}, inline: true}
  report: {rule: run, targets: [":last"]}
"""
STEPS = """
import json, os, pathlib
from flowbuild.io import HandlerFailed

def list_(o):
    o.write_text(json.dumps([1, 2, 3]))

def note(seen, word):
    with open(seen, "a") as file:
        print(word, file=file)

def one(o, n, seen):
    note(seen, n)
    o.write_text(str(n * n))

def last(parts, o, seen):
    trouble = pathlib.Path(seen).with_name("trouble")
    said = trouble.read_text() if trouble.exists() else ""
    trouble.unlink(missing_ok=True)
    note(seen, "last")
    if said == "busy":
        raise HandlerFailed("busy", retryable=True)
    if said == "crash":
        os._exit(9)
    o.write_text("+".join(path.read_text() for path in sorted(parts.iterdir())))
"""


@pytest.fixture
def seen(space: Space, tmp_path: Path) -> Path:
    space.write("BUILD.yaml", BUILD.replace("SEEN", str(tmp_path / "seen")))
    space.write("steps.py", STEPS)
    return tmp_path / "seen"


def test_a_run_of_inline_handlers_is_tried_again_replayed_and_verified(space: Space, seen: Path) -> None:
    seen.with_name("trouble").write_text("busy")
    ran = space.run("//:report")
    assert ran.code == 0, ran
    assert seen.read_text().split() == ["1", "2", "3", "last", "last"]
    assert space.run("//:report", "//:last").code == 0
    assert space.read("out/bin/last/o.txt") == "1+4+9"
    assert len(seen.read_text().split()) == 5  # up to date
    replayed = space.run("runs", "replay", "//:report")
    assert replayed.code == 0, replayed
    assert len(seen.read_text().split()) == 9  # each once more, from the bundle
    assert space.run("--policy", "verify", "//:report").code == 0


def test_what_runs_inline_is_told(space: Space, seen: Path) -> None:
    text = space.read("BUILD.yaml")
    deed = "side_effects: apply_side_effect, idempotency_key: one, inline: true}"
    space.write("BUILD.yaml", text.replace("retry: {attempts: 2}, inline: true}", deed))
    planned = {row["label"]: row.get("inline") for row in space.events("explain", "//:report") if "label" in row}
    assert planned == {"//:list": True, "//:each": True, "//:last": True}
    (described,) = space.events("describe", "//:each")
    assert [row["inline"] for row in described["states"]] == [True]
    assert space.run("//:report").code == 0
    (shown,) = space.events("runs", "show", "//:report")
    assert [row.get("inline") for row in shown["states"]["performed"]] == [True] * 3
    said = space.run("runs", "show", "//:report", "-v").out
    assert all(f"performed  //:{name}  call, inline\n" in said for name in ("list", "each", "last")), said
    space.write("BUILD.yaml", text.replace(", inline: true", "").replace("\n         inline: true", ""))
    assert space.run("//:list").code == 0
    for words in (("runs", "show", "//:list", "-v"), ("explain", "//:report", "-v"), ("describe", "//:each")):
        assert ", inline" not in space.run(*words).out


def test_after_a_crash_only_what_crashed_is_done_again(space: Space, seen: Path) -> None:
    seen.with_name("trouble").write_text("crash")
    assert space.run("//:report").code == 9
    ran = space.run("//:report")
    assert ran.code == 0, ran
    assert "1 performed, 2 reused" in ran.out
    assert seen.read_text().split() == ["1", "2", "3", "last", "last"]
