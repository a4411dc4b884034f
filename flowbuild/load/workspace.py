"""The workspace: the directory with flowbuild.yaml, and the packages and rule files in it.

Knows nothing of what is in a package. Directories that are ignored, links, directories with a flowbuild.yaml of their
own, and templates are no part of it.

Shapes:  packages are directories relative to the root, "" for the root itself, sorted. `visited` is told each
         directory whose entries decided something.
Errors:  UserError when there is no workspace, BadPath for one whose path is no UTF-8, BadLabel for a package that no
         label can name, DiskRefused, and what is wrong with flowbuild.yaml.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from flowbuild.core.errors import BadLabel, BadPath, UserError
from flowbuild.core.label import Pattern, parse
from flowbuild.core.text import is_unicode
from flowbuild.load.config import Config, default_config, load_config
from flowbuild.load.document import ParsedFiles
from flowbuild.load.glob import BUILD_FILE, WORKSPACE_FILE, list_directory
from flowbuild.load.ignore import Ignore
from flowbuild.load.path import RESERVED

RULE_SUFFIX = ".rule.yaml"
TEMPLATES = "templates"
TEMPLATE_FILE = "template.yaml"  # makes a directory below `templates/` a template, and no package


@dataclass(frozen=True, slots=True)
class Workspace:
    """A root and its settings."""

    root: Path
    config: Config
    ignore: Ignore = field(compare=False)

    def __post_init__(self) -> None:
        _check_root(self.root)

    @property
    def name(self) -> str:
        return self.config.name


class RuleFile(NamedTuple):
    """A rule's file, and how messages name it."""

    path: Path
    shown: str
    builtin: bool


def find(start: Path, cache: ParsedFiles | None = None) -> Workspace:
    """The workspace that a directory lies in."""
    return open_workspace(find_root(start), cache=cache)


def find_root(start: Path) -> Path:
    """The root of the workspace that a directory lies in."""
    here = Path(os.path.abspath(start))
    for directory in (here, *here.parents):
        if os.path.isfile(directory / WORKSPACE_FILE):
            _check_root(directory)  # before anything is written there
            return directory
    raise UserError(
        f"there is no {WORKSPACE_FILE} in {here} or above it",
        remedy=f"create one at the root of the workspace (an empty file will do): touch {WORKSPACE_FILE}",
    )


def _check_root(root: Path) -> None:
    """Refuse a root below which nothing could be named in a document."""
    if not is_unicode(os.fspath(root)):
        problem = f"the directory of the workspace is not UTF-8: {os.fsencode(root)!r}"
        raise BadPath(problem, remedy="rename it, or put the workspace elsewhere")


def open_workspace(root: Path, config: Path | None = None, cache: ParsedFiles | None = None) -> Workspace:
    """The workspace at a root, with its own settings or those of another file."""
    file = config or root / WORKSPACE_FILE
    try:
        settings = load_config(root, file, str(config) if config else WORKSPACE_FILE, cache)
    except FileNotFoundError:
        raise UserError(f"there is no {file.name} in {file.parent}", remedy="an empty file will do") from None
    return Workspace(root, settings, Ignore(settings.ignore))


def bare_workspace(root: Path) -> Workspace:
    """A directory that is no workspace, with every setting at its default: a place to keep what a run needs."""
    settings = default_config(root)
    return Workspace(root, settings, Ignore(settings.ignore))


def packages(workspace: Workspace, pattern: Pattern, visited: Callable[[str], None]) -> list[str]:
    """The packages that a pattern may find targets in: those that exist."""
    if not pattern.tree:
        if not is_inside(workspace, pattern.package, visited):
            return []
        visited(pattern.package)
        return [pattern.package] if os.path.isfile(workspace.root / pattern.package / BUILD_FILE) else []
    found: list[str] = []
    to_list = [pattern.package] if is_inside(workspace, pattern.package, visited) else []
    while to_list:
        directory = to_list.pop()
        visited(directory)
        entries = list_directory(workspace.root / directory)
        names = {entry.name for entry in entries}
        if directory and (WORKSPACE_FILE in names or _is_template(workspace, directory)):
            continue
        if BUILD_FILE in names:
            found.append(_checked(directory))
        for entry in entries:
            path = f"{directory}/{entry.name}" if directory else entry.name
            if entry.is_dir(follow_symlinks=False) and not _is_left_out(workspace, path):
                to_list.append(path)
    return sorted(found)


def find_rule_files(workspace: Workspace, visited: Callable[[str], None]) -> list[RuleFile]:
    """The rule files that ship with flowbuild, then those in the workspace's `rules/`, each in order of name."""
    home = builtin_rules()
    files = [RuleFile(home / name, f"<flowbuild>/rules/{name}", True) for name in _rule_names(home)]
    visited("rules")
    own = workspace.root / "rules"
    if os.path.isdir(own) and not (os.path.isdir(home) and os.path.samefile(own, home)):
        files += [RuleFile(own / name, f"rules/{name}", False) for name in _rule_names(own)]
    return files


def builtin_rules() -> Path:
    """The directory of the rules that ship."""
    return shipped("rules")


def shipped(kind: str) -> Path:
    """A directory of what ships: beside the package's code when installed, in the checkout otherwise."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_data" / kind
    return installed if os.path.isdir(installed) else package.parent / kind


def _rule_names(directory: Path) -> list[str]:
    names = (entry.name for entry in list_directory(directory))
    return [name for name in names if name.endswith(RULE_SUFFIX) and not name.startswith(".")]


def _is_template(workspace: Workspace, path: str) -> bool:
    """One level below `templates/`: what lies deeper is never reached, or is somebody's package of that name."""
    top, _, name = path.partition("/")
    if top != TEMPLATES or not name or "/" in name:
        return False
    return os.path.isfile(workspace.root / path / TEMPLATE_FILE)


def _is_left_out(workspace: Workspace, path: str) -> bool:
    return path in RESERVED or workspace.ignore.matches(path + "/")


def is_inside(workspace: Workspace, package: str, visited: Callable[[str], None]) -> bool:
    """Whether a directory is there and part of the workspace; its absence is seen in the nearest one above."""
    parts = package.split("/") if package else []
    for count in range(1, len(parts) + 1):
        path = "/".join(parts[:count])
        directory = workspace.root / path
        foreign = os.path.islink(directory) or os.path.lexists(directory / WORKSPACE_FILE)
        if _is_template(workspace, path):
            visited(path)
            return False
        if foreign or not os.path.isdir(directory) or _is_left_out(workspace, path):
            visited("/".join(parts[: count - 1]))
            return False
    return True


def _checked(directory: str) -> str:
    try:
        parse(f"//{directory}:x")
    except BadLabel:
        problem = f"the directory {directory!r} holds a {BUILD_FILE}, and no label can name it"
        raise BadLabel(problem, remedy="rename it, or add it to `ignore:` in flowbuild.yaml") from None
    return directory
