"""Where runs stand, and which of them are committed, live or stale."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.bundle.commit import begin
from flowbuild.bundle.layout import CORE, bundle_dir, in_order, latest, runs
from flowbuild.core.errors import BadPath

HOLD = """
import sys, time
from pathlib import Path
from flowbuild.bundle.commit import begin
writer = begin(Path(sys.argv[1]), "held", b"{}")
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/a", ".hidden", "LATEST", "a\n", "a" * 129])
def test_a_run_id_is_a_plain_name(name: str) -> None:
    with pytest.raises(BadPath, match="is not a run id"):
        bundle_dir(Path("out"), name)


def test_core_files_come_first_and_in_order() -> None:
    assert sorted(["objects/b", "summary.md", "a.json", "run_status.json"], key=in_order) == [
        "run_status.json",
        "summary.md",
        "a.json",
        "objects/b",
    ]
    assert len(set(CORE)) == len(CORE)


def test_no_runs_where_there_is_nothing(tmp_path: Path) -> None:
    assert runs(tmp_path / "none") == []
    (tmp_path / ".latest.lock").touch()
    (tmp_path / "file").touch()
    assert runs(tmp_path) == []


def test_a_run_is_live_while_its_writer_holds_it_and_stale_after(tmp_path: Path) -> None:
    with begin(tmp_path, "run", b"{}"):
        assert [run.state for run in runs(tmp_path)] == ["live"]
    assert [run.state for run in runs(tmp_path)] == ["stale"]


def test_a_killed_writer_leaves_a_stale_run(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, cwd=os.getcwd())
    assert writer.stdout is not None and writer.stdout.readline() == b"held\n"
    assert [run.state for run in runs(tmp_path)] == ["live"]
    writer.kill()
    writer.wait()
    writer.stdout.close()
    assert [run.state for run in runs(tmp_path)] == ["stale"]


def test_a_pipe_in_the_place_of_latest_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "LATEST")
    assert latest(tmp_path) is None


@pytest.mark.parametrize("text", ["", "run", "run\x0b", "../run\n", "run\nrun\n", "run\n\n", "\xff\n"])
def test_a_latest_that_names_no_run_names_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "LATEST").write_text(text)
    assert latest(tmp_path) is None
