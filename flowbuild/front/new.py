"""`flowbuild new TEMPLATE DIR`: new files from a template, and what to type next.

Knows nothing of how a template is rendered. A template may be used before there is any workspace; one that makes a
package, or adds to a root, needs the workspace that it adds to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadFlag, BadPath, UserError
from flowbuild.core.label import parse
from flowbuild.front.arguments import Request
from flowbuild.front.build import start
from flowbuild.front.console import Console, console
from flowbuild.load.glob import WORKSPACE_FILE
from flowbuild.load.path import RESERVED, check_name
from flowbuild.load.scaffold import NewFile, next_steps, scaffold, values
from flowbuild.load.template import Template, find_templates, load_template
from flowbuild.load.workspace import Workspace, builtin_rules, find
from flowbuild.store.batch import Item, write

MAKE_ONE = "`flowbuild new workspace DIR` makes one"


def new(request: Request, name: str, directory: str, given: list[str], overwrite: bool) -> int:
    """Render everything, then write it: all of it, or nothing."""
    out = console(request)
    here = start(request.directory)
    template = load_template(name, _around(here))
    root, package = _place(template, _target(here, directory))
    target = root / package
    fixed = {"directory": target.name, "label": f"//{package}"}
    known = values(template, given, fixed)
    files = scaffold(template, known)
    steps = next_steps(template, known)
    _check_rules(files)
    write(target, [Item(f.path, f.data, 0o755 if f.executable else 0o644) for f in files], overwrite=overwrite)
    for file in files:
        path = os.path.relpath(target / file.path, Path.cwd())
        out.emit({"wrote": path})
        out.line(f"  wrote  {path}")
    _say_next(out, steps, root)
    return 0


def rows(request: Request) -> Iterator[dict[str, Any]]:
    """A row for each template."""
    around = _around(start(request.directory))
    for name in find_templates(around):
        template = load_template(name, around)
        yield {"template": name, "place": template.place, "doc": template.doc, "path": template.shown}


def describe(out: Console, name: str, workspace: Workspace | None) -> None:
    """Print what a template makes and takes."""
    template = load_template(name, workspace)
    params = {
        one.name: {
            "type": one.type,
            "required": one.default is None,
            "default": one.default,
            "pattern": one.pattern,
            "values": list(one.values),
            "doc": one.doc,
        }
        for one in template.params.values()
    }
    out.emit({"template": name, "doc": template.doc, "place": template.place, "params": params})
    out.line(f"template {name}: {template.doc}")
    for key, row in params.items():
        more = "required" if row["required"] else f"default {row['default']}"
        out.line(f"  -D {key:<11} {row['type']:<9} {more:<18} {row['doc']}".rstrip())


def _around(here: Path) -> Workspace | None:
    """The workspace that somebody stands in; None outside of any."""
    above = (here, *here.parents)
    return find(here) if any((directory / WORKSPACE_FILE).is_file() for directory in above) else None


def _target(here: Path, directory: str) -> Path:
    """The directory that is meant. `//a/b` is one of the workspace, as in a label."""
    if not directory or "\0" in directory:
        raise BadFlag(f"{directory!r} is not a directory", remedy="`.` is the one where you stand")
    if directory.startswith("//"):
        around = _around(here)
        if around is None:
            raise UserError(f"{directory}: there is no workspace here", remedy=MAKE_ONE)
        return around.root / parse(f"{directory}:x").package
    return here / directory


def _place(template: Template, target: Path) -> tuple[Path, str]:
    """The root that the new files belong to, and their package in it."""
    target = target.resolve()
    if template.place == "workspace":
        for part in target.parts[1:]:
            check_name(part, part)
        return target, ""
    around = _around(target)
    if around is None:
        raise UserError(f"there is no workspace around {target}", remedy=MAKE_ONE)
    if template.place == "root":
        if around.root != target:
            problem = f"the template {template.name!r} adds to the root of a workspace, and {target} is none"
            raise BadPath(problem, remedy=f"the root is {os.path.relpath(around.root, Path.cwd())}")
        return target, ""
    package = target.relative_to(around.root).as_posix()
    _check_package(around, package)
    return around.root, "" if package == "." else package


def _check_package(workspace: Workspace, package: str) -> None:
    """A package there can be found and named."""
    if package == ".":
        return
    parse(f"//{package}:x")
    parts = package.split("/")
    for path in ("/".join(parts[:count]) for count in range(1, len(parts) + 1)):
        if path in RESERVED or workspace.ignore.matches(f"{path}/"):
            raise BadPath(f"{path}/ is no part of the workspace", remedy="choose another directory")


def _check_rules(files: list[NewFile]) -> None:
    """A rule that takes the name of one that ships would stop everything in its workspace."""
    for file in files:
        if file.path.startswith("rules/") and (builtin_rules() / file.path.removeprefix("rules/")).exists():
            raise BadFlag(
                f"{file.path}: a rule of that name ships with flowbuild", remedy="choose another name with -D"
            )


def _say_next(out: Console, steps: list[str], root: Path) -> None:
    out.emit({"next": steps, "in": str(root)})
    if not steps:
        return
    out.line("next:")
    if root not in (Path.cwd(), *Path.cwd().parents):
        out.line(f"  cd {os.path.relpath(root, Path.cwd())}")
    for step in steps:
        out.line(f"  {step}")
