"""The runtime: which engine performs the steps of flows, as flowbuild.yaml, another file or flags say.

Knows nothing of engines but their names.

Shapes:  Runtime, with every default filled in. A file of its own holds one mapping, `runtime:`.
Errors:  BadYaml, BadAttribute, UnknownName: all of a file at once; LanguageMismatch; BadFlag for a file that is not
         there.
Source:  seed 000, section 2.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowbuild.core.errors import BadAttribute, BadFlag, LanguageMismatch
from flowbuild.load.attributes import Attribute, Checker, expressions
from flowbuild.load.document import parse_file
from flowbuild.load.position import raise_found

PYTHON, PROC = "python", "proc"

RUNTIME = {
    "engine": Attribute("engine", "string", "python, proc, or the name of an installed engine", default=PYTHON),
    "language": Attribute("language", "string", "the language that steps are written in", default="python"),
    "plugins_language": Attribute("plugins_language", "string", "that of plugins; it must be the same"),
    "executor_path": Attribute("executor_path", "command", "the executor: a program, or a command with arguments"),
    "timeout": Attribute("timeout", "seconds", "seconds that an executor has for one run", default=120),
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What performs the steps of flows. `executor` is an argv, empty where none is named."""

    engine: str = PYTHON
    language: str = "python"
    plugins_language: str = "python"
    executor: tuple[str, ...] = ()
    timeout: float = 120.0

    def check(self) -> None:
        """Refuse what contradicts itself, once every place that may say something has said it."""
        if self.plugins_language != self.language:
            said = f"plugins_language is {self.plugins_language!r} and language {self.language!r}"
            raise LanguageMismatch(f"runtime: {said}", remedy="make the two agree")
        if self.engine == PROC and not self.executor:
            remedy = "name it: `runtime: {executor_path: ...}`, or --executor-path"
            raise BadAttribute("runtime: engine proc needs an executor", remedy=remedy)


def read(values: Mapping[str, Any], base: Path) -> Runtime:
    """The runtime that checked values say. Files are relative to `base`."""
    language = values["language"]
    words = values["executor_path"] or ()
    return Runtime(
        values["engine"], language, values["plugins_language"] or language, located(words, base), values["timeout"]
    )


def load_runtime(file: Path, shown: str) -> Runtime:
    """The runtime that a file of its own says."""
    try:
        parsed = parse_file(file, shown)
    except FileNotFoundError:
        raise BadFlag(f"there is no file {shown}", remedy="--runtime-config names a file with `runtime:`") from None
    to = Checker("")
    top = to.fields({"runtime": Attribute("runtime", "map", required=True)}, parsed.doc, (), shown)
    found = to.fields(RUNTIME, top["runtime"] if isinstance(top["runtime"], dict) else {}, ("runtime",), "runtime")
    for pointer, text in expressions(parsed.doc, ()):
        to.fault(pointer, f"{text[:60]!r}: settings hold no expressions", "write the value")
    raise_found(to.findings, file, shown)
    return read(found, file.resolve().parent)


def chosen(runtime: Runtime, engine: str | None, executor_path: str | None, base: Path) -> Runtime:
    """The runtime with what flags say instead. A path with spaces that is a file is one word."""
    if executor_path is not None:
        is_file = (base / os.path.expanduser(executor_path)).is_file()
        words = [executor_path] if is_file else shlex.split(executor_path)
        runtime = replace(runtime, executor=located(words, base))
    return runtime if engine is None else replace(runtime, engine=engine)


def located(words: list[str] | tuple[str, ...], base: Path) -> tuple[str, ...]:
    """An argv whose files are absolute: an executor runs elsewhere. Words that are no files stay as they are."""
    first = [os.path.expanduser(word) for word in words[:1]]
    return tuple(str(base / word) if (base / word).is_file() else word for word in (*first, *words[1:]))
