"""The commit that a checkout stands at, as git's own files say it.

Knows nothing of what was changed since, and runs no git: of refs that are kept in another way, such as reftables, it
says nothing.

Errors:  none: what can't be read is no commit.
Source:  git's repository layout: `HEAD`, `commondir`, loose and packed refs, `.git` files of worktrees and submodules.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"ref: *(refs/\S+)")
_MOST = 4096
_DEEP = 5


def commit_of(directory: Path) -> str | None:
    """The commit of the checkout around a directory; None outside of one, and before its first commit."""
    with suppress(OSError, ValueError):  # what is damaged hides the checkout around it, as it does for git
        for place in (directory, *directory.parents):
            if (git := _git_directory(place / ".git")) is not None:
                return _resolve(git, _common(git), "HEAD")
    return None


def _git_directory(dot: Path) -> Path | None:
    """Where a checkout's HEAD lies; a worktree and a submodule have a file that says it."""
    if dot.is_file():
        said = _text(dot)
        dot = dot.parent / said.removeprefix("gitdir:").strip() if said.startswith("gitdir:") else dot
    return dot if (dot / "HEAD").is_file() else None


def _common(git: Path) -> Path:
    """Where refs lie that worktrees share."""
    return git / _loose(git / "commondir")


def _resolve(git: Path, common: Path, name: str) -> str | None:
    for _ in range(_DEEP):
        said = _loose(git / name) or _loose(common / name) or _packed(common / "packed-refs", name)
        if _COMMIT.fullmatch(said):
            return said
        found = _REF.fullmatch(said)
        if found is None or ".." in found[1]:
            return None
        name = found[1]
    return None


def _loose(path: Path) -> str:
    return _text(path) if path.is_file() else ""


def _packed(path: Path, name: str) -> str:
    with suppress(FileNotFoundError), path.open(encoding="utf-8") as lines:
        for line in lines:
            commit, _, ref = line.rstrip("\n").partition(" ")
            if ref == name:
                return commit
    return ""


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_MOST).strip()
