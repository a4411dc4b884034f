"""The Python code behind a state: its handler checked against its arguments, its modules and distributions found.

Knows nothing of digests, and runs no code: everything is read from the sources.

Errors:  UserError with file and line; UndeclaredModule for a workspace module that `modules` does not name.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowbuild.core.errors import BadAttribute, BadPath, Faults, FlowError, raise_all
from flowbuild.graph.handed import undeclared
from flowbuild.graph.scope import Scope
from flowbuild.graph.state import Code, File, Source
from flowbuild.load.handler import check, parse
from flowbuild.load.imports import Module, locate, resolve

# The context keys that a state reads, and those that it writes.
Keys = tuple[tuple[str, ...], tuple[str, ...]]


def code_of(scope: Scope, text: str, modules: Sequence[File], given: Sequence[str], keys: Keys | None = None) -> Code:
    """The code that a handler's text names. `given` are the arguments that it will be called with."""
    try:
        handler = parse(text)
        if handler.module is not None:
            return _installed(scope, handler.module, handler.function, given, keys)
        path = str(handler.file)
        source = _read(scope, path, "handler")
        checked = check(source, path, handler.function, given)
        raise_all([*checked.faults, *(undeclared(checked.uses, *keys) if keys else ())])
        declared = [_module(scope, file) for file in modules]
        own = Module(path, scope.package, source)
        found = resolve(
            own, declared, scope.catalog.workspace.root, scope.catalog.installed.is_installed, scope.catalog.seen.absent
        )
        raise_all(found.faults)
    except FlowError as error:
        raise scope.fault(error, "handler") from None
    except Faults as several:
        raise_all(scope.fault(error, "handler") for error in several.exceptions if isinstance(error, FlowError))
    modules_ = {one.name: one.path for one in declared}
    return Code(path, None, handler.function, modules_, found.distributions, checked.doors)


def _installed(scope: Scope, module: str, function: str, given: Sequence[str], keys: Keys | None) -> Code:
    """A handler of an installed module: its distribution stands for all that it imports."""
    place = locate(module)
    if place is None:
        raise BadAttribute(f"no module {module!r} is installed", remedy="a handler of this package is file.py:function")
    scope.catalog.seen.file(str(place))
    checked = check(place.read_text(encoding="utf-8"), str(place), function, given)
    raise_all([*checked.faults, *(undeclared(checked.uses, *keys) if keys else ())])
    top = module.partition(".")[0]
    return Code(None, module, function, {}, () if top == "flowbuild" else (top,), checked.doors)


def _module(scope: Scope, file: File) -> Module:
    if not isinstance(file.item, Source) or not file.item.path.endswith(".py"):
        raise scope.fault(BadAttribute(f"{file} is no Python source of the workspace"), "modules")
    path = file.item.path
    return Module(path, scope.catalog.owner(path), _read(scope, path, "modules"))


def _read(scope: Scope, path: str, attribute: str) -> str:
    scope.catalog.seen.file(path)
    place = scope.catalog.workspace.root / path
    if place.is_fifo():  # opening it would wait for its writer
        raise scope.fault(BadPath(f"{path} is not a file"), attribute)
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"can't be read: {error.strerror}"
        raise scope.fault(BadPath(f"{path} {why}"), attribute) from None
