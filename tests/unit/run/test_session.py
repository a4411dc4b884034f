"""A session: tables that outlive it, and the rows of the null table."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

from flowbuild.load.ignore import Ignore
from flowbuild.run.session import SeenRows, Session
from flowbuild.store.rows import Rows
from flowbuild.testing import ScriptedEngine


def test_tables_outlive_a_session(workshop: Workshop) -> None:
    workshop.words().make("//words")
    names = {path.name for path in (workshop.root / ".flowbuild").iterdir() if path.is_file()}
    assert {"memo", "stamps", "packages", "last"} <= names
    with Session(workshop.root, world=dict) as session:
        assert session.last.get("words_sorted_c5b9b751.main.command") is not None
        assert session.parsed.get(str(workshop.root / "words/BUILD.yaml")) is not None


def test_the_cache_may_be_elsewhere(workshop: Workshop, tmp_path: Path) -> None:
    workshop.words().write("flowbuild.yaml", f"path: [{workshop.root}/bin]\ncache: {{dir: {tmp_path}/shared}}\n")
    workshop.make("//words:sorted")
    assert (tmp_path / "shared/memo").exists()
    assert not (workshop.root / ".flowbuild/memo").exists()
    assert (workshop.root / ".flowbuild/last").exists()


class Closing(ScriptedEngine):
    """Says that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_leaving_closes_the_engine_and_gives_signals_back(workshop: Workshop) -> None:
    before = signal.getsignal(signal.SIGTERM)
    session = Session(workshop.root, world=dict)
    session.engine = engine = Closing()
    with pytest.raises(ZeroDivisionError), session:
        raise ZeroDivisionError
    assert engine.closed
    assert signal.getsignal(signal.SIGTERM) == before


class Counting(Rows):
    """Counts what it is told."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.told: list[tuple[str, str]] = []

    def file(self, path: Any, seen: Any = None) -> None:
        self.told.append(("file", str(path)))

    def directory(self, path: Any, ignored: Any = frozenset(), seen: Any = None) -> None:
        self.told.append((",".join(sorted(ignored)), str(path)))


@pytest.fixture
def told(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def test_rows_are_told_once(tmp_path: Path, told: Counting) -> None:
    seen = SeenRows(tmp_path, told, Ignore(()))
    for _ in range(2):
        seen.file("a")
        seen.file("/elsewhere/b")
    assert told.told == [("file", f"{tmp_path}/a"), ("file", "/elsewhere/b")]


@pytest.mark.parametrize(
    ("patterns", "at_root", "below"),
    [
        ((), ".flowbuild,out", ""),
        (("out/",), ".flowbuild,out", ""),
        (("__pycache__", ".git"), ".flowbuild,.git,__pycache__,out", ".git,__pycache__"),
    ],
)
def test_names_that_come_and_go_do_not_count_where_they_are_ignored(
    tmp_path: Path, told: Counting, patterns: tuple[str, ...], at_root: str, below: str
) -> None:
    seen = SeenRows(tmp_path, told, Ignore(patterns))
    seen.directory("")
    seen.directory("d")
    assert told.told == [(at_root, str(tmp_path)), (below, f"{tmp_path}/d")]
