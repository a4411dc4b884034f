"""The code's own rules: style, types, floors, sizes. The programs are the same that people run by hand."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "flowbuild").rglob("*.py"))

COMMANDS = {
    "style": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "floors": ["lint-imports", "--no-cache"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_tool_finds_nothing(name: str) -> None:
    program = Path(sys.executable).with_name(COMMANDS[name][0])
    done = subprocess.run([program, *COMMANDS[name][1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_says_what_it_is() -> None:
    assert [path.name for path in MODULES if not path.read_text().startswith('"""')] == []


def test_modules_are_small() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert {path.name: count for path, count in lines.items() if count > 350} == {}
    assert statistics.median(lines.values()) <= 160
