"""Continuous integration: the JUnit file, annotations and summary of the real program; and a cache that is restored."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from flowbuild.testing import Ran, Space

GOLDEN = """
targets:
  made: {rule: exec, script: "printf 'a\\nb\\n' > ${{ outputs.o }}", outputs: {o: o.txt}}
  good: {rule: golden, actual: ":made", expected: good.txt}
  bad:  {rule: golden, actual: ":made", expected: bad.txt}
"""


LAB = """
targets:
  probes:
    rule: registry
    probes: {read: {operation: environment-read, target: PLANTED}}
    profiles: {free: {restrict: {}}}
  plan: {rule: plan, registry: ":probes", profiles: [free]}
  run: {rule: run, plan: ":plan"}
"""


@pytest.fixture
def goldens(space: Space) -> Space:
    space.write("p/BUILD.yaml", GOLDEN)
    space.write("p/good.txt", "a\nb\n")
    space.write("p/bad.txt", "a\nc\n")
    return space


def junit(space: Space, path: str = "junit.xml") -> Xml.Element:
    return Xml.fromstring((space.root / path).read_text(encoding="utf-8"))


def test_junit_of_a_pass_and_a_difference(goldens: Space) -> None:
    ran = goldens.run("test", "//...", "--junit", "reports/junit.xml", "--continue", "always")
    assert ran.code == 1
    root = junit(goldens, "reports/junit.xml")
    cases = {case.get("name", ""): case for case in root.iter("testcase")}
    assert set(cases) == {"good", "bad"} and list(cases["good"]) == []
    failure = cases["bad"].find("failure")
    assert failure is not None and failure.get("message", "") == "p/bad.txt:2   - c   + b"
    assert "--update-goldens" in (failure.text or "")
    assert (cases["bad"].get("file"), cases["bad"].get("line")) == ("p/BUILD.yaml", "4")


def test_junit_lies_where_the_command_starts(goldens: Space) -> None:
    assert goldens.run("test", ":good", "-C", "p", "--junit", "j.xml").code == 0
    assert junit(goldens, "p/j.xml").get("tests") == "1"


def test_junit_of_a_fault_replaces_the_last_one(goldens: Space) -> None:
    goldens.run("test", "//p:good", "--junit", "junit.xml")
    goldens.write("p/BUILD.yaml", GOLDEN.replace("rule: exec", "rule: exce"))
    assert goldens.run("test", "//p:good", "--junit", "junit.xml").code == 2
    root = junit(goldens)
    assert root.get("errors") == "1" and "exce" in next(root.iter("error")).get("message", "")


def test_junit_where_nobody_may_write(goldens: Space) -> None:
    goldens.write("reports", "a file\n")
    ran = goldens.run("test", "//p:good", "--junit", "reports/junit.xml")
    assert ran.code == 5 and "reports" in ran.err and "Traceback" not in ran.err


def test_junit_and_new_goldens_are_two_wishes(goldens: Space) -> None:
    ran = goldens.run("test", "//p:bad", "--junit", "junit.xml", "--update-goldens")
    assert ran.code == 2 and not (goldens.root / "junit.xml").exists()
    assert goldens.read("p/bad.txt") == "a\nc\n"


def test_junit_of_an_interrupted_run_has_no_pass(goldens: Space) -> None:
    goldens.write("p/BUILD.yaml", GOLDEN.replace('script: "printf', 'script: "sleep 60; printf'))
    process = goldens.start("test", "//...", "--junit", "junit.xml")
    until = time.monotonic() + 60
    while not list((goldens.root / ".flowbuild/runs").glob("*/journal.jsonl")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    root = junit(goldens)
    assert (root.get("tests"), root.get("skipped")) == ("2", "2")


def test_a_step_of_a_workflow(goldens: Space, tmp_path: Path) -> None:
    step = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path), "GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}
    failed = goldens.run("test", "//...", "--json", **step)
    assert failed.err.startswith("::error file=workspace/p/BUILD.yaml,line=4,col=9,title=//p%3Abad::p/bad.txt:2 ")
    assert "::error" not in failed.out, "standard output stays JSON"
    built = [goldens.run("//p:made", **step) for _ in range(2)]
    assert [ran.code for ran in built] == [0, 0]
    headings = [line for line in (tmp_path / "s.md").read_text().splitlines() if line.startswith("### ")]
    assert headings == ["### flowbuild test //...", "### flowbuild build //p:made", "### flowbuild build //p:made"]


def test_a_bundle_is_named_in_the_summary(space: Space, tmp_path: Path) -> None:
    space.write("lab/BUILD.yaml", LAB)
    for _ in range(2):
        assert space.run("//lab:run", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(tmp_path / "s.md")).code == 0
    run_id = space.read("out/lab/run/LATEST").strip()
    lines = [line for line in (tmp_path / "s.md").read_text().splitlines() if "bundle" in line]
    assert lines == [f"`//lab:run`: bundle `{run_id}` {word}, ok" for word in ("committed", "stands")]


# A cache that is restored. What is kept between jobs is `.flowbuild/cas` and `.flowbuild/memo`, as docs/ci.md says.


def git(*words: str, cwd: Path) -> None:
    named = ("-c", "user.name=n", "-c", "user.email=n@localhost", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *named, *words], cwd=cwd, check=True, capture_output=True)


def restored(words: Space, there: Path, *keep: str) -> Space:
    """A clone of a committed workspace at another path, with only this much of its `.flowbuild`, by way of a tar file."""
    words.write(".gitignore", "out/\n.flowbuild/\n")
    git("init", cwd=words.root)
    git("add", "--all", cwd=words.root)
    git("commit", "-m", "all", cwd=words.root)
    git("clone", str(words.root), str(there), cwd=words.root.parent)
    archive = there.parent / "cache.tar"
    subprocess.run(["tar", "-cf", str(archive), *keep], cwd=words.root, check=True)
    subprocess.run(["tar", "-xf", str(archive)], cwd=there, check=True)
    return Space(there)


KEPT = (".flowbuild/cas", ".flowbuild/memo")


@pytest.fixture
def built(words: Space) -> Space:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    words.build("//words:words")
    return words


def test_a_fresh_clone_with_a_restored_cache_performs_nothing(built: Space, tmp_path: Path) -> None:
    there = restored(built, tmp_path / "elsewhere/deep/clone", *KEPT)
    assert not (there.root / "out").exists()
    ran = there.run("//words:words")
    assert (ran.code, ran.performed) == (0, 0), ran
    assert there.read("out/bin/words/top/top.json") == built.read("out/bin/words/top/top.json")
    there.write("words/names.txt", "eve\nada\nbob\n")
    assert there.run("//words:words").performed == 3
    there.write("words/names.txt", "mo\nada\nada\n")
    assert there.run("//words:words").performed == 0, "what was restored is still remembered"


def test_a_run_in_a_fresh_clone_is_committed_from_what_is_remembered(space: Space, tmp_path: Path) -> None:
    """Its bundle is this checkout's own; nothing is probed again on the same host."""
    space.write("lab/BUILD.yaml", LAB)
    space.build("//lab:run")
    there = restored(space, tmp_path / "clone", *KEPT)
    ran = there.run("//lab:run")
    assert (ran.code, ran.performed) == (0, 0) and "committed" in ran.out, ran
    assert there.read("out/lab/run/LATEST") != space.read("out/lab/run/LATEST")


