"""The command `compile`: flow targets to Flow IR and what goes with it."""

from __future__ import annotations

from pathlib import Path

from flowbuild.core.errors import BadFlag
from flowbuild.front import flow_files
from flowbuild.front.arguments import Request
from flowbuild.front.build import Build
from flowbuild.front.console import console

DIRECTORY = "out/dsl"


def compile_(request: Request, *, emit_ir: bool, force: bool, clean: bool, clean_all: bool, yes: bool) -> int:
    """Write the files of the flows among these labels."""
    if clean_all and not yes:
        raise BadFlag("--clean-all removes the whole output directory", remedy="add --yes if that is meant")
    out = console(request)
    with Build(request, out) as build:
        directory = build.start / (request.out or DIRECTORY)
        texts = flow_files.files(flow_files.flows(build.catalog, build.labels), emit_ir)
        if clean or clean_all:
            flow_files.clean(directory, build.workspace.root, clean_all)
        flow_files.write(directory, texts, force)
    for path in texts:
        out.emit({"written": str(Path(request.out or DIRECTORY) / path)})
        out.line(str(Path(request.out or DIRECTORY) / path))
    return 0
