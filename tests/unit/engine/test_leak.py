"""Files that hold the value of a secret."""

from __future__ import annotations

import base64
from pathlib import Path

from flowbuild.core.mask import Mask
from flowbuild.engine.leak import CHUNK, leaks

VALUE = "a value of a secret"


def test_content_names_and_links_are_looked_at(tmp_path: Path) -> None:
    mask = Mask()
    mask.add(VALUE)
    (tmp_path / "fine").write_text("nothing")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/encoded").write_bytes(b"\0" * 100 + base64.b64encode(VALUE.encode()))
    (tmp_path / "across").write_bytes(b"x" * (CHUNK - 5) + VALUE.encode() + b"x" * CHUNK)
    (tmp_path / VALUE).mkdir()
    (tmp_path / "link").symlink_to(f"/nowhere/{VALUE}")
    found = [str(path.relative_to(tmp_path)) for path in leaks(mask, tmp_path)]
    assert sorted(found) == sorted(["across", "deep/encoded", VALUE, "link"])
    assert list(leaks(mask, tmp_path / "gone")) == []
