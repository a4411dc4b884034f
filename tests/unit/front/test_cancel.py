"""`runs cancel`: who is asked to end, and what is said when nobody can be, or does not."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from workshop import Workshop

from flowbuild.core.event import RunStarted, to_doc
from flowbuild.core.ids import RunId, new_run_id
from flowbuild.front import cancel, cli
from flowbuild.run.run import PID
from flowbuild.store.journal import Journal


@pytest.fixture
def held(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[RunId, Path]]:
    """A run that is at work: this process holds its journal. Its id, and its directory."""
    run_id = new_run_id()
    place = workshop.root / ".flowbuild/runs" / run_id
    place.mkdir(parents=True)
    monkeypatch.chdir(workshop.root)
    monkeypatch.setattr(cancel, "PATIENCE_S", 0.1)
    with Journal.create(place / "journal.jsonl", run_id) as journal:
        journal.append([to_doc(RunStarted("a", "0" * 64, "1" * 64))])
        yield run_id, place


def test_the_process_that_is_named_is_asked_and_what_goes_on_is_told(
    held: tuple[RunId, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, place = held
    with subprocess.Popen(["sleep", "60"]) as process:
        (place / PID).write_text(f"{process.pid}\n")
        assert cli.main(["runs", "cancel", run_id]) == 1
        assert process.wait(60) == -signal.SIGTERM
    assert capsys.readouterr().out == f"{run_id[:8]} was asked to end, and process {process.pid} goes on\n"


@pytest.mark.parametrize("text", [None, "", "somebody", "0", "-1"])
def test_a_run_that_names_nobody(
    held: tuple[RunId, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    run_id, place = held
    monkeypatch.setattr(cancel.os, "kill", None)  # which is not called
    if text is not None:
        (place / PID).write_text(text)
    assert cli.main(["runs", "cancel", run_id]) == 2
    assert "does not say which process is at work on it" in capsys.readouterr().err


def test_a_process_that_has_gone_meanwhile_is_not_missed(
    held: tuple[RunId, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, place = held
    gone = subprocess.Popen(["true"])
    gone.wait()
    (place / PID).write_text(str(gone.pid))
    assert cli.main(["runs", "cancel", run_id]) == 1
    assert "goes on" in capsys.readouterr().out
