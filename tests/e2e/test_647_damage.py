"""A damaged run: each kind of damage is told by its own code, and nobody writes over what is there.

Seed 001: 001-24, 001-28.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journals import envelopes, write

from flowbuild.core.canonical import Digest, canonical, sha256
from flowbuild.store.cas import SEALED_NS, Cas
from flowbuild.testing import Space

BUILD = """
targets:
  first: {rule: python, handler: "work.py:first", outputs: {first: first.txt}}
  second: {rule: python, handler: "work.py:second", inputs: {first: ":first"}, outputs: {second: second.txt}}
  report: {rule: run, targets: [":second"]}
"""
# The second handler kills the build that it belongs to, once.
WORK = """
import os, pathlib, signal

def first(first, io):
    io.record_value("weather", {"sky": "grey"})
    first.write_text("first")

def second(first, second, io):
    io.record_value("time", 7)
    if not os.path.exists("/GATE"):
        os.kill(os.getppid(), signal.SIGKILL)
    second.write_text("second")
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that was killed after it had recorded two facts."""
    place = tmp_path_factory.mktemp("killed")
    space = Space(place / "workspace")
    space.write("BUILD.yaml", BUILD)
    space.write("work.py", WORK.replace("/GATE", str(place / "gate")))
    ran = space.run("//:report")
    assert ran.code == -9, ran
    (place / "gate").touch()
    return space.root


@pytest.fixture
def space(killed: Path, tmp_path: Path) -> Space:
    shutil.copytree(killed, tmp_path / "workspace", symlinks=True)
    return Space(tmp_path / "workspace")


def run_of(space: Space) -> Path:
    return next(path for path in sorted((space.root / "out/report").iterdir()) if path.is_dir())


# Tables that only save work: begun by whatever reads a BUILD.yaml.
TABLES = tuple(f".flowbuild/{name}" for name in ("graphs", "memo", "packages", "stamps"))


def tree(space: Space, *, but: tuple[str, ...] = ()) -> dict[str, bytes | None]:
    """Everything in the workspace: files by their bytes, links by where they lead, and directories."""
    found: dict[str, bytes | None] = {}
    for path in space.root.rglob("*"):
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[path.relative_to(space.root).as_posix()] = data
    return {name: data for name, data in found.items() if not name.startswith(but)}


def rewrite(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[Space, Path], None]:
    """Damage that every checksum agrees with."""
    return lambda space, journal: write(journal, change(envelopes(journal)))


def renumbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"seq": number} for number, row in enumerate(rows, 1)]


def domain(row: dict[str, Any]) -> dict[str, Any]:
    return dict(row["event"].get("Domain", {}))


def flip(space: Space, journal: Path) -> None:
    data = journal.read_bytes()
    assert data.count(b'"weather"') == 1
    journal.write_bytes(data.replace(b'"weather"', b'"weathes"'))


def conflict(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fact = next(row for row in rows if domain(row).get("name") == "fact_recorded")
    other = json.loads(json.dumps(fact))
    other["event"]["Domain"]["payload"]["payload_id"] = "0" * 64
    at = rows.index(fact)
    return renumbered([*rows[: at + 1], other, *rows[at + 1 :]])


def another_manifest(space: Space, journal: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """The journal names a manifest that somebody else wrote; it is a whole object."""
    rows, cas = envelopes(journal), Cas(space.root / ".flowbuild/cas")
    started = rows[0]["event"]["Kernel"]["RunStarted"]
    doc = json.loads(cas.read(Digest(started["manifest_id"])))
    edit(doc)
    started["manifest_id"] = cas.put(canonical(doc))
    write(journal, rows)


def edited(space: Space, journal: Path) -> None:
    """Somebody edits the manifest where it lies, and takes care that stat doesn't tell."""
    path = manifest(space, journal)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"//:report", b"//:retort"))
    os.utime(path, ns=(SEALED_NS, SEALED_NS))
    path.chmod(0o444)


def manifest(space: Space, journal: Path) -> Path:
    digest = envelopes(journal)[0]["event"]["Kernel"]["RunStarted"]["manifest_id"]
    return Cas(space.root / ".flowbuild/cas").path(digest)


def forget(space: Space, journal: Path) -> None:
    text = BUILD.replace("  first: {", "  other: {").replace('{first: ":first"}', '{first: ":other"}')
    assert text != space.write("BUILD.yaml", text).read_text() or text != BUILD


def manifested(edit: Callable[[dict[str, Any]], Any]) -> Callable[[Space, Path], None]:
    return lambda space, journal: another_manifest(space, journal, edit)


def emptied(space: Space, journal: Path) -> None:
    journal.write_bytes(b'{"crc":"')


