"""Programs of optional parts: found by PATH, really started, and installed by what the host has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowbuild.run import programs
from flowbuild.run.programs import PROGRAMS, Program, Start, install, start


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def write(place: Path, name: str, text: str = "") -> None:
    (place / name).write_text(f"#!/bin/sh\n{text}\n")
    (place / name).chmod(0o755)


def test_a_program_is_started(place: Path) -> None:
    assert start(Program("it", "")) == Start(None, False, "")
    write(place, "it", "echo $1; echo more")
    assert start(Program("it", "")) == Start(f"{place}/it", True, "--version")


def test_a_program_that_does_not_work_says_why(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, "it", "echo 'no permission' >&2; exit 1")
    assert start(Program("it", ""))[1:] == (False, "no permission")
    (place / "it").write_bytes(b"\x7fELF")
    assert start(Program("it", ""))[1:] == (False, "Exec format error")
    monkeypatch.setattr(programs, "_SECONDS", 0.05)
    write(place, "it", "while :; do :; done")
    assert start(Program("it", ""))[1:] == (False, "no answer within 0.05 s")


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("apt-get", ["git", "bubblewrap", "strace", "nodejs"]),
        ("dnf", ["git", "bubblewrap", "strace", "nodejs"]),
    ],
)
def test_the_command_that_installs_each(
    place: Path, manager: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, manager)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert [install(program) for program in PROGRAMS] == [f"{manager} install {name}" for name in expected]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert install(PROGRAMS[0]) == f"sudo {manager} install git"


def test_brew_asks_for_no_privilege_and_lacks_what_is_linux_s(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, "brew")
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert [install(program) for program in PROGRAMS] == [
        "brew install git",
        "brew has no package of it",
        "brew has no package of it",
        "brew install node",
    ]


def test_a_host_without_any_manager(place: Path) -> None:
    assert install(PROGRAMS[0]) == "install it; here is none of apt-get, dnf, brew"
