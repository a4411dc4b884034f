"""`flowbuild executor check`: does a program keep to REP v0.1? One row a check, exit 1 when one fails.

Knows nothing of the checks themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flowbuild.core.errors import BadFlag
from flowbuild.front.flags import Directory, Json

app = typer.Typer(name="executor", help="Help for who writes executors.", no_args_is_help=True, rich_markup_mode=None)


# Words after the first are the executor's, whatever they look like.
@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def check(
    argv: Annotated[
        list[str], typer.Argument(metavar="LABEL|ARGV...", help="The executor: a target, or a program and its words.")
    ],
    step: Annotated[str | None, typer.Option("--step", metavar="KIND", help="The step kind to try.")] = None,
    with_: Annotated[str, typer.Option("--with", metavar="JSON", help="What that step gets.")] = "{}",
    failing: Annotated[
        str | None, typer.Option("--failing", metavar="JSON", help="With what it fails; else failing is not tried.")
    ] = None,
    directory: Directory = "",
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="For each reply.")] = 10.0,
    as_json: Json = False,
) -> int:
    """Try the whole contract of REP v0.1 on an executor, and print a table."""
    from flowbuild.engine.conformance import CHECKS, Trial, checked

    start = Path(directory or ".").resolve()
    argv = _argv(argv, start)
    given, bad = _object("--with", with_), None if failing is None else _object("--failing", failing)
    width, failed = max(map(len, CHECKS)), 0
    for finding in checked(Trial(tuple(argv), start, timeout, step, given, bad)):
        failed += finding.verdict == "failed"
        if as_json:
            print(json.dumps(finding._asdict()), flush=True)
        else:
            print(f"  {finding.verdict:<7}  {finding.name:<{width}}  {finding.detail}", flush=True)
    if not as_json:
        print(f"{failed} of {len(CHECKS)} failed" if failed else "it keeps to REP v0.1")
    return 1 if failed else 0


def _argv(words: list[str], start: Path) -> list[str]:
    """The words of a command; a label stands for the command that its target declares."""
    if not words[0].startswith("//"):
        return words
    from flowbuild.front.executor_target import declared
    from flowbuild.front.flow_run import opened

    with opened(start) as session:
        return [*declared(session, words[0]).argv, *words[1:]]


def _object(flag: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadFlag(f"{flag} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadFlag(f"{flag} is no JSON object")
    return value
