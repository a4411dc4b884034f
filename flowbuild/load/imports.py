"""The imports of a handler, as its sources say them: what is declared, what is installed, what is neither.

Knows nothing of targets, and runs no code of anyone's. An import is decided in this order: a declared module, the
standard library, an installed distribution, a file of the workspace that is not declared (a fault). Anything else may
be an optional import; at run time it is missing for all to see.

Shapes:  import names are dotted: the path of a module within its own package.
Errors:  BadAttribute, UndeclaredModule; they are returned, to be reported together.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from flowbuild.core.errors import BadAttribute, FlowError, Location, UndeclaredModule


class Module(NamedTuple):
    """A source that a handler may import, itself included. `path` is from the workspace's root."""

    path: str
    package: str
    source: str

    @property
    def name(self) -> str:
        return import_name(self.path, self.package)


class Import(NamedTuple):
    """One import statement: a dotted name, its place, and the names taken from it, which may be modules as well."""

    name: str
    at: Location
    taken: tuple[str, ...] = ()


class Resolved(NamedTuple):
    """What the imports of a handler come to: faults, and the top-level names of distributions."""

    faults: tuple[FlowError, ...]
    distributions: tuple[str, ...]


def import_name(path: str, package: str) -> str:
    """The name that a module of a package is imported by: its path within the package, dots for slashes."""
    if package and not path.startswith(f"{package}/"):
        raise ValueError(f"{path!r} is not in the package {package!r}")
    inner, _ = os.path.splitext(path[len(package) + 1 :] if package else path)
    above, _, name = inner.rpartition("/")
    return (above if name == "__init__" else inner).replace("/", ".")


def imports(source: str, path: str, name: str = "") -> tuple[list[Import], list[FlowError]]:
    """Every import of a source, wherever it stands, and the relative ones that lead out of its package."""
    parsed = tree(source, path)
    if isinstance(parsed, FlowError):
        return [], [parsed]
    found: list[Import] = []
    faults: list[FlowError] = []
    for node in _statements(parsed):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, place(source, path, alias)) for alias in node.names]
        else:
            base = _base(node, path, name)
            if base is None:
                remedy = "import it by its path from the package, without the leading dot"
                message = f"a relative import in a module that is in no package of Python's: {_said(node)}"
                faults.append(BadAttribute(message, remedy=remedy, location=place(source, path, node)))
            else:
                found.append(Import(base, place(source, path, node), tuple(alias.name for alias in node.names)))
    return found, faults


def resolve(
    handler: Module,
    modules: Sequence[Module],
    workspace: Path,
    is_installed: Callable[[str], bool],
    absent: Callable[[str], None] = lambda path: None,
) -> Resolved:
    """What a handler and its declared modules import. `is_installed` is asked about top-level names; `absent` is told
    of the workspace's files that an import would mean if they were there."""
    faults = list(_names(handler, modules))
    declared = {module.name for module in (handler, *modules)}
    distributions: set[str] = set()
    for module in (handler, *modules):
        found, wrong = imports(module.source, module.path, module.name)
        faults += wrong
        for item in found:
            top = item.name.partition(".")[0]
            if not _is_declared(item.name, declared):
                if top in sys.stdlib_module_names or top == "flowbuild":
                    continue
                if is_installed(top):
                    distributions.add(top)
                    continue
            faults += _undeclared(item, module, declared, workspace, absent)
    return Resolved(tuple(faults), tuple(sorted(distributions)))


def locate(module: str, search: Sequence[str] | None = None) -> Path | None:
    """The source of an installed module, found without importing any part of it."""
    inner = Path(*module.split("."))
    for entry in sys.path if search is None else search:
        for candidate in (Path(entry, inner).with_suffix(".py"), Path(entry, inner, "__init__.py")):
            if candidate.is_file():
                return candidate
    from importlib.util import find_spec  # an editable install may only be known to a finder

    top, _, rest = module.partition(".")
    try:
        spec = find_spec(top) if search is None else None
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    return locate(rest, [str(place) for place in spec.submodule_search_locations or ()])


