"""When rows may be written as a table: what is racy, what is doubtful, what is only ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.store import null
from flowbuild.store.rows import Rows, row, tick, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "source.txt").write_text("source")
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed/a").write_text("")
    before = tick(str(tmp_path))[0]
    while tick(str(tmp_path))[0] <= before + 1_000_000:
        pass
    return tmp_path


def stands(rows: Rows) -> bool:
    return write(rows, "key", "text") and null.check(rows.root, "key") == "text"


def test_source_edited_since_the_build_began_makes_no_table(root: Path) -> None:
    rows = Rows(root)
    (root / "source.txt").write_text("edited")
    rows.file(root / "source.txt")
    assert not stands(rows)


def test_source_that_only_looks_old_makes_no_table(root: Path) -> None:
    rows = Rows(root)
    (root / "source.txt").write_text("edited")
    os.utime(root / "source.txt", ns=(10**18, 10**18))
    rows.file(root / "source.txt")
    assert not stands(rows)


def test_output_of_this_build_makes_one(root: Path) -> None:
    rows = Rows(root)
    (root / "made.txt").write_text("made")
    rows.output(root / "made.txt")
    assert stands(rows)


def test_table_waits_until_a_later_edit_has_a_later_time(root: Path) -> None:
    rows = Rows(root)
    (root / "made.txt").write_text("made")
    rows.output(root / "made.txt")
    assert stands(rows)
    assert tick(rows.root)[0] > (root / "made.txt").stat().st_mtime_ns


def test_output_from_the_future_makes_none(root: Path) -> None:
    (root / "made.txt").write_text("made")
    os.utime(root / "made.txt", ns=(4 * 10**18, 4 * 10**18))
    rows = Rows(root)
    rows.output(root / "made.txt")
    assert not stands(rows)


def test_file_that_moved_after_its_hash_was_taken(root: Path) -> None:
    rows = Rows(root)
    seen = row((root / "source.txt").stat())
    rows.file(root / "source.txt", seen)
    assert stands(rows)
    rows.file(root / "source.txt", (seen[0] + 1, *seen[1:]))
    assert not stands(rows)


def test_file_that_differs_between_two_looks(root: Path) -> None:
    rows = Rows(root)
    rows.output(root / "source.txt")
    (root / "source.txt").write_text("edited between")
    rows.output(root / "source.txt")
    assert not stands(rows)


@pytest.mark.parametrize("look", ["file", "output", "stored", "directory"])
def test_what_is_gone_cannot_be_vouched_for(root: Path, look: str) -> None:
    rows = Rows(root)
    getattr(rows, look)(root / "gone")
    assert not stands(rows)


def test_what_is_there_is_not_absent(root: Path) -> None:
    rows = Rows(root)
    rows.absent(root / "source.txt")
    assert not stands(rows)


def test_dangling_link_is_absent_until_it_leads_somewhere(root: Path) -> None:
    (root / "link").symlink_to("later")
    rows = Rows(root)
    rows.absent(root / "link")
    assert stands(rows)
    (root / "later").write_text("")
    assert null.check(rows.root, "key") is None


def test_spoiled_rows_make_no_table(root: Path) -> None:
    rows = Rows(root)
    rows.spoil()
    assert not stands(rows)


def test_directory_as_new_as_the_build_is_listed_again(root: Path) -> None:
    rows = Rows(root)
    (root / "listed/b").write_text("")
    rows.directory(root / "listed")
    (root / "listed/b").unlink()
    os.utime(root / "listed", ns=(1, rows.directories["listed"][0]))
    assert not stands(rows)


def test_directory_that_changes_after_the_look_is_seen(root: Path) -> None:
    rows = Rows(root)
    rows.directory(root / "listed")
    (root / "listed/b").write_text("")
    assert not stands(rows)


def test_ignored_names_come_and_go(root: Path) -> None:
    rows = Rows(root)
    rows.directory(root / "listed", frozenset({"c"}))
    (root / "listed/c").write_text("")
    assert stands(rows)


def test_directory_that_has_more_than_was_seen(root: Path) -> None:
    rows = Rows(root)
    (root / "listed/b").write_text("")
    rows.directory(root / "listed", seen=["a"])
    assert not stands(rows)


def test_directory_seen_twice_ignores_only_what_both_ignore(root: Path) -> None:
    rows = Rows(root)
    rows.directory(root / "listed", frozenset({"b", "c"}))
    rows.directory(root / "listed", frozenset({"c"}))
    assert stands(rows)
    (root / "listed/b").write_text("")
    assert null.check(rows.root, "key") is None


def test_absence_that_a_listing_ignores_is_still_looked_for(root: Path) -> None:
    rows = Rows(root)
    rows.directory(root / "listed", frozenset({"BUILD.yaml"}))
    rows.absent(root / "listed/BUILD.yaml")
    assert stands(rows)
    (root / "listed/BUILD.yaml").write_text("")
    assert null.check(rows.root, "key") is None


def test_workspace_that_may_not_be_written_to_makes_no_table(root: Path) -> None:
    (root / ".flowbuild").rename(root / "old")
    (root / ".flowbuild").write_text("a file in the way")
    rows = Rows(root)
    assert not rows.is_sound
    assert not stands(rows)


def test_place_that_vanished_makes_no_table(root: Path) -> None:
    rows = Rows(root)
    Path(null.place(rows.root, "key")).mkdir()
    assert not write(rows, "key", "text")
    assert len(os.listdir(root / null.PLACE)) == 1


@pytest.mark.parametrize("path", ["/etc", "/", "."])
def test_any_directory_may_be_named(root: Path, path: str) -> None:
    rows = Rows(root)
    rows.directory(path, frozenset(os.listdir(root / path)))
    assert rows.directories[path]


def test_relative_and_absolute_paths_are_one_row(root: Path) -> None:
    rows = Rows(root)
    rows.file("source.txt")
    rows.file(root / "source.txt")
    assert list(rows.files) == ["source.txt"]
