"""Parsed files, kept between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.core.canonical import sha256
from flowbuild.load.document import Parsed, parse_file
from flowbuild.run.parsed import ParsedTable
from flowbuild.store.stamps import Stamps


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "BUILD.yaml"
    path.write_text("a: 1\n")
    return path


def table(tmp_path: Path) -> ParsedTable:
    return ParsedTable(tmp_path / "state/packages", Stamps.load(tmp_path / "stamps"))


def keep(tmp_path: Path, file: Path) -> None:
    one = table(tmp_path)
    parse_file(file, "BUILD.yaml", one)
    one.save()


def test_what_was_parsed_is_known_next_time(tmp_path: Path, file: Path) -> None:
    keep(tmp_path, file)
    assert table(tmp_path).get(str(file)) == Parsed({"a": 1}, sha256(b"a: 1\n"))


def test_an_edited_file_is_not_known(tmp_path: Path, file: Path) -> None:
    keep(tmp_path, file)
    file.write_text("a: 2\n")
    assert table(tmp_path).get(str(file)) is None
    assert table(tmp_path).get(str(tmp_path / "other")) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "version"])
def test_a_bad_table_is_an_empty_one(tmp_path: Path, file: Path, damage: str) -> None:
    keep(tmp_path, file)
    path = tmp_path / "state/packages"
    data = path.read_bytes()
    flipped = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
    path.write_bytes({"cut": data[:-1], "flipped": flipped, "empty": b"", "version": b"x" + data}[damage])
    assert table(tmp_path).get(str(file)) is None


def test_files_that_are_gone_are_dropped(tmp_path: Path, file: Path) -> None:
    keep(tmp_path, file)
    one = table(tmp_path)
    file.rename(tmp_path / "other.yaml")
    parse_file(tmp_path / "other.yaml", "other.yaml", one)
    one.save()
    assert list(table(tmp_path)._rows) == [str(tmp_path / "other.yaml")]


def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    table(tmp_path).save()
    assert not (tmp_path / "state").exists()


def test_what_is_no_file_any_more_is_not_known(tmp_path: Path, file: Path) -> None:
    keep(tmp_path, file)
    file.unlink()
    assert table(tmp_path).get(str(file)) is None
    file.mkdir()
    assert table(tmp_path).get(str(file)) is None