def tree(source: str, path: str) -> ast.Module | FlowError:
    """The syntax of a source, or the fault that it has none."""
    try:
        return _parsed(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 0
        text = (getattr(error, "text", None) or "").rstrip("\n")
        where = Location(path, line, getattr(error, "offset", None) or 0, text)
        return BadAttribute(f"not valid Python: {getattr(error, 'msg', None) or error}", location=where)


# Thousands of targets may have one handler file: it is read as Python once.
@lru_cache(maxsize=256)
def _parsed(source: str) -> ast.Module:
    with warnings.catch_warnings():  # whether it is Python is not for -W to say
        warnings.simplefilter("ignore")
        return ast.parse(source)


@lru_cache(maxsize=256)
def _statements(parsed: ast.Module) -> tuple[ast.Import | ast.ImportFrom, ...]:
    return tuple(node for node in ast.walk(parsed) if isinstance(node, (ast.Import, ast.ImportFrom)))


def place(source: str, path: str, node: ast.stmt | ast.alias | ast.arg | ast.expr) -> Location:
    """Where a piece of a source stands, with the line itself."""
    text = source.splitlines()[node.lineno - 1]
    before = text.encode()[: node.col_offset].decode(errors="replace")  # the parser counts bytes
    return Location(path, node.lineno, len(before) + 1, text)


def _base(node: ast.ImportFrom, path: str, name: str) -> str | None:
    """The absolute name that `from … import` starts at; None when its dots lead out."""
    if not node.level:
        return node.module or ""
    parts = name.split(".") if name else []
    if PurePosixPath(path).name != "__init__.py":
        parts = parts[:-1]
    if len(parts) < node.level:
        return None
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _said(node: ast.ImportFrom) -> str:
    return f"from {'.' * node.level}{node.module or ''} import {', '.join(alias.name for alias in node.names)}"


def _names(handler: Module, modules: Sequence[Module]) -> Iterator[FlowError]:
    """Names that would hide something: another module of the target, or one of Python's own."""
    seen: dict[str, str] = {handler.name: handler.path}
    for module in modules:
        other = seen.setdefault(module.name, module.path)
        if other != module.path:
            yield BadAttribute(f"{other} and {module.path} would both be imported as {module.name!r}")
    for module in (handler, *modules):
        if module.name in sys.stdlib_module_names:
            remedy = "rename the file"
            yield BadAttribute(f"{module.path} has the name of Python's own module {module.name!r}", remedy=remedy)


def _is_declared(name: str, declared: set[str]) -> bool:
    """Whether a name is that of a declared module, or of a directory that only leads to one."""
    return name in declared or any(other.startswith(name + ".") for other in declared)


def _undeclared(
    item: Import, module: Module, declared: set[str], workspace: Path, absent: Callable[[str], None]
) -> Iterator[FlowError]:
    """The workspace's files that an import asks for, and that are not declared."""
    parts = item.name.split(".")
    asked = [".".join(parts[: n + 1]) for n in range(len(parts))]
    for name in [*asked, *(f"{item.name}.{taken}" for taken in item.taken)]:
        # A name that only leads to a declared one may be a plain directory, but not a package that was forgotten.
        starts = (module.package,) if _is_declared(name, declared) else (module.package, "")
        file = None if name in declared else _file(name, starts, workspace, absent)
        if file is not None:
            entry = _entry(file, module.package)
            yield UndeclaredModule(
                f"imports workspace module {name!r} ({file}), which is not declared",
                remedy=f"add {entry} to modules:",
                location=item.at,
            )
            return


def _file(name: str, starts: tuple[str, ...], workspace: Path, absent: Callable[[str], None]) -> str | None:
    """The file of the workspace that a name stands for, seen from one of some directories."""
    inner = name.replace(".", "/")
    for start in dict.fromkeys(starts):
        for ending in (".py", "/__init__.py"):
            path = PurePosixPath(start, inner + ending)
            if (workspace / path).is_file():
                return str(path)
            absent(str(path))
    return None


def _entry(file: str, package: str) -> str:
    """How `modules:` names a file: by its path when it is the package's, else by the label of its directory."""
    path = PurePosixPath(file)
    if path.is_relative_to(package):
        return str(path.relative_to(package))
    return f"a target of //{path.parent} with {path.name}" if path.parent.name else f"a target of // with {path.name}"
