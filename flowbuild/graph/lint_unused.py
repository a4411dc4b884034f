"""Checks for what is declared and not used: parameters, attributes, rules, modules, outputs.

Knows nothing of other checks. What may be used in a way that can't be seen is taken for used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flowbuild.core.label import Label, is_label
from flowbuild.graph.linted import Finding, Linted, named
from flowbuild.graph.lower import needs
from flowbuild.graph.state import Product, Source
from flowbuild.load.expression import names_in
from flowbuild.load.imports import Module, imports
from flowbuild.load.package import Target
from flowbuild.load.rule import Rule, StateTemplate

_COMPUTED = "*"  # no module has this name


def params(space: Linted) -> Iterator[Finding]:
    """Parameters that no expression of the target or of its rule reads. A run's parameters stand in its bundle."""
    for target in space.targets:
        if not target.params or space.built(target).bundle is not None:
            continue
        read = _parts("params", [target.attrs, *_of_rule(space.rule(target))])
        for name in target.params:
            if not {name, ""} & read:
                message = f"no expression reads the parameter {name!r}, so `--set {name}=...` changes nothing"
                where = space.of(target, "params", name, key=True)
                yield Finding(where, message, f"read it as ${{{{ params.{name} }}}}, or remove it", target.label)


def attributes(space: Linted) -> Iterator[Finding]:
    """Attributes that no expression of their rule reads."""
    for rule in space.own_rules:
        read = _parts("attr", _of_rule(rule))
        for name in rule.attributes:
            if rule.lower is None and not {name, ""} & read:
                where = space.at(rule.path, ("attributes", name), key=True)
                message = f"no expression of the rule {rule.name} reads its attribute {name!r}"
                yield Finding(where, message, f"read it as ${{{{ attr.{name} }}}}, or remove it")


def rules(space: Linted) -> Iterator[Finding]:
    """Rules of the workspace that no target is of; of some targets alone nobody can tell."""
    used = {target.rule for target in space.targets}
    for rule in space.own_rules:
        if rule.name not in used:
            where = space.at(rule.path, ("rule",))
            yield Finding(where, f"no target is of the rule {rule.name!r}", "use it, or remove the file")


def modules(space: Linted) -> Iterator[Finding]:
    """Entries of `modules:` of which the handler imports nothing."""
    imported: dict[str, set[str]] = {}
    for target in space.targets:
        attribute = space.rule(target).attributes.get("modules")
        given = target.attrs.get("modules") if attribute is not None and attribute.type == "files" else None
        codes = space.codes(target) if given else []
        for path in dict.fromkeys(path for code in codes for path in code.paths):
            if path not in imported:
                imported[path] = _imported(Module(path, space.catalog.owner(path), space.text(path)))
        used = set().union(*(imported[path] for code in codes for path in code.paths))
        if not codes or _COMPUTED in used:
            continue
        names = {path: name for code in codes for name, path in code.modules.items()}
        for pointer, entry in _entries(given):
            files = _files(space, target, entry)
            if files and not any(_is_used(names.get(path, ""), used) for path in files):
                shown = entry if isinstance(entry, str) else ", ".join(entry["glob"])
                message = f"the handler imports nothing of {shown}"
                yield Finding(space.of(target, *pointer), message, "remove it from modules:", target.label)


def outputs(space: Linted) -> Iterator[Finding]:
    """Outputs that nobody reads, where other outputs of the same target are read."""
    if not space.is_whole:
        return
    reads = list(_reads(space))
    read = {output for _, output in reads}
    by_label = {(by, output[0]) for by, output in reads}
    # Who names a target and reads no output of it, as a group does, may want any of them.
    whole = {
        need
        for target in space.targets
        for need, _ in needs(space.catalog, target)
        if (target.label, need) not in by_label
    }
    for target in space.targets:
        label, declared = target.label, target.attrs.get("outputs")
        if label in whole or not isinstance(declared, dict) or not any((label, name) in read for name in declared):
            continue
        for name in declared:
            if (label, name) not in read:
                where = space.of(target, "outputs", name, key=True)
                message = f"no target reads the output {name!r}, and other outputs of {label} are read"
                remedy = f"remove it; if it is for people, put {label} into a group, or tag it allow:unread-output"
                yield Finding(where, message, remedy, label)


def _reads(space: Linted) -> Iterator[tuple[Label, tuple[Label, str]]]:
    """Every output that a target reads, passes on or compares: by whom, and which of whose."""
    graph = space.graph
    names = {
        (item.state, item.output): (built.label, name)
        for built in graph.targets.values()
        for name, one in built.outputs.items()
        for item in one.items
        if type(item) is Product and graph.states[item.state].label == built.label
    }
    read = [(state.label, one) for state in graph.states for one in state.inputs.values()]
    read += [(built.label, one) for built in graph.targets.values() for one in built.outputs.values()]
    for by, one in read:
        for item in one.items:
            found = names.get((item.state, item.output)) if type(item) is Product else None
            if found is not None and found[0] != by:
                yield by, found


def _of_rule(rule: Rule) -> list[Any]:
    """Everything in a rule that may hold expressions."""
    return [rule.outputs, *(_of_template(template) for template in rule.states.values())]


def _of_template(state: StateTemplate) -> list[Any]:
    return [
        state.each,
        state.when,
        state.with_,
        state.inputs,
        state.outputs,
        state.env,
        state.secrets,
        state.stage,
        state.timeout,
    ]


def _parts(root: str, values: Iterable[Any]) -> set[str]:
    """The second names that expressions read below a first one; "" where they read it whole."""
    read = set().union(*map(names_in, values))
    return {name.partition(".")[2].partition(".")[0] for name in read if name.partition(".")[0] == root}


def _imported(module: Module) -> set[str]:
    """Every name that a module may import a module by; `_COMPUTED` where a name may be computed."""
    found, _ = imports(module.source, module.path, module.name)
    names = {name for one in found for name in (one.name, *(f"{one.name}.{taken}" for taken in one.taken))}
    is_computed = "__import__" in module.source or any(name.partition(".")[0] == "importlib" for name in names)
    return {*names, _COMPUTED} if is_computed else names


def _is_used(name: str, used: set[str]) -> bool:
    """Whether a module is imported: by its name, as the package of another one, or by `*`."""
    package = name.rpartition(".")[0]
    return name in used or any(one.startswith(name + ".") for one in used) or f"{package}.*" in used


def _entries(given: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The entries of `modules:`, each with its pointer."""
    if isinstance(given, list):
        yield from ((("modules", number), entry) for number, entry in enumerate(given))
    else:
        yield ("modules",), given


def _files(space: Linted, target: Target, entry: Any) -> list[str]:
    """The files that an entry stands for, as paths of the workspace."""
    if isinstance(entry, dict):
        return space.catalog.glob(target.label.package, entry["glob"], entry["exclude"])
    if not is_label(entry):
        return [entry]
    found = space.graph.targets[named(target, entry)].outputs.values()
    return [item.path for one in found for item in one.items if isinstance(item, Source)]
