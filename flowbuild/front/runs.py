"""`flowbuild runs`: what was run here. A thin table of commands; their bodies are imported when they are called."""

from __future__ import annotations

from typing import Annotated

import typer

from flowbuild.front.cache import Days, Dry
from flowbuild.front.flags import Directory, Json, Verbose, requested

app = typer.Typer(
    name="runs",
    help="List, show and compare runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Run = Annotated[str, typer.Argument(metavar="RUN|LABEL", help="A run id, its beginning, or a label: its LATEST.")]
Below = Annotated[str, typer.Option("--out", metavar="DIR", help="Where bundles were committed below.")]


@app.command(name="list")
def list_(
    labels: Annotated[list[str], typer.Argument(metavar="[LABEL...]", help="Only runs of these targets.")] = [],  # noqa: B006
    directory: Directory = "",
    out: Below = "out",
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """List bundles and evaluations, oldest first; `*` marks LATEST."""
    from flowbuild.front.history import list_ as perform

    return perform(requested("runs", locals()))


@app.command()
def show(run: Run, directory: Directory = "", out: Below = "out", json: Json = False, verbose: Verbose = False) -> int:
    """Show one run: status, what was performed, parameters, mismatches, paths."""
    from flowbuild.front.history import show as perform

    return perform(requested("runs", {**locals(), "labels": []}), run)


@app.command()
def log(
    run: Run,
    names: Annotated[bool, typer.Option("--artifacts", help="What it names instead, each with its kind.")] = False,
    directory: Directory = "",
    out: Below = "out",
    json: Json = False,
) -> int:
    """Print a run's journal, event by event; --json prints it as it stands."""
    from flowbuild.front.log import log as perform

    return perform(requested("runs", {**locals(), "labels": []}), run, lists_artifacts=names)


@app.command()
def replay(
    run: Run, directory: Directory = "", out: Below = "out", json: Json = False, verbose: Verbose = False
) -> int:
    """Perform a run again from its bundle alone, and say whether it comes to the same. Exit 1 if it does not."""
    from flowbuild.front.replay import replay as perform

    return perform(requested("runs", {**locals(), "labels": []}), run)


@app.command()
def resume(
    run: Run, directory: Directory = "", out: Below = "out", json: Json = False, verbose: Verbose = False
) -> int:
    """Go on with a run that was killed, where its journal ends."""
    from flowbuild.front.resume import resume as perform

    return perform(requested("runs", {**locals(), "labels": []}), run)


@app.command()
def cancel(run: Run, directory: Directory = "", out: Below = "out", json: Json = False) -> int:
    """End a run that is at work, from another terminal."""
    from flowbuild.front.cancel import cancel as perform

    return perform(requested("runs", {**locals(), "labels": []}), run)


@app.command()
def gc(
    labels: Annotated[list[str], typer.Argument(metavar="[LABEL...]", help="Only runs of these targets.")] = [],  # noqa: B006
    keep: Annotated[int, typer.Option("--keep", min=0, metavar="N", help="The newest N of each target stay.")] = 10,
    older_than: Days = None,
    dry_run: Dry = False,
    directory: Directory = "",
    out: Below = "out",
    json: Json = False,
) -> int:
    """Remove old runs; never LATEST, what is at work or damaged, nor what was killed after it asked the outside."""
    from flowbuild.front.upkeep import gc_runs as perform

    return perform(requested("runs", locals()), keep=keep, days=older_than, is_dry=dry_run)


@app.command()
def diff(
    old: Run,
    new: Run,
    first: Annotated[bool, typer.Option("--first", help="Only the first state where they part, both sides.")] = False,
    directory: Directory = "",
    out: Below = "out",
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Say what differs between two runs, and which inputs and options explain it. Exit 1 if they differ."""
    from flowbuild.front.difference import diff as perform

    return perform(requested("runs", {**locals(), "labels": []}), old, new, first)
