"""Bounded logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.core.errors import DiskRefused
from flowbuild.core.mask import Mask
from flowbuild.engine.capture import Capture


def kept(path: Path, chunks: list[bytes], limit: int = 10) -> bytes:
    capture = Capture(path, limit)
    for chunk in chunks:
        capture.feed(chunk)
    capture.close()
    return path.read_bytes()


@pytest.mark.parametrize("size", range(1, 11))
def test_what_fits_is_kept_whole(tmp_path: Path, size: int) -> None:
    data = b"0123456789"[:size]
    assert kept(tmp_path / "log", [data]) == data
    assert kept(tmp_path / "log2", [data[i : i + 1] for i in range(size)]) == data


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_of_more_both_ends_are_kept(tmp_path: Path, chunk: int) -> None:
    data = bytes(range(65, 65 + 26)) * 4
    found = kept(tmp_path / "log", [data[i : i + chunk] for i in range(0, len(data), chunk)])
    assert found == b"ABCDE\n[... 94 bytes are not kept ...]\nVWXYZ"


def test_silence_leaves_no_file(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "log")
    capture.close()
    assert capture.log is None and not (tmp_path / "log").exists()


def test_the_tail_is_text_whatever_was_said(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "log")
    capture.feed(b"x" * 5000 + b"\xff\xc3\xa9")
    assert capture.tail.endswith("x\ufffdé") and len(capture.tail) < 2048
    capture.close()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskRefused, match=r"file/log"):
        Capture(tmp_path / "file" / "log").feed(b"x")


def test_a_secret_is_masked_before_it_is_kept_however_it_arrives(tmp_path: Path) -> None:
    mask = Mask()
    mask.add("a value of a secret")
    capture = Capture(tmp_path / "log", mask=mask)
    for letter in b"<a value of a secret> a value of":
        capture.feed(bytes([letter]))
    assert capture.tail == "<***> a value of"
    capture.close()
    capture.close()
    assert (tmp_path / "log").read_text() == capture.tail == "<***> a value of"
    assert capture.total == len(capture.tail)