@pytest.mark.parametrize(("kept", "performed"), [(KEPT[0], 3), (KEPT[1], 2)])
def test_half_of_a_cache_answers_nothing(built: Space, tmp_path: Path, kept: str, performed: int) -> None:
    """Objects without a memo are not found, and a memo without its objects is not believed. (What `counted` and `top`
    write has the same bytes here: so the object that a remembered `top` wants is there as soon as `counted` is.)"""
    there = restored(built, tmp_path / "clone", kept)
    assert there.run("//words:words").performed == performed


def test_objects_that_lost_their_time_stamps_are_made_again(built: Space, tmp_path: Path) -> None:
    """As after a copy that keeps no times. Slow, and never wrong; then they count again."""
    there = restored(built, tmp_path / "clone", *KEPT)
    for path in (there.root / ".flowbuild/cas").rglob("*"):
        os.utime(path)
    assert there.run("//words:words").performed
    assert there.run("//words:words").performed == 0


def test_a_cache_that_was_damaged_on_its_way_is_noticed(built: Space, tmp_path: Path) -> None:
    there = restored(built, tmp_path / "clone", *KEPT)
    for path in (there.root / ".flowbuild/cas").rglob("*"):
        if path.is_file() and path.stat().st_size and path.parent.name != "unflushed":
            found = path.stat()
            path.chmod(0o644)
            path.write_bytes(bytes(found.st_size))
            path.chmod(0o444)
            os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))
    ran: Ran = there.run("//words:words")
    assert ran.code == 5 and "damaged" in ran.err
    for _ in range(50):  # each time one more is found and removed
        ran = there.run("//words:words") if ran.code == 5 else ran
    assert ran.code == 0
    assert there.read("out/bin/words/top/top.json") == built.read("out/bin/words/top/top.json")
