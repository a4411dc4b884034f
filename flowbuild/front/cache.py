"""`flowbuild cache`: what is remembered. A thin table of commands; their bodies are imported when they are called."""

from __future__ import annotations

from typing import Annotated

import typer

from flowbuild.front.flags import Directory, Json, requested

app = typer.Typer(
    name="cache",
    help="Look at what is remembered, check it, and take out what nothing names.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")]
Days = Annotated[float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Only what is older.")]


@app.command()
def stats(directory: Directory = "", json: Json = False) -> int:
    """Say how much is remembered, and where."""
    from flowbuild.front.upkeep import stats as perform

    return perform(requested("cache", locals()))


@app.command()
def verify(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Fold the memo anew from journals, too.")] = False,
    dry_run: Dry = False,
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Hash every object, and remove what is damaged, so that it is made anew. Exit 5 if something was."""
    from flowbuild.front.upkeep import verify as perform

    return perform(requested("cache", locals()), is_dry=dry_run, rebuilds=rebuild)


@app.command()
def gc(older_than: Days = None, dry_run: Dry = False, directory: Directory = "", json: Json = False) -> int:
    """Remove objects that no memo record and no run names; with an age, old results that no run names, too."""
    from flowbuild.front.upkeep import gc as perform

    return perform(requested("cache", locals()), days=older_than, is_dry=dry_run)
