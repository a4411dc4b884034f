"""What CI is told to do can be done: each flag exists, the files that are cached are those that the docs name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from flowbuild.front import cli
from flowbuild.testing import Space

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / ".github/actions/flowbuild/action.yml").read_text())
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"]}
DOCS = (ROOT / "docs/ci.md").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text())
TOLD = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", DOCS, re.M | re.S)]
USED = [
    step["with"]
    for workflow in (WORKFLOW, TOLD[0])
    for job in workflow["jobs"].values()
    for step in job["steps"]
    if step.get("uses") == "./.github/actions/flowbuild"
]


def options(command: str) -> set[str]:
    known: Any = typer.main.get_command(cli.app)
    return {word for param in known.commands[command].params for word in param.opts}


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*|-[A-Za-z])(?![\w-])", text))


def test_each_flag_that_the_action_gives_is_a_flag() -> None:
    (line,) = [line for line in STEPS["Run flowbuild"]["run"].splitlines() if "bin/flowbuild" in line]
    given = flags(line)
    assert given == {"-C", "--junit"}
    assert "-C" in options("build") & options("test") and "--junit" in options("test")


def test_each_flag_that_its_users_and_the_docs_give_is_a_flag() -> None:
    told = [words for text in re.findall(r"^ *(?:- run: )?(flowbuild .*)$", DOCS, re.M) for words in [text.split()]]
    assert told
    for words in told:
        command = words[1] if words[1] in ("build", "test", "clean") else "build"
        assert flags(" ".join(words)) <= options(command), words
    assert len(USED) == 4
    for inputs in USED:
        assert flags(inputs.get("flags", "")) <= options(inputs.get("command", "build"))
        assert set(inputs) <= set(ACTION["inputs"])
    described = " ".join(one["description"] for one in ACTION["inputs"].values())
    assert flags(described) <= options("build") | options("test")


def test_the_action_is_whole() -> None:
    assert ACTION["runs"]["using"] == "composite"
    text = (ROOT / ".github/actions/flowbuild/action.yml").read_text()
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(ACTION["inputs"])
    for step in STEPS.values():
        assert ("uses" in step) != ("run" in step and step.get("shell") == "bash")
        assert "${{" not in step.get("run", ""), "a text of somebody's would be read as a script"


def test_what_is_restored_is_what_is_kept_and_what_the_docs_say() -> None:
    restored, kept = STEPS["Restore what is remembered"]["with"], STEPS["Keep what was done"]["with"]
    assert (restored["path"], restored["key"]) == (kept["path"], kept["key"])
    assert all(restored["key"].startswith(key) for key in restored["restore-keys"].split("\n") if key)
    paths = [path.rpartition("}}/")[2] for path in restored["path"].splitlines()]
    assert paths == re.findall(r"^\| `(\.flowbuild/\w+)` \| yes", DOCS, re.M)
    by_hand = [step["with"] for step in TOLD[1] if "with" in step]
    assert [step["path"].split() for step in by_hand] == [paths, paths]
    assert by_hand[0]["key"] == by_hand[1]["key"] and by_hand[0]["key"].startswith(by_hand[0]["restore-keys"])


@pytest.fixture
def step(tmp_path: Path) -> Space:
    """What the step of the action needs: flowbuild where the step before has put it, and a workspace."""
    space = Space(tmp_path / "repository/a workspace", {"RUNNER_TEMP": str(tmp_path / "temp")})
    (tmp_path / "temp/flowbuild/bin").mkdir(parents=True)
    program = tmp_path / "temp/flowbuild/bin/flowbuild"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flowbuild "$@"\n')
    program.chmod(0o755)
    space.write("BUILD.yaml", "targets: {t: {rule: exec, script: 'echo x > ${{ outputs.o }}', outputs: {o: o}}}\n")
    return space


@pytest.mark.parametrize(
    ("command", "labels", "variables", "code"),
    [
        ("build", "//... -//other/...", "--continue always -j 2", 0),
        ("test", "//...", "", 0),
        ("build", "//:t; touch owned", "", 2),
        ("build", "//:*", "", 2),
    ],
)
def test_the_step_of_the_action_runs(step: Space, command: str, labels: str, variables: str, code: int) -> None:
    """With the shell that GitHub says it takes, and with inputs as a person might write them."""
    environment = {
        **step.environment,
        **{name: "" for name in STEPS["Run flowbuild"]["env"]},
        **{"COMMAND": command, "DIRECTORY": step.root.name, "LABELS": labels, "FLAGS": variables},
        "JUNIT": "reports/junit.xml" if command == "test" else "",
    }
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS["Run flowbuild"]["run"]]
    done = subprocess.run(words, cwd=step.root.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done
    assert (step.root / "reports/junit.xml").exists() == (command == "test")
    assert not [name for name in os.listdir(step.root.parent) if name == "owned"]


def test_the_recipe_for_any_other_ci_runs(step: Space, tmp_path: Path) -> None:
    """Word by word, twice: the second job is another checkout, and performs nothing."""
    (recipe,) = re.findall(r"^```sh\n(.*?)^```$", DOCS, re.M | re.S)
    step.write("want.txt", "x\n")
    step.write(
        "BUILD.yaml",
        """
        targets:
          t: {rule: exec, script: 'echo x > ${{ outputs.o }}', outputs: {o: o}}
          same: {rule: golden, actual: ":t", expected: want.txt}
        """,
    )
    cache = tmp_path / "cache"
    cache.mkdir()
    path = f"{tmp_path / 'temp/flowbuild/bin'}:{step.environment['PATH']}"
    other = Space(tmp_path / "other job")
    for name in ("BUILD.yaml", "want.txt"):
        other.write(name, (step.root / name).read_bytes())
    for space in (step, other):
        environment = {**step.environment, "PATH": path, "CACHE": str(cache)}
        done = subprocess.run(["sh", "-c", recipe], cwd=space.root, env=environment, capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done
        assert (space.root / "junit.xml").exists() and (cache / "flowbuild.tar").exists()
    assert not (other.root / ".flowbuild/runs").exists(), "nothing was performed"
