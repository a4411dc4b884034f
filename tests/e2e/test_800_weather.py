"""The second example: its README's commands, one after the other, in a copy of the examples."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vega_datasets") is None, reason="vega-datasets is not installed: pip install '.[dev]'"
)


def commands() -> list[str]:
    """Each line of the README's code, but for the first block, which installs."""
    blocks = re.findall(r"```sh\n(.*?)```", (EXAMPLES / "weather/README.md").read_text(), re.DOTALL)
    assert "pip install" in blocks[0]
    return [line for block in blocks[1:] for line in block.splitlines()]


def follow(root: Path, line: str) -> tuple[int, str]:
    """One command line, in a shell that knows `flowbuild`."""
    program = f'flowbuild() {{ "{sys.executable}" -m flowbuild "$@"; }}\n'
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(
        ["/bin/sh", "-c", program + line], cwd=root, env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_the_readme_holds(tmp_path: Path) -> None:
    root = tmp_path / "examples"
    shutil.copytree(EXAMPLES, root, ignore=shutil.ignore_patterns("out", ".flowbuild", "__pycache__"))
    said = [follow(root, line) for line in commands()]
    first, nothing, edit, explain, again, why, differs, back, passes = said
    assert [code for code, _ in said] == [0, 0, 0, 0, 0, 0, 1, 0, 0], said
    assert "8 performed, 0 reused" in first[1]
    assert nothing[1].startswith("up to date")
    assert "1 would run, 5 may run, 2 would be reused" in explain[1]
    assert "6 performed, 2 reused" in again[1]
    assert re.search(
        r"root cause:\n  //weather:clean \(clean seattle\)  inputs\.source.* from weather/cities/sea", why[1]
    )
    assert "8759" in differs[1] and "/made" not in differs[1] and "Python 3" not in differs[1]
    assert passes[1].endswith("1 passed\n")
    assert (edit[1], back[1]) == ("", "")
    chart = ElementTree.parse(root / "out/bin/weather/chart/chart.svg").getroot()
    assert len(chart.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert "<svg" in (root / "out/bin/weather/report/report.html").read_text()
    assert "| Seattle |" in (root / "out/bin/weather/report/report.md").read_text()
