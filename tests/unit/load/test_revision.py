"""The commit of a checkout, read as git itself left it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from flowbuild.load.revision import commit_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="no git on this host")


def git(place: Path, *words: str) -> str:
    name = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *name, *words], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "checkout"
    (place / "deep/er").mkdir(parents=True)
    git(place, "init", "-q")
    git(place, "commit", "-q", "--allow-empty", "-m", "one")
    return place


def test_the_commit_of_a_branch_also_from_below(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert commit_of(checkout) == commit_of(checkout / "deep/er") == head


def test_packed_refs_and_a_detached_head(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    git(checkout, "pack-refs", "--all")
    assert commit_of(checkout) == head
    git(checkout, "checkout", "-q", "--detach")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "two")
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD") != head


def test_a_loose_ref_goes_before_a_packed_one(checkout: Path) -> None:
    git(checkout, "pack-refs", "--all")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "two")
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")


def test_a_worktree_has_a_commit_of_its_own(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(checkout, "worktree", "add", "-q", "-b", "side/way", str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "two")
    assert commit_of(other) == git(other, "rev-parse", "HEAD") != commit_of(checkout)


def test_no_commit(checkout: Path, tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    git(checkout, "checkout", "-q", "--orphan", "none-yet")
    assert commit_of(checkout) is None


@pytest.mark.parametrize("said", ["", "ref: refs/../../secret", "ref: refs/heads", "ref: HEAD", "f" * 39, "\0"])
def test_a_damaged_head_is_no_commit(checkout: Path, said: str) -> None:
    (checkout / ".git/HEAD").write_text(said)
    assert commit_of(checkout) is None


def test_a_loop_of_refs_ends(checkout: Path) -> None:
    (checkout / ".git/refs/heads/round").write_text("ref: refs/heads/round")
    (checkout / ".git/HEAD").write_text("ref: refs/heads/round")
    assert commit_of(checkout) is None


def test_a_damaged_checkout_hides_the_one_around_it(checkout: Path) -> None:
    (checkout / "deep/.git").mkdir()
    (checkout / "deep/.git/HEAD").write_bytes(b"\xff")
    assert commit_of(checkout / "deep") is None
