"""A bundle names the commit that its workspace stood at, and a commit alone makes nothing again.

Seed 001: 001-12.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from flowbuild.testing import Space

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git on this host")

BUILD = """
targets:
  page: {rule: exec, script: "cat ${{ inputs.text }} > ${{ outputs.page }}", inputs: {text: text.txt}, outputs: {page: page.txt}}
  report: {rule: run, targets: [":page"]}
"""  # fmt: skip


def commit(space: Space, message: str) -> str:
    name = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    for words in (["add", "-A"], [*name, "commit", "-q", "--allow-empty", "-m", message]):
        subprocess.run(["git", *words], cwd=space.root, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=space.root, check=True, capture_output=True, text=True
    ).stdout.strip()


def latest(space: Space) -> tuple[str, str | None]:
    run_id = space.read("out/report/LATEST").strip()
    return run_id, json.loads(space.read(f"out/report/{run_id}/manifest.json"))["build"]["git_commit"]


def test_a_commit_is_told_and_makes_nothing_again(space: Space) -> None:
    space.write("BUILD.yaml", BUILD)
    space.write("text.txt", "one")
    space.build("//:report")
    first = latest(space)
    assert first[1] is None

    subprocess.run(["git", "init", "-q"], cwd=space.root, check=True)
    space.write(".gitignore", "out/\n.flowbuild/\n")
    commit(space, "one")
    assert space.build("//:report").performed == 0
    assert space.run("//:report", "--json").code == 0  # another request, which no null table knows
    assert latest(space) == first

    space.write("text.txt", "two")
    head = commit(space, "two")
    assert space.build("//:report").performed == 1
    assert latest(space)[1] == head
    space.write("text.txt", "three")
    space.build("//:report")  # changed since: the commit is still the one it stood at
    assert latest(space)[1] == head
