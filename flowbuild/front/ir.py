"""The commands `ir run` and `verify online`: a compiled flow is run, and a JSON summary is printed.

Knows nothing of how it is run. Exit 0 when the flow completed, 1 when it failed; documents and inputs that are wrong
exit 2, engines that can't 3, and engines that break 4.

Source:  seed 000, section 4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flowbuild.core.errors import BadFlag
from flowbuild.core.label import is_label
from flowbuild.front.arguments import Request
from flowbuild.front.flags import Directory, Engine, ExecutorPath, RuntimeConfig, requested

DIRECTORY = "out/dsl"

app = typer.Typer(name="ir", help="Run compiled flows.", no_args_is_help=True, rich_markup_mode=None)
verify_app = typer.Typer(
    name="verify", help="Run flows to see whether they hold.", no_args_is_help=True, rich_markup_mode=None
)

Flow = Annotated[str, typer.Option("--flow", metavar="NAME", help="The flow, as the manifest names it.")]
Inputs = Annotated[str, typer.Option("--inputs", metavar="JSON|@FILE", help="Its inputs, one JSON object.")]


@app.command(name="run")
def ir_run(
    manifest: Annotated[str, typer.Option("--manifest", metavar="FILE", help="The manifest that `compile` wrote.")],
    flow: Flow,
    inputs: Inputs = "{}",
    engine: Engine = None,
    executor_path: ExecutorPath = None,
    runtime_config: RuntimeConfig = None,
    directory: Directory = "",
) -> int:
    """Run a flow of a manifest, and print a JSON summary."""
    request = requested("ir", locals())
    start = Path(directory or ".")
    return _run(request, start / manifest, flow, _inputs(inputs, start))


@verify_app.command(name="online")
def online(
    flow: Flow,
    more: Annotated[list[str], typer.Argument(metavar="[SOURCE]...", hidden=True)] = [],  # noqa: B006
    sources: Annotated[
        list[str], typer.Option("--sources", metavar="LABEL|DIR...", help="Compile the flows found there first.")
    ] = [],  # noqa: B006
    manifest: Annotated[str | None, typer.Option("--manifest", metavar="FILE", help="Run this one's flow.")] = None,
    inputs: Inputs = "{}",
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Where --sources compiles to.")] = DIRECTORY,
    engine: Engine = None,
    executor_path: ExecutorPath = None,
    runtime_config: RuntimeConfig = None,
    directory: Directory = "",
) -> int:
    """Compile flows if asked to, run one, and print a JSON summary."""
    request = requested("verify", locals())
    start = Path(directory or ".")
    given = _inputs(inputs, start)
    if sources:
        if manifest is not None:
            raise BadFlag("--sources writes a manifest, and --manifest names another", remedy="leave one of them out")
        _compile(directory, [*sources, *more], out)
    elif more:
        raise BadFlag(f"{more[0]!r} is no flag", remedy="sources stand behind --sources")
    shown = manifest or f"{out}/manifest.json"
    return _run(request, start / shown, flow, given, {"manifest": shown})


def _run(
    request: Request, manifest: Path, flow: str, inputs: dict[str, Any], more: dict[str, Any] | None = None
) -> int:
    from flowbuild.front.flow_run import opened, run
    from flowbuild.front.runtime import open_steps
    from flowbuild.graph.flow_ir import read_flow

    ir, start = read_flow(manifest, flow), Path(request.directory or ".").resolve()
    with opened(manifest.resolve().parent, start) as session:
        open_steps(session, start, request)
        result = run(session, ir, inputs)
    print(json.dumps(result.doc(flow, **(more or {})), indent=2, ensure_ascii=False))
    if result.signal is not None:
        return 128 + result.signal
    return 0 if result.status == "completed" else 1


def _compile(directory: str, sources: Sequence[str], out: str) -> None:
    from flowbuild.front.flow_compile import compile_

    start = Path(directory or ".").resolve()
    patterns = tuple(source if is_label(source) else _pattern(source, start) for source in sources)
    request = Request("compile", patterns, directory=directory, out=out, quiet=True)
    compile_(request, emit_ir=True, force=True, clean=False, clean_all=False, yes=False)


def _pattern(directory: str, start: Path) -> str:
    """A directory as the pattern of all targets in and below it."""
    from flowbuild.load.workspace import find_root

    path, root = (start / directory).resolve(), find_root(start)
    if not path.is_dir() or not path.is_relative_to(root):
        raise BadFlag(f"--sources {directory}: there is no such directory in the workspace", remedy="or give a label")
    plain = path.relative_to(root).as_posix()
    return "//..." if plain == "." else f"//{plain}/..."


def _inputs(text: str, start: Path) -> dict[str, Any]:
    """The inputs that somebody wrote, or the file that they named."""
    from flowbuild.core.errors import BadFlow
    from flowbuild.graph.flow_ir import read_json

    if text.startswith("@"):
        found = read_json(start / text[1:], "file of inputs")
    else:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadFlow(f"--inputs is no JSON: {error}", remedy="""write --inputs '{"name": "value"}'""") from None
    if not isinstance(found, dict):
        raise BadFlow("--inputs is a JSON object of names to values")
    return found
