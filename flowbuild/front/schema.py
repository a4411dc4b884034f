"""The command `schema`: JSON Schemas for editors, printed or written into a directory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flowbuild.core.errors import UnknownRule
from flowbuild.core.suggest import did_you_mean
from flowbuild.front.arguments import Request
from flowbuild.load.rulefile import load_rules
from flowbuild.load.schema import schemas
from flowbuild.load.workspace import find
from flowbuild.store.files import atomic_write, ensure_directory


def schema(request: Request, name: str) -> int:
    """Print one schema (`build` if none is named), or with `--out` write it, or all of them."""
    workspace = find(Path(request.directory or "."))
    known = schemas(load_rules(workspace, lambda directory: None))
    if name and name not in known:
        raise UnknownRule(
            f"there is no schema {name!r}", remedy=did_you_mean(name, known) or "a rule, build, workspace"
        )
    if request.out is None:
        sys.stdout.write(_text(known[name or "build"]))
        return 0
    directory = Path(request.out)
    ensure_directory(directory)
    for one in [name] if name else known:
        path = directory / f"{one}.schema.json"
        atomic_write(path, _text(known[one]).encode())
        print(path)
    return 0


def _text(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
