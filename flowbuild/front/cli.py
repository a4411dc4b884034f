"""The command line: every command and flag, and the exit code of whatever happens.

Knows nothing of how a command does its work: bodies are imported when they are called, since importing all of them
would cost more than most builds. `flowbuild LABEL...` is short for `flowbuild build LABEL...`.

Errors:  those of `guard`; what typer refuses is BadFlag.
"""

from __future__ import annotations

from typing import Annotated

import typer
from typer.exceptions import TyperException

from flowbuild.core.errors import BadFlag
from flowbuild.core.suggest import nearest
from flowbuild.front import bundle, cache, executor, ir, key, runs
from flowbuild.front.arguments import FLAGS
from flowbuild.front.flags import (
    LOOSE,
    Attempts,
    Channel,
    Color,
    Continue,
    Directory,
    Durability,
    Engine,
    EventProfile,
    ExecutorPath,
    Force,
    Jobs,
    Json,
    Labels,
    OnlyProfile,
    OnlyScenario,
    Out,
    Policy,
    Quiet,
    RuntimeConfig,
    Sets,
    SkipTags,
    Strict,
    Verbose,
    requested,
)
from flowbuild.front.guard import guarded
from flowbuild.version import __version__

app = typer.Typer(
    name="flowbuild",
    help="Build what is declared: labels are built, tests are tested, runs are committed.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(runs.app, name="runs")
app.add_typer(cache.app, name="cache")
app.add_typer(bundle.app, name="bundle")
app.add_typer(key.app, name="key")
app.add_typer(executor.app, name="executor")
app.add_typer(ir.app, name="ir")
app.add_typer(ir.verify_app, name="verify")


@app.command(context_settings=LOOSE)
def build(
    labels: Labels,
    directory: Directory = "",
    sets: Sets = [],  # noqa: B006  typer reads the default and never changes it
    policy: Policy = "build",
    channel: Channel = "direct",
    force: Force = [],  # noqa: B006
    jobs: Jobs = None,
    keep_going: Continue = "never",
    durability: Durability = "commit",
    strict: Strict = False,
    only_profile: OnlyProfile = [],  # noqa: B006
    only_scenario: OnlyScenario = [],  # noqa: B006
    skip_tags: SkipTags = [],  # noqa: B006
    event_profile: EventProfile = None,
    attempts: Attempts = None,
    out: Out = None,
    engine: Engine = None,
    executor_path: ExecutorPath = None,
    runtime_config: RuntimeConfig = None,
    json: Json = False,
    color: Color = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Build targets, and commit the bundles of runs. The default command."""
    from flowbuild.front.build import build as perform

    return perform(requested("build", locals()))


@app.command(context_settings=LOOSE)
def test(
    labels: Labels,
    directory: Directory = "",
    sets: Sets = [],  # noqa: B006
    channel: Channel = "direct",
    force: Force = [],  # noqa: B006
    jobs: Jobs = None,
    keep_going: Continue = "dependencies-successful",
    update_goldens: Annotated[bool, typer.Option("--update-goldens", help="Accept what was built.")] = False,
    junit: Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML for CI.")] = None,
    engine: Engine = None,
    executor_path: ExecutorPath = None,
    runtime_config: RuntimeConfig = None,
    json: Json = False,
    color: Color = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run golden and other test targets."""
    from flowbuild.front.test import test as perform

    return perform(requested("test", locals()), update_goldens, junit)


@app.command(context_settings=LOOSE)
def explain(
    labels: Labels,
    directory: Directory = "",
    sets: Sets = [],  # noqa: B006
    channel: Channel = "direct",
    force: Force = [],  # noqa: B006
    skip_tags: SkipTags = [],  # noqa: B006
    engine: Engine = None,
    executor_path: ExecutorPath = None,
    runtime_config: RuntimeConfig = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Say what would run, and why, field by field. Performs nothing."""
    from flowbuild.front.explain import explain as perform

    return perform(requested("explain", {**locals(), "policy": "dry"}))


@app.command(context_settings=LOOSE)
def why(label: Annotated[str, typer.Argument(metavar="LABEL")], directory: Directory = "", json: Json = False) -> int:
    """Say why a target ran, or did not run, last time."""
    from flowbuild.front.why import why as perform

    return perform(requested("why", {**locals(), "labels": [label]}))


@app.command(context_settings=LOOSE)
def outputs(labels: Labels, directory: Directory = "", json: Json = False) -> int:
    """Print the paths of what targets built."""
    from flowbuild.front.listing import outputs as perform

    return perform(requested("outputs", locals()))


@app.command(name="list")
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="targets, rules, templates, engines, registries, plans, profiles or probes."
        ),
    ] = "targets",
    directory: Directory = "",
    json: Json = False,
) -> int:
    """List what a workspace declares."""
    from flowbuild.front.listing import list_ as perform

    return perform(requested("list", locals()), kind)


@app.command()
def describe(
    name: Annotated[str, typer.Argument(metavar="RULE|TEMPLATE|LABEL")], directory: Directory = "", json: Json = False
) -> int:
    """Describe a rule with its attributes, a template with its params, or a target with its states."""
    from flowbuild.front.listing import describe as perform

    return perform(requested("describe", locals()), name)


@app.command(context_settings=LOOSE)
def lint(
    labels: Annotated[list[str], typer.Argument(metavar="[LABEL...]", help="Everything by default.")] = [],  # noqa: B006
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Say what would build, and is probably not what was meant. Performs nothing."""
    from flowbuild.front.lint import lint as perform

    return perform(requested("lint", {**locals(), "policy": "dry"}))


@app.command()
def schema(
    name: Annotated[str, typer.Argument(metavar="[RULE|build|workspace]", help="Whose schema; build by default.")] = "",
    directory: Directory = "",
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Write into this directory.")] = None,
) -> int:
    """Print JSON Schemas of BUILD.yaml, flowbuild.yaml and rules, for editors."""
    from flowbuild.front.schema import schema as perform

    return perform(requested("schema", locals()), name)


@app.command()
def new(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="`flowbuild list templates` lists them.")],
    place: Annotated[str, typer.Argument(metavar="DIR", help="The directory to put the files into.")],
    given: Annotated[list[str], typer.Option("-D", metavar="NAME=VALUE", help="Set a param of the template.")] = [],  # noqa: B006
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    directory: Directory = "",
    json: Json = False,
) -> int:
    """Make new files from a template: a workspace, a package, a rule."""
    from flowbuild.front.new import new as perform

    return perform(requested("new", locals()), template, place, given, overwrite)


@app.command()
def clean(
    directory: Directory = "",
    cache: Annotated[bool, typer.Option("--cache", help="Remove remembered work too.")] = False,
    json: Json = False,
) -> int:
    """Remove shown outputs, stages and logs. Committed bundles stay."""
    from flowbuild.front.listing import clean as perform

    return perform(requested("clean", locals()), cache)


@app.command(name="compile", context_settings=LOOSE)
def compile_(
    labels: Labels,
    directory: Directory = "",
    emit_ir: Annotated[bool, typer.Option("--emit-ir", help="Write Flow IR and the manifest.")] = False,
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Write below it; out/dsl by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Remove Flow IR and the manifest first.")] = False,
    clean_all: Annotated[bool, typer.Option("--clean-all", help="Remove all of DIR first; needs --yes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, remove it.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write flows as Flow IR, with their policies, triggers and a manifest."""
    from flowbuild.front.flow_compile import compile_ as perform

    given = {name: value for name, value in locals().items() if name in ("labels", "directory", "out", "json", "quiet")}
    return perform(requested("compile", given), emit_ir=emit_ir, force=force, clean=clean, clean_all=clean_all, yes=yes)


@app.command()
def doctor(directory: Directory = "", json: Json = False, color: Color = "auto") -> int:
    """Say what this host can isolate, flush, lock and watch, and what is missing."""
    from flowbuild.front.doctor import doctor as perform

    return perform(requested("doctor", locals()))


@app.command()
def status(directory: Directory = "", json: Json = False) -> int:
    """Say what this host enforces, and which tools it has."""
    from flowbuild.front.status import status as perform

    return perform(requested("status", locals()))


@app.command()
def version() -> int:
    """Print the version."""
    print(f"flowbuild {__version__}")
    return 0


def ordered(argv: list[str]) -> list[str]:
    """The command's word first: `-C dir //x` and `-C dir build //x` both become `build -C dir //x`."""
    if not argv or argv[0] in ("-h", "--help", "--install-completion", "--show-completion"):
        return argv
    groups = {group.name for group in app.registered_groups if group.name}
    known = groups | {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    place = 0
    while place < len(argv):
        word = argv[place]
        if word in FLAGS:
            place += 1 if FLAGS[word][1] in ("switch", "count") else 2
        elif word.startswith("-") and not word.startswith(("-//", "-:")):
            place += 1
        else:
            break
    if place < len(argv) and argv[place] in known:
        end = place + 2 if argv[place] in groups else place + 1  # `-C dir runs list` is `runs list -C dir`
        return [*argv[place:end], *argv[:place], *argv[end:]]
    if place < len(argv) and not argv[place].startswith(("//", ":", "-")):
        near = nearest(argv[place], sorted(known))
        labels = "targets are written as labels, such as //package:target; `flowbuild --help` lists commands"
        remedy = f"did you mean {near!r}?" if near else labels
        raise BadFlag(f"there is no command {argv[place]!r}", remedy=remedy)
    return ["build", *argv]


def main(argv: list[str]) -> int:
    """Run a command line; the exit code."""
    return guarded(lambda: _run(argv), argv)


def _run(argv: list[str]) -> int:
    try:
        return app(ordered(argv), prog_name="flowbuild", standalone_mode=False) or 0
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # the library's own answer to it is exit 1
            raise end.__context__ from None
        raise
    except TyperException as error:
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        raise BadFlag(said, remedy="`flowbuild --help` lists commands and flags") from None
