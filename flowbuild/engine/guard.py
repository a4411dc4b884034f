"""Imports of a handler: declared modules come from the stage, and no other module of the workspace comes at all.

Knows nothing of tasks or pipes. It stands first among the finders and asks the others itself, so that neither an
editable install nor a search path that holds the workspace gets around it. Standard library only: workers import it.

Errors:  Undeclared, a ModuleNotFoundError: who asks "is it there?" gets no for an answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType

INSTALLED = ("site-packages", "dist-packages")
LIBRARY = os.path.dirname(os.path.realpath(os.__file__))


class Undeclared(ModuleNotFoundError):
    """A workspace module that the target does not declare."""


class Fresh(SourceFileLoader):
    """Loads a staged source: compiled by us, never from or into a cache beside it."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        data = self.get_data(path)
        if data not in _COMPILED:
            if len(_COMPILED) >= KEPT:
                _COMPILED.clear()
            _COMPILED[data] = compile(data, path, "exec", dont_inherit=True)
        return _placed(_COMPILED[data], path)


def _placed(code: CodeType, path: str) -> CodeType:
    """The same code, said to come from this file."""
    if code.co_filename == path:
        return code
    inner = tuple(_placed(one, path) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_filename=path, co_consts=inner)


# What many tasks of one worker have in common, by its source; never what it did.
KEPT = 64
_COMPILED: dict[bytes, CodeType] = {}


class Guard:
    """A finder for one task. `modules` maps import names to staged files; `root` is the stage's."""

    def __init__(self, modules: Mapping[str, str], root: str, workspace: str, package: str) -> None:
        self.modules = modules
        self.root = root
        self.workspace = os.path.realpath(workspace)
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The import protocol's question."""
        if name in self.modules:
            return self._declared(name)
        if any(declared.startswith(name + ".") for declared in self.modules):
            namespace = ModuleSpec(name, None, is_package=True)
            namespace.submodule_search_locations = []
            return namespace
        if name.partition(".")[0] == "flowbuild":
            return None
        spec = self._elsewhere(name, path, target)
        for file in _places(spec) if spec else self._candidates(name):
            if (shown := self._of_workspace(file)) is not None:
                raise Undeclared(self._message(name, shown), name=name)
        return spec

    def _declared(self, name: str) -> ModuleSpec | None:
        file = self.modules[name]
        places = [os.path.dirname(file)] if os.path.basename(file) == "__init__.py" else None
        return spec_from_file_location(name, file, loader=Fresh(name, file), submodule_search_locations=places)

    def _elsewhere(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _of_workspace(self, file: str) -> str | None:
        """The path in the workspace that a found file has there; None when it is none of the workspace's."""
        real = os.path.realpath(file)
        if real.startswith(self.root + os.sep):
            shown = os.path.relpath(real, self.root)
            return shown if os.path.exists(os.path.join(self.workspace, shown)) else None
        if not real.startswith(self.workspace + os.sep) or real.startswith(os.path.dirname(self.root) + os.sep):
            return None  # what a handler made in its own temporary directory is its own
        if real.startswith(LIBRARY + os.sep) or any(_below(real, entry) for entry in sys.path):
            return None
        return os.path.relpath(real, self.workspace)

    def _candidates(self, name: str) -> Iterator[str]:
        """The files of the workspace that an import, which found nothing, may have meant."""
        inner = name.replace(".", os.sep)
        for directory in dict.fromkeys((self.package, "")):
            stem = os.path.join(self.workspace, directory, inner)
            for file in (stem + ".py", os.path.join(stem, "__init__.py")):
                if os.path.isfile(file):
                    yield file
            if os.path.isdir(stem) and any(entry.endswith(".py") for entry in os.listdir(stem)):
                yield stem

    def _message(self, name: str, shown: str) -> str:
        what = f"workspace module {name!r} ({shown}), which is not declared; add it to modules:"
        return f"{self._importer()} imports {what}"

    def _importer(self) -> str:
        """The place in a staged file that the import was asked from."""
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            file = frame.f_code.co_filename
            if file.startswith(self.root + os.sep):
                return f"{os.path.relpath(file, self.root)}:{frame.f_lineno}"
        return "a distribution"


def _places(spec: ModuleSpec) -> list[str]:
    """Where a found module lies: its file, or the directories of a namespace."""
    if spec.origin and spec.has_location:
        return [spec.origin]
    return list(spec.submodule_search_locations or ())


def _below(real: str, entry: str) -> bool:
    """Whether a file lies below a directory of distributions. A virtual environment may be in the workspace."""
    return os.path.basename(entry) in INSTALLED and real.startswith(os.path.realpath(entry) + os.sep)
