"""Shown outputs: copies, put back when they were edited, and never more than asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workshop import Workshop, lowered

from flowbuild.core.action import Action, Outcome
from flowbuild.core.label import parse
from flowbuild.engine.engine import Io, Performance
from flowbuild.run.shown import shown_paths
from flowbuild.testing import ScriptedEngine


class Directories(ScriptedEngine):
    """Makes a directory of two files for every output that is one."""

    def perform(self, action: Action, io: Io) -> Performance:
        yield from ()
        outputs = {}
        for name, path in action.outputs.items():
            place = io.scratch(action) / name
            if path.endswith("/"):
                (place / "deep").mkdir(parents=True)
                (place / "deep/a").write_text("a")
            (place / "b" if path.endswith("/") else place).write_text("b")
            outputs[name] = io.collect(place) or {}
        return Outcome(outputs)


@pytest.fixture
def parts(workshop: Workshop) -> Workshop:
    """A built target with a file and a directory."""
    workshop.engine = Directories
    spec = {"rule": "exec", "command": "x", "outputs": {"o": "o.txt", "d": "d/"}}
    workshop.write("p/BUILD.yaml", json.dumps({"targets": {"t": spec, "g": {"rule": "filegroup", "files": [":t#o"]}}}))
    workshop.make("//p:t")
    return workshop


def files(space: Workshop) -> dict[str, str]:
    out = space.root / "out"
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}


WHOLE = {"bin/p/t/o.txt": "b", "bin/p/t/d/b": "b", "bin/p/t/d/deep/a": "a"}


def test_what_was_asked_for_is_shown(parts: Workshop) -> None:
    assert files(parts) == WHOLE


def test_paths_by_output(parts: Workshop) -> None:
    found = shown_paths(lowered(parts, "//p:t"), parse("//p:t"))
    assert found == {"o": ("out/bin/p/t/o.txt",), "d": ("out/bin/p/t/d/",)}


def test_what_is_only_passed_on_is_not_shown(parts: Workshop) -> None:
    assert shown_paths(lowered(parts, "//p:g"), parse("//p:g")) == {}


def meddle(space: Workshop, how: str) -> None:
    place = space.root / "out/bin/p/t"
    match how:
        case "edited":
            (place / "o.txt").write_text("x")
        case "executable":
            (place / "o.txt").chmod(0o755)
        case "deleted":
            (place / "d/deep/a").unlink()
        case "added":
            (place / "d/deep/new").write_text("x")
        case "a directory":
            (place / "o.txt").unlink()
            (place / "o.txt").mkdir()
        case "a link":
            (place / "o.txt").unlink()
            (place / "o.txt").symlink_to("d/b")
        case "a file":
            space.remove("out/bin/p/t/d")
            (place / "d").write_text("x")
        case "all gone":
            space.remove("out")


@pytest.mark.parametrize(
    "how", ["edited", "executable", "deleted", "added", "a directory", "a link", "a file", "all gone"]
)
def test_what_was_meddled_with_is_put_back(parts: Workshop, how: str) -> None:
    meddle(parts, how)
    assert parts.make("//p:t").performed == []
    place = parts.root / "out/bin/p/t/o.txt"
    assert files(parts) == WHOLE
    assert not place.is_symlink()
    assert not place.stat().st_mode & 0o111


def test_it_shares_no_inode_with_the_store(parts: Workshop) -> None:
    def inodes(directory: str) -> set[int]:
        return {path.stat().st_ino for path in Path(parts.root / directory).rglob("*") if path.is_file()}

    assert not inodes("out") & inodes(".flowbuild/cas")
