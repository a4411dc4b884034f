"""Files to documents, with and without a cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from flowbuild.core.errors import BadYaml, DiskRefused
from flowbuild.load.document import Parsed, parse_file


class Kept:
    def __init__(self) -> None:
        self.known: dict[str, Parsed] = {}

    def get(self, path: str) -> Parsed | None:
        return self.known.get(path)

    def put(self, path: str, parsed: Parsed) -> None:
        self.known[path] = parsed


def test_a_file_is_its_document_and_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x: 1\n")
    assert parse_file(tmp_path / "a", "a") == ({"x": 1}, hashlib.sha256(b"x: 1\n").hexdigest())


def test_a_known_file_is_not_read_again(tmp_path: Path) -> None:
    cache, file = Kept(), tmp_path / "a"
    file.write_bytes(b"x: 1\n")
    first = parse_file(file, "a", cache)
    file.unlink()
    assert parse_file(file, "a", cache) is first


def test_what_is_wrong_is_not_kept(tmp_path: Path) -> None:
    cache = Kept()
    (tmp_path / "a").write_bytes(b"x: !y 1\n")
    with pytest.raises(BadYaml, match=r"^a:1:4: "):
        parse_file(tmp_path / "a", "a", cache)
    assert cache.known == {}


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(DiskRefused, match="is not a file"):
            parse_file(tmp_path / name, name)
    for missing in (tmp_path / "none", tmp_path / "pipe" / "below"):
        with pytest.raises(FileNotFoundError):
            parse_file(missing, "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").touch(0)
    with pytest.raises(DiskRefused, match="a can't be read: Permission denied"):
        parse_file(tmp_path / "a", "a")