# What is done, the code, what resume says, the status in the list, and what show answers.
# fmt: off
DAMAGE: dict[str, tuple[Callable[[Space, Path], None], int, str, str, int]] = {
    "a flipped byte": (flip, 5, "checksum_mismatch", "damaged", 5),
    "a missing range": (rewrite(lambda rows: rows[:3] + rows[5:]), 5, "non_monotonic_seq", "damaged", 5),
    "a repeated number": (rewrite(lambda rows: rows[:4] + rows[3:]), 5, "non_monotonic_seq", "damaged", 5),
    "a skipped number": (rewrite(lambda rows: [*rows[:-1], rows[-1] | {"seq": len(rows) + 1}]), 5, "was due", "damaged", 5),
    "an event of another run": (rewrite(lambda rows: [*rows[:-1], rows[-1] | {"run_id": "x"}]), 5, "run_id_mismatch", "damaged", 5),
    "the journal of another run": (rewrite(lambda rows: [row | {"run_id": "x"} for row in rows]), 5, "is the journal of run x", "damaged", 5),
    "a state entered twice": (rewrite(lambda rows: renumbered([*rows, *[row for row in rows if "StateEntered" in str(row)][-1:]])), 5, "nested_state_entered", "damaged", 5),
    "a fact with two payloads": (rewrite(conflict), 5, "fact_recorded_conflict", "damaged", 5),
    "no whole event": (emptied, 5, "run_not_found", "killed", 0),
    "an edited manifest": (edited, 5, "manifest_artifact_mismatch", "killed", 0),
    "a lost manifest": (lambda space, journal: manifest(space, journal).unlink(), 5, "manifest_not_found", "killed", 0),
    "a manifest of another op": (manifested(lambda doc: doc.update(op_id="other")), 5, "run_started_op_id_mismatch", "killed", 0),
    "a manifest that asks nothing": (manifested(lambda doc: doc.pop("input_params")), 5, "manifest_malformed", "killed", 0),
    "a manifest that names no target": (manifested(lambda doc: doc["input_params"].pop("label")), 5, "manifest_malformed", "killed", 0),
    "a manifest with a float": (manifested(lambda doc: doc["input_params"].update(more=0.5)), 5, "manifest_not_canonical", "killed", 0),
    "a plan that lacks a state": (forget, 1, "recovery_state_not_in_plan", "killed", 0),
}
# fmt: on


@pytest.mark.parametrize("kind", DAMAGE)
def test_nobody_goes_on_with_it_and_nothing_is_written_over(space: Space, kind: str) -> None:
    damage, code, said, status, shown = DAMAGE[kind]
    run = run_of(space)
    damage(space, run / "journal.jsonl")
    but = TABLES if kind == "a plan that lacks a state" else ()
    before = tree(space, but=but)
    resumed = space.run("runs", "resume", run.name)
    assert (resumed.code, said in resumed.err) == (code, True), resumed
    (row,) = space.events("runs", "list")
    assert (row["status"], "problem" in row) == (status, status == "damaged"), row
    ran = space.run("runs", "show", run.name)
    assert (ran.code, said in ran.err) == (shown, bool(shown)), ran
    for words in (("runs", "replay"), ("bundle", "validate"), ("bundle", "reindex", "--repair")):
        ran = space.run(*words, str(run))
        assert (ran.code, "in progress, or was killed" in ran.out + ran.err) == (5, True), ran
    assert space.run("runs", "diff", run.name, run.name, "--first").code == 5
    assert space.run("runs", "cancel", run.name).code == 2
    assert tree(space, but=but) == before


@pytest.mark.parametrize("kind", [kind for kind in DAMAGE if "manifest" not in kind])
def test_a_build_of_the_same_begins_anew_and_says_why(space: Space, kind: str) -> None:
    damage, _, said, _, _ = DAMAGE[kind]
    run = run_of(space)
    damage(space, run / "journal.jsonl")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ran = space.run("//:report")
    assert ran.code == 0, ran
    if kind != "no whole event":
        assert said in ran.err + ran.out, ran
    assert space.read("out/report/LATEST").strip() != run.name
    again = space.run("//:report")  # it was said once
    assert (again.code, run.name[:8] in again.out + again.err) == (0, False), again
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_torn_tail_is_no_damage(space: Space) -> None:
    run = run_of(space)
    for tail in (b'{"crc":"00', b"\0" * 700, b'{"crc":"' + b"\0" * 90 + b"\n\0\0\0"):
        journal = run / "journal.jsonl"
        journal.write_bytes(journal.read_bytes().partition(b"\0")[0].rpartition(b"\n")[0] + b"\n" + tail)
        assert space.run("runs", "show", run.name).code == 0
    ran = space.run("runs", "resume", run.name)
    assert ran.code == 0 and "going on with run" in ran.out, ran
    assert space.run("bundle", "validate", "//:report").code == 0


def committed(space: Space) -> Path:
    """The killed run, gone on with and committed."""
    assert space.run("//:report").code == 0
    return run_of(space)


@pytest.mark.parametrize("kind", ["a flipped byte", "a missing range", "a fact with two payloads", "an event of another run"])  # fmt: skip
def test_a_committed_run_that_is_damaged(space: Space, kind: str) -> None:
    run = committed(space)
    DAMAGE[kind][0](space, run / "journal.jsonl")
    before = tree(space)
    for words in (("runs", "show"), ("runs", "replay"), ("runs", "resume"), ("bundle", "validate"), ("bundle", "reindex", "--strict")):  # fmt: skip
        ran = space.run(*words, run.name if words[0] == "runs" else str(run))
        assert ran.code == 5, ran
        assert "journal.jsonl" in ran.out + ran.err or DAMAGE[kind][2] in ran.err, ran
    assert tree(space) == before
    # An index that is made to agree makes the story no better.
    assert space.run("bundle", "reindex", "--repair", str(run)).code == 0
    ran = space.run("runs", "replay", run.name)
    assert (ran.code, DAMAGE[kind][2] in ran.err) == (5, True), ran
    assert (sha256((run / "journal.jsonl").read_bytes())) == sha256(before[f"out/report/{run.name}/journal.jsonl"])


def test_an_object_of_a_bundle_under_another_name(space: Space) -> None:
    """A fact whose payload was exchanged, the index made to agree: its name still says what it should be."""
    run = committed(space)
    payload = sha256(canonical({"sky": "grey"}))
    (run / "objects" / payload).write_bytes(canonical({"sky": "blue"}))
    assert space.run("runs", "replay", run.name).code == 5
    assert space.run("bundle", "reindex", "--repair", str(run)).code == 0
    ran = space.run("runs", "replay", run.name)
    assert ran.code == 5 and payload in ran.err, ran
