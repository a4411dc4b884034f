"""The durable example: its README's commands, in one shell, against a real server; and what the README shows of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: pip install '.[dev]'")

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MARK = "== and then"
LISTENING = """until python3 -c 'import socket; socket.create_connection(("127.0.0.1", PORT))' 2> /dev/null; do sleep 0.1; done"""


def steps() -> list[tuple[str, str]]:
    """Each command of the README, and what is shown below it."""
    text = (EXAMPLES / "durable/README.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [step for block in blocks for step in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.M)]


def plain(text: str) -> str:
    """A text without what is another each time, or in each version: ids by their order, no dates, times, event numbers."""
    for number, run_id in enumerate(dict.fromkeys(re.findall(RUN_ID, text))):
        text = text.replace(run_id, f"RUN{number}").replace(run_id[:8], f"RUN{number}")
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text)
    text = re.sub(
        r"^(  fact .*) [0-9a-f]{8} → [0-9a-f]{8}$", r"\1 FACTS", text, flags=re.M
    )  # the shop's port is in them
    return re.sub(r" +\d+\.\d\d s$", " TIME", text, flags=re.M)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, int]:
    """A copy of the examples whose shop has a port that is free."""
    root = tmp_path / "examples"
    shutil.copytree(EXAMPLES, root, ignore=shutil.ignore_patterns("out", ".flowbuild", "__pycache__"))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    for name in ("serve.py", "BUILD.yaml"):
        text = (root / "durable" / name).read_text()
        assert "8765" in text
        (root / "durable" / name).write_text(text.replace("8765", str(port)))
    return root, port


def follow(root: Path, script: str) -> str:
    """What a shell prints that has `flowbuild` and `python3` on its path. Whatever it started ends with it."""
    bin_ = root.parent / "bin"
    bin_.mkdir()
    (bin_ / "flowbuild").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flowbuild "$@"\n')
    (bin_ / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for program in bin_.iterdir():
        program.chmod(0o755)
    variables = {"PATH": f"{bin_}:{os.environ['PATH']}", "HOME": str(root), "PYTHONPATH": str(EXAMPLES.parent)}
    said, problems = root.parent / "said", root.parent / "problems"
    with said.open("wb") as out, problems.open("wb") as err:
        shell = subprocess.Popen(
            ["/bin/sh", "-c", script], cwd=root, env=variables, stdout=out, stderr=err, start_new_session=True
        )
        try:
            shell.wait(timeout=300)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
    assert "Traceback" not in problems.read_text(), problems.read_text()
    return said.read_text()


def test_the_readme_holds(place: tuple[Path, int]) -> None:
    root, port = place
    lines = []
    for command, _ in steps():
        lines += [command, LISTENING.replace("PORT", str(port))] if "serve.py" in command else [command]
        if not command.endswith("RUN=$!"):  # what it prints is shown below the next command
            lines.append(f"echo '{MARK}'")
    done = follow(root, "\n".join(lines))
    shown = "".join(f"{text}{MARK}\n" for command, text in steps() if not command.endswith("RUN=$!"))
    assert plain(done).split(MARK) == plain(shown).split(MARK)
    assert shown.count(MARK) == 15
