"""The door of an engine: scratch, stage, collect, logs, variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flowbuild.core.action import Action, Staged
from flowbuild.core.canonical import digest
from flowbuild.core.errors import FlowError, NotAnArtifact
from flowbuild.run.io import RunIo
from flowbuild.store.cas import Cas


@pytest.fixture
def io(tmp_path: Path) -> RunIo:
    (tmp_path / "ws").mkdir()
    return RunIo(tmp_path / "ws", ("/b", "/c"), Cas(tmp_path / "cas"), tmp_path / "run")


def action(state_id: str = "op.main.state", env: dict[str, str] | None = None) -> Action:
    doc = {"step_kind": "exec", "with": {"env": env} if env else {}}
    return Action(digest(doc), doc, "//a", state_id, "a")


def test_scratch_is_always_fresh(io: RunIo) -> None:
    place = io.scratch(action())
    (place / "left").write_text("x")
    assert io.scratch(action()) == place
    assert list(place.iterdir()) == []


def test_states_have_places_of_their_own(io: RunIo) -> None:
    assert io.scratch(action("a.main.x")) != io.scratch(action("a.main.y"))
    assert io.scratch(action("a.main.x")) != io.scratch(action("b.main.x"))
    assert io.scratch(action("a.main.x")) != io.scratch(action("a.other.x"))


def test_release_removes_it(io: RunIo) -> None:
    place = io.scratch(action())
    io.release(action())
    io.release(action())
    assert not place.exists()


@pytest.mark.parametrize("again", [False, True])
def test_only_what_was_vacated_in_this_attempt_serves_again(io: RunIo, again: bool) -> None:
    place = io.scratch(action(), ("home",))
    io.vacate(action())
    if again:
        place = io.scratch(action(), ("home",))
    descriptor = os.open(place, os.O_RDONLY)
    io.release(action())
    is_removed = os.fstat(descriptor).st_nlink == 0
    os.close(descriptor)
    assert is_removed == (again or sys.platform != "linux")


def test_a_staged_source_is_a_copy(io: RunIo, tmp_path: Path) -> None:
    (io.workspace / "p").mkdir()
    source = io.workspace / "p/tool"
    source.write_text("x")
    source.chmod(0o755)
    io.stage((Staged("p/tool", None),), tmp_path / "stage")
    staged = tmp_path / "stage/p/tool"
    assert staged.read_text() == "x"
    assert staged.stat().st_mode & 0o100
    assert staged.stat().st_ino != source.stat().st_ino


def test_what_is_collected_can_be_staged(io: RunIo, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "deep/a").write_text("a")
    doc = io.collect(made)
    assert doc is not None
    io.stage((Staged("out/bin/x/d", doc),), tmp_path / "stage")
    assert (tmp_path / "stage/out/bin/x/d/deep/a").read_text() == "a"


def test_what_is_not_there_is_none(io: RunIo, tmp_path: Path) -> None:
    assert io.collect(tmp_path / "gone") is None
    (tmp_path / "plain").write_bytes(b"bytes")
    assert io.keep(b"bytes") == io.collect(tmp_path / "plain")


def test_a_link_is_no_artifact(io: RunIo, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(NotAnArtifact):
        io.collect(tmp_path / "link")


def test_a_source_that_went_away_is_an_error_that_names_it(io: RunIo, tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="gone"):
        io.stage((Staged("gone", None),), tmp_path / "stage")


def test_logs_have_a_directory(io: RunIo) -> None:
    log = io.log(action(), "stderr")
    log.write_text("x")
    assert log.name == "op.state.stderr"
    assert io.log(action(), "stdout").parent == log.parent


def test_variables_are_the_fixed_few_and_the_declared(io: RunIo) -> None:
    assert io.environment(action()) == {"PATH": "/b:/c", "LANG": "C.UTF-8", "TZ": "UTC"}
    assert io.environment(action(env={"LANG": "C", "X": ""})) == {"PATH": "/b:/c", "LANG": "C", "TZ": "UTC", "X": ""}


def test_a_long_name_fits_a_file_system(io: RunIo) -> None:
    assert io.scratch(action(f"{'a' * 63}.{'b' * 63}.{'c' * 63}")).is_dir()
