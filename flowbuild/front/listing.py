"""The commands that only read what is declared or built: `list`, `describe`, `outputs`; and `clean`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadFlag, UnknownRule
from flowbuild.core.label import Pattern, is_label, parse
from flowbuild.core.suggest import did_you_mean
from flowbuild.front import new
from flowbuild.front.arguments import Request
from flowbuild.front.build import Build
from flowbuild.front.console import Console, console
from flowbuild.front.report import MOST
from flowbuild.graph.state import State
from flowbuild.load.catalog import Catalog
from flowbuild.load.package import Target
from flowbuild.load.rule import Rule
from flowbuild.load.template import find_templates
from flowbuild.run.shown import shown_paths
from flowbuild.store.files import remove_tree

Row = dict[str, Any]


def outputs(request: Request) -> int:
    """Print where the outputs of targets are shown, one path a line; exit 1 if one is not built."""
    out = console(request)
    missing = 0
    with Build(request, out) as build:
        for label in [*build.wanted, *build.graph.folds(build.labels)]:
            shown = shown_paths(build.graph, label)
            for name, path in ((name, path) for name, paths in shown.items() for path in paths):
                is_there = (build.workspace.root / path).exists()
                missing += not is_there
                out.emit({"label": str(label), "output": name, "path": path, "exists": is_there})
                out.line(path if is_there else f"{path}  (not built)")
            for path in build.committed(label):
                out.emit({"label": str(label), "output": "bundle", "path": path, "exists": True})
                out.line(path)
    return 1 if missing else 0


def _targets(catalog: Catalog) -> Iterator[Row]:
    for name in catalog.packages(Pattern("", tree=True)):
        package = catalog.package(name)
        for target in package.targets.values() if package else ():
            yield {"label": str(target.label), "rule": target.rule, "doc": target.doc}


def _rules(catalog: Catalog) -> Iterator[Row]:
    for rule in catalog.rules.values():
        yield {"rule": rule.name, "path": rule.path, "doc": rule.doc}


def _entries(key: str) -> Callable[[Catalog], Iterator[Row]]:
    def entries(catalog: Catalog) -> Iterator[Row]:
        for row in _targets(catalog):
            if row["rule"] == "registry":
                target = catalog.target(parse(row["label"]))
                for name, entry in target.attrs[key].items():
                    yield {key[:-1]: name, "registry": row["label"], "doc": entry.get("doc", "")}

    return entries


def _plans(catalog: Catalog) -> Iterator[Row]:
    """Plan targets, then plans that files say, which have a path for a label."""
    from flowbuild.graph.library import Library

    yield from (row for row in _targets(catalog) if row["rule"] == "plan")
    library = Library(catalog.workspace.root)
    for row in (library.row(file) for file in library.tree.plans):
        doc = row.get("error") or f"{row['profiles']} profiles of {row['registry_id']}"
        yield {"label": row["path"], "rule": "plan.json", "doc": doc}


def _registries(catalog: Catalog) -> Iterator[Row]:
    """Registry targets, then registries that files say, which have an id for a label."""
    from flowbuild.graph.library import Library

    yield from (row for row in _targets(catalog) if row["rule"] == "registry")
    for one in Library(catalog.workspace.root).listed[0]:
        yield {"label": one.registry_id, "rule": "probes.json", "doc": one.description or ""}


def _engines(catalog: Catalog) -> Iterator[Row]:
    from flowbuild.engine.registry import engines

    for name, origin in engines().items():
        yield {"engine": name, "from": origin, "doc": ""}


LISTS: dict[str, Callable[[Catalog], Iterator[Row]]] = {
    "targets": _targets,
    "rules": _rules,
    "engines": _engines,
    "plans": _plans,
    "registries": _registries,
    "profiles": _entries("profiles"),
    "probes": _entries("probes"),
}


def list_(request: Request, kind: str) -> int:
    """Print one row each of what a workspace declares."""
    out = console(request)
    if kind == "templates":  # which are needed most where there is no workspace yet
        _show_rows(out, list(new.rows(request)))
        return 0
    if kind not in LISTS:
        raise BadFlag(f"there is no list of {kind!r}", remedy=did_you_mean(kind, [*LISTS, "templates"]))
    with Build(request, out) as build:
        _show_rows(out, list(LISTS[kind](build.catalog)))
    return 0


def _show_rows(out: Console, rows: list[Row]) -> None:
    widths = [max((len(str(list(row.values())[n])) for row in rows), default=0) for n in range(2)]
    for row in rows:
        out.emit(row)
        first, second, *rest = (str(value or "") for value in row.values())
        tail = rest[0].splitlines()[0] if rest and rest[0] else ""
        out.line(f"{first:<{widths[0]}}  {second:<{widths[1]}}  {tail}".rstrip())


def describe(request: Request, name: str) -> int:
    """Print what a rule or a template takes, or what a target is and becomes."""
    out = console(request)
    if is_label(name):
        request.patterns = (name,)
    with Build(request, out) as build:
        if is_label(name):
            for label in build.graph.folds(build.labels) or build.wanted:
                _describe_target(out, build, build.catalog.target(label))
            return 0
        rules, templates = build.catalog.rules, find_templates(build.workspace)
        if name not in {*rules, *templates}:
            known = did_you_mean(name, [*rules, *templates])
            raise UnknownRule(f"there is no rule or template {name!r}", remedy=known)
        if name in rules:
            _describe_rule(out, rules[name])
        if name in templates:  # a template may have the name of the rule that it is about
            new.describe(out, name, build.workspace)
    return 0


def _describe_rule(out: Console, rule: Rule) -> None:
    attributes = {
        one.name: {"type": one.type, "required": one.required, "default": one.default, "doc": one.doc}
        for one in rule.attributes.values()
    }
    out.emit({"rule": rule.name, "doc": rule.doc, "attributes": attributes})
    out.line(f"rule {rule.name}: {rule.doc}")
    for key, row in attributes.items():
        default = "" if row["default"] is None else f"default {json.dumps(row['default'])}"
        more = "required" if row["required"] else default
        out.line(f"  {key:<14} {row['type']:<9} {more:<18} {row['doc']}".rstrip())


def _describe_target(out: Console, build: Build, target: Target) -> None:
    where = build.catalog.locate(target)
    states = [build.graph.states[number] for number in build.graph.targets[target.label].states]
    shown = shown_paths(build.graph, target.label)
    out.emit(
        {
            "label": str(target.label),
            "rule": target.rule,
            "doc": target.doc,
            "defined_at": str(where),
            "attributes": dict(target.attrs),
            "states": [_state(one) for one in states],
            "outputs": shown,
        }
    )
    out.line(f"{target.label}  {target.rule}  {where}" + (f"\n  {target.doc}" if target.doc else ""))
    for state in states[:MOST]:
        out.line(f"  state   {state.id}  {state.title}{', inline' if state.is_inline else ''}")
    if len(states) > MOST:
        out.line(f"  ... and {len(states) - MOST} more states")
    for name, paths in shown.items():
        for path in paths[:MOST]:
            out.line(f"  output  {name}  {path}")
        if len(paths) > MOST:
            out.line(f"  ... and {len(paths) - MOST} more of {name}")


def _state(state: State) -> Row:
    how = {"inline": True} if state.is_inline else {}
    return {"state_id": state.id, "kind": state.kind, **how, "outputs": dict(state.outputs)}


def clean(request: Request, cache: bool) -> int:
    """Remove shown outputs, stages and logs; with `cache` everything derived. Committed bundles stay."""
    out = console(request)
    with Build(request, out) as build:
        root, shared = build.workspace.root, build.session.cache
    doomed = (
        [root / "out" / "bin", root / ".flowbuild"] if cache else [root / "out" / "bin", root / ".flowbuild" / "runs"]
    )
    doomed += [root / ".flowbuild" / "null"]
    for path in map(Path, doomed):
        if path.is_dir():
            remove_tree(path)
            out.emit({"removed": str(path.relative_to(root))})
            out.line(f"removed {path.relative_to(root)}/")
    if cache and not shared.is_relative_to(root / ".flowbuild"):  # another checkout may remember by it
        out.emit({"kept": str(shared)})
        parts = " ".join(shlex.quote(str(shared / part)) for part in ("memo", "cas"))
        out.line(f"kept {shared}/: other checkouts may share it\n  if none does: rm -r {parts}")
    return 0
