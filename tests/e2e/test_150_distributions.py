"""A handler's distributions are part of its key: an upgrade runs it again, and what can't be identified is not kept."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from flowbuild.testing import Space


def install(site: Path, version: str) -> None:
    """What an installer leaves of a tiny distribution: a module, its metadata and its RECORD."""
    for old in site.glob("tinydist-*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    (site / "tinydist.py").write_text(f"VERSION = {version!r}\n")
    info = site / f"tinydist-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tinydist\nVersion: {version}\n")
    names = ["tinydist.py", f"{info.name}/METADATA", f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{name},sha256={version},1\n" for name in names))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with a site-packages of its own, where this flowbuild and what it needs can be imported too."""
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=False)
    python = tmp_path / "venv/bin/python"
    paths = [path for path in sys.path if path and "site-packages" in path] + [str(Path(__file__).parents[2])]
    site(python).joinpath("neighbours.pth").write_text("".join(f"{path}\n" for path in paths))
    return python


def site(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def build(python: Path, space: Space) -> str:
    words = [python, "-m", "flowbuild", "//:told"]
    done = subprocess.run(words, cwd=space.root, env=space.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done.stdout


def test_an_upgrade_runs_the_handler_again(python: Path, space: Space) -> None:
    install(site(python), "1.0")
    space.write("h.py", "import tinydist\n\n\ndef f(o):\n    o.write_text(tinydist.VERSION)\n")
    space.write("BUILD.yaml", "targets:\n  told: {rule: python, handler: 'h.py:f', outputs: {o: o}}\n")
    assert "1 performed" in build(python, space)
    assert "up to date" in build(python, space)
    install(site(python), "1.10")  # of another size: bytecode is matched by size and second
    assert "distribution tinydist changed" in build(python, space)
    assert space.read("out/bin/told/o") == "1.10"
    assert "up to date" in build(python, space)
