"""`flowbuild lint`: what the checks find, each with its place. Performs nothing and writes nothing."""

from __future__ import annotations

from typing import Any

from flowbuild.core.errors import UserError
from flowbuild.core.label import Label, Pattern, parse_pattern
from flowbuild.front import github
from flowbuild.front.arguments import Request
from flowbuild.front.build import Build
from flowbuild.front.console import console
from flowbuild.graph.lint import lint as look
from flowbuild.graph.linted import Finding, Linted
from flowbuild.load.catalog import Catalog

_EVERYTHING = Pattern("", tree=True)


def lint(request: Request) -> int:
    """Print every finding; exit 1 if there is one. Without labels, the whole workspace is looked at."""
    out = console(request)
    with Build(request, out) as build:
        patterns = [parse_pattern(text, build.package) for text in request.patterns]
        is_whole = patterns in ([], [_EVERYTHING])
        labels = build.catalog.select(patterns) if patterns else _everything(build.catalog)
        found = look(Linted(build.catalog, labels, is_whole))
    count = len({label.package for label in labels})
    notes = ((f"{one.message}\n{one.remedy}", one.check, one.location) for one in found)
    github.annotate(notes, build.workspace.root)
    for finding in found:
        out.emit(_doc(finding))
        out.line(_text(finding))
    packages = f"{count} package{'' if count == 1 else 's'}"
    if found:
        out.line(f"{len(found)} finding{'' if len(found) == 1 else 's'} in {packages}")
    else:
        out.line(f"nothing found in {packages}")
    return 1 if found else 0


def _everything(catalog: Catalog) -> list[Label]:
    """Every target of the workspace, if it has any."""
    packages = map(catalog.package, catalog.packages(_EVERYTHING))
    return [target.label for package in packages if package for target in package.targets.values()]


def _text(finding: Finding) -> str:
    """A finding in the form of an error, with the name of its check, and the target that may allow it."""
    message = f"{finding.message} [{finding.check}{f' {finding.label}' if finding.label else ''}]"
    return UserError(message, remedy=finding.remedy, location=finding.location).report()


def _doc(finding: Finding) -> dict[str, Any]:
    where = finding.location
    return {
        "check": finding.check,
        "label": str(finding.label) if finding.label else None,
        "path": where.path,
        "line": where.line or None,
        "column": where.column or None,
        "text": where.text or None,
        "message": finding.message,
        "remedy": finding.remedy,
    }
