"""Validating: everything that is wrong with a bundle is told at once, and named; so is what does not belong there."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowbuild.bundle.read import load_bundle, open_bundle_unverified, validate_bundle
from flowbuild.core.canonical import sha256
from flowbuild.core.errors import NotCommitted, StoreCorrupt, StoreError

from .evidence_sample import agreeing
from .sample_bundle import commit, edit, snapshot


def test_a_whole_bundle_is_valid(tmp_path: Path) -> None:
    path = commit(tmp_path)
    assert validate_bundle(tmp_path) == validate_bundle(path) == (True, ())
    bundle = load_bundle(tmp_path)
    assert (bundle.out_dir, bundle.is_verified, bundle.status["state"]) == (path, True, "complete")
    assert bundle.artifact_index == json.loads((path / "artifact_index.json").read_text())
    assert bundle.run_manifest == bundle.document("run_manifest.json")


def test_a_failed_run_is_valid_too(tmp_path: Path) -> None:
    commit(tmp_path, agreeing(error="the host went away", failure_stage="probe"))
    assert validate_bundle(tmp_path / agreeing().run_id).ok


def test_missing_files_fail_validation_and_no_strict_load(tmp_path: Path) -> None:
    path = commit(tmp_path, without=("summary.md",))
    assert load_bundle(path).index.missing == ("summary.md",)
    assert validate_bundle(path) == (False, (f"{path}/summary.md: missing, as the index says",))


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = commit(tmp_path)
    (path / "summary.md").write_text("better")
    (path / "plan.json").unlink()
    edit(path / "runtime_results.json", lambda doc: doc.popitem())
    said = validate_bundle(path).errors
    assert [line.removeprefix(f"{path}/") for line in said] == [
        "runtime_results.json: file_size mismatch",
        "summary.md: file_size mismatch",
        "plan.json: missing",
    ]
    bundle = open_bundle_unverified(path)
    assert (len(bundle.faults), bundle.is_verified) == (3, False)
    assert bundle.index is not None and bundle.run_manifest is not None
    with pytest.raises(StoreCorrupt, match="summary.md"):
        bundle.read("summary.md")


def nothing(path: Path) -> None:
    """An ordinary file."""
    path.write_text("")


STRAYS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "file": ("notes.txt", nothing, "a file .* the index does not list it"),
    "draft": (".tmp-1-0", nothing, "a file"),
    "below": ("objects/extra", nothing, "a file"),
    "link": ("passwd", lambda path: path.symlink_to("/etc/passwd"), "a link"),
    "pipe": ("pipe", os.mkfifo, "a device or a pipe"),
    "directory": ("more", lambda path: path.mkdir(), "a directory"),
    "other case": ("Summary.JSON", nothing, "some file systems take it for summary.json"),
    "other case of a directory": ("OBJECTS", lambda path: path.mkdir(), "some file systems take it for objects"),
    "line feed": ("a\nb", nothing, r"'a\\nb': a file"),
    "index, other case": ("Artifact_Index.json", nothing, "take it for artifact_index.json"),
}


@pytest.mark.parametrize("name", STRAYS)
def test_what_the_index_does_not_list_is_found(tmp_path: Path, name: str) -> None:
    path = commit(tmp_path)
    where, make, said = STRAYS[name]
    if (path / where).exists():
        pytest.skip("this file system takes the two names for one")
    make(path / where)
    (error,) = validate_bundle(path).errors
    assert re.search(said, error), error
    assert load_bundle(path).is_verified  # what the index lists is what was committed


def test_names_that_differ_in_composition_only_are_found(tmp_path: Path) -> None:
    path = commit(tmp_path)
    composed, apart = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    (path / composed).write_text("1")
    edit(path / "artifact_index.json", lambda doc: doc["artifacts"].append(entry(composed, b"1")))
    assert validate_bundle(path).ok
    (path / apart).write_text("2")
    if len(list(path.glob("caf*"))) == 1:
        pytest.skip("this file system takes the two names for one")
    (error,) = validate_bundle(path).errors
    assert f"some file systems take it for {composed}" in error


def test_a_file_that_was_missing_and_came_later_is_no_evidence(tmp_path: Path) -> None:
    path = commit(tmp_path, without=("summary.md",))
    (path / "summary.md").write_text("all is well")
    assert any(
        "a file that is no part of the bundle: the index says that it is missing" in e
        for e in validate_bundle(path).errors
    )


def entry(path: str, data: bytes = b"", **changes: Any) -> dict[str, Any]:
    return {"path": path, "file_size": len(data), "sha256": sha256(data), "schema_version": None, **changes}


ROWS: dict[str, Any] = {
    "parent": entry("../x"), "absolute": entry("/etc/passwd"), "itself": entry("artifact_index.json"),
    "negative": entry("x", file_size=-1), "sha1": entry("x", sha256="sha1:" + "0" * 40), "md5": entry("x", sha256="0" * 32),
    "absent": entry("x"), "a directory": entry("objects"), "latest": entry("../LATEST"), "no path": {"sha256": "0" * 64},
    "twice": entry("summary.json"), "capital": entry("SUMMARY.json"), "long": entry("x" * 300),
    "through a file": entry("summary.md/x"), "not UTF-8": entry("\udcff"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_row_is_a_finding_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = commit(tmp_path)
    edit(path / "artifact_index.json", lambda doc: doc["artifacts"].append(ROWS[name]))
    before = snapshot(tmp_path)
    result = validate_bundle(path)
    assert not result.ok and all(str(path) in error for error in result.errors)
    with pytest.raises(StoreError):
        load_bundle(path)
    assert snapshot(tmp_path) == before


def test_a_million_rows_are_answered_briefly(tmp_path: Path) -> None:
    """All of them absent: as many findings as somebody may read, and no more."""
    path = commit(tmp_path)
    edit(path / "artifact_index.json", lambda doc: doc["artifacts"].extend(entry(f"x{n}") for n in range(20_000)))
    assert len(validate_bundle(path).errors) == 1000


def test_a_run_in_progress_or_without_an_index_is_no_bundle(tmp_path: Path) -> None:
    path = commit(tmp_path)
    (path / "artifact_index.json").rename(tmp_path / "kept")
    assert "never committed" in validate_bundle(path).errors[0]
    bundle = open_bundle_unverified(path)
    assert bundle.index is None and bundle.artifact_index is None and bundle.run_manifest["channel"] == "clean"
    edit(path / "run_status.json", lambda doc: doc.update(state="in_progress"))
    assert "in progress" in validate_bundle(path).errors[0]
    (tmp_path / "kept").rename(path / "artifact_index.json")
    assert "in progress" in validate_bundle(path).errors[0]
    assert validate_bundle(tmp_path / "nothing").errors == (f"{tmp_path}/nothing: no bundle is there",)


@pytest.mark.parametrize("text", ["", "../x\n", "gone\n", "/etc\n"])
def test_a_latest_that_names_nothing_is_a_finding(tmp_path: Path, text: str) -> None:
    commit(tmp_path)
    (tmp_path / "LATEST").write_text(text)
    assert "LATEST" in validate_bundle(tmp_path).errors[0]
    with pytest.raises(StoreCorrupt):
        open_bundle_unverified(tmp_path)


def test_a_status_of_another_run_is_a_finding(tmp_path: Path) -> None:
    path = commit(tmp_path)
    edit(path / "run_status.json", lambda doc: doc.update(run_id="other"))
    assert "but 'other' in run_status.json" in validate_bundle(path).errors[0]
    (path / "run_status.json").unlink()
    with pytest.raises(NotCommitted):
        load_bundle(path)
