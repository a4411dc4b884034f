"""Code of the workspace, as a worker loads it."""

from __future__ import annotations

from pathlib import Path
from types import CodeType

import pytest

from flowbuild.engine import guard
from flowbuild.engine.guard import Fresh

SOURCE = "def outer():\n    def inner():\n        raise ValueError\n    return inner\n"


def files(code: CodeType) -> set[str]:
    inner = [files(one) for one in code.co_consts if isinstance(one, CodeType)]
    return {code.co_filename}.union(*inner)


def test_the_same_source_of_two_tasks_is_each_ones_own_file(tmp_path: Path) -> None:
    for name in ("one", "two"):
        place = tmp_path / name
        place.write_text(SOURCE)
        assert files(Fresh("m", str(place)).get_code("m")) == {str(place)}


def test_another_source_under_the_same_path_is_read_anew(tmp_path: Path) -> None:
    place = tmp_path / "m.py"
    for text in ("x = 1", "x = 2"):
        place.write_text(text)
        found: dict[str, int] = {}
        exec(Fresh("m", str(place)).get_code("m"), found)
        assert found["x"] == int(text[-1])


def test_a_fault_is_of_the_file_that_has_it_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        place = tmp_path / name
        place.write_text("def (:\n")
        with pytest.raises(SyntaxError) as caught:
            Fresh("m", str(place)).get_code("m")
        assert caught.value.filename == str(place)


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    for number in range(2 * guard.KEPT):
        place = tmp_path / f"m{number}.py"
        place.write_text(f"x = {number}")
        Fresh("m", str(place)).get_code("m")
    assert len(guard._COMPILED) <= guard.KEPT
