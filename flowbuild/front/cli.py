"""The command line: every command and flag, and the exit code of whatever happens.

Knows nothing of how a command does its work: bodies are imported when they are called, since importing all of them
would cost more than most builds. `flowbuild LABEL...` is short for `flowbuild build LABEL...`.

Errors:  those of `guard`; what typer refuses is BadFlag.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from flowbuild.core.errors import BadFlag
from flowbuild.core.suggest import did_you_mean, nearest
from flowbuild.front.arguments import FLAGS, Request
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

# Unknown words that look like flags reach us as arguments, because `-//x` is a pattern; `_patterns` sorts them out.
LOOSE = {"ignore_unknown_options": True}

Labels = Annotated[list[str], typer.Argument(metavar="LABEL...", help="Labels or patterns; -//x/... takes away.")]
Directory = Annotated[str, typer.Option("-C", "--directory", metavar="DIR", help="Start in this directory.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Color = Annotated[str, typer.Option("--color", metavar="WHEN", help="auto, always or never.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say only what went wrong.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
Sets = Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter.")]
Channel = Annotated[str, typer.Option("--channel", metavar="NAME", help="The door that actions are run by.")]
Force = Annotated[list[str], typer.Option("--force", metavar="LABEL", help="Perform this target anew.")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, metavar="N", help="Actions at once.")]
Continue = Annotated[
    str, typer.Option("--continue", metavar="MODE", help="never, dependencies-successful or always, after a failure.")
]
Durability = Annotated[str, typer.Option("--durability", metavar="LEVEL", help="What is flushed: none, commit, all.")]
Policy = Annotated[str, typer.Option("--policy", metavar="NAME", help="build, live or dry.")]
Strict = Annotated[bool, typer.Option("--strict", help="A partial run exits 1.")]
OnlyProfile = Annotated[list[str], typer.Option("--only-profile", metavar="ID", help="Run these profiles only.")]
OnlyScenario = Annotated[list[str], typer.Option("--only-scenario", metavar="ID", help="Run these scenarios only.")]
Out = Annotated[str | None, typer.Option("--out", metavar="DIR", help="Commit bundles below this directory.")]


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
    out: Out = None,
    json: Json = False,
    color: Color = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Build targets, and commit the bundles of runs. The default command."""
    from flowbuild.front.build import build as perform

    return perform(_request("build", locals()))


@app.command(context_settings=LOOSE)
def test(
    labels: Labels,
    directory: Directory = "",
    sets: Sets = [],  # noqa: B006
    force: Force = [],  # noqa: B006
    jobs: Jobs = None,
    keep_going: Continue = "dependencies-successful",
    update_goldens: Annotated[bool, typer.Option("--update-goldens", help="Accept what was built.")] = False,
    json: Json = False,
    color: Color = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run golden and other test targets."""
    from flowbuild.front.test import test as perform

    return perform(_request("test", locals()), update_goldens)


@app.command(context_settings=LOOSE)
def explain(
    labels: Labels,
    directory: Directory = "",
    sets: Sets = [],  # noqa: B006
    force: Force = [],  # noqa: B006
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Say what would run, and why, field by field. Performs nothing."""
    from flowbuild.front.explain import explain as perform

    return perform(_request("explain", {**locals(), "policy": "dry"}))


@app.command(context_settings=LOOSE)
def why(label: Annotated[str, typer.Argument(metavar="LABEL")], directory: Directory = "", json: Json = False) -> int:
    """Say why a target ran, or did not run, last time."""
    from flowbuild.front.why import why as perform

    return perform(_request("why", {**locals(), "labels": [label]}))


@app.command(context_settings=LOOSE)
def outputs(labels: Labels, directory: Directory = "", json: Json = False) -> int:
    """Print the paths of what targets built."""
    from flowbuild.front.listing import outputs as perform

    return perform(_request("outputs", locals()))


@app.command(name="list")
def list_(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="targets, rules, registries, plans, profiles or probes.")
    ] = "targets",
    directory: Directory = "",
    json: Json = False,
) -> int:
    """List what a workspace declares."""
    from flowbuild.front.listing import list_ as perform

    return perform(_request("list", {**locals(), "labels": []}), kind)


@app.command()
def describe(
    name: Annotated[str, typer.Argument(metavar="RULE|LABEL")], directory: Directory = "", json: Json = False
) -> int:
    """Describe a rule with its attributes, or a target with its states."""
    from flowbuild.front.listing import describe as perform

    return perform(_request("describe", {**locals(), "labels": []}), name)


@app.command()
def schema(
    name: Annotated[str, typer.Argument(metavar="[RULE|build|workspace]", help="Whose schema; build by default.")] = "",
    directory: Directory = "",
    out: Annotated[str | None, typer.Option("--out", metavar="DIR", help="Write into this directory.")] = None,
) -> int:
    """Print JSON Schemas of BUILD.yaml, flowbuild.yaml and rules, for editors."""
    from flowbuild.front.schema import schema as perform

    return perform(_request("schema", {**locals(), "labels": []}), name)


@app.command()
def clean(
    directory: Directory = "",
    cache: Annotated[bool, typer.Option("--cache", help="Remove remembered work too.")] = False,
    json: Json = False,
) -> int:
    """Remove shown outputs, stages and logs. Committed bundles stay."""
    from flowbuild.front.listing import clean as perform

    return perform(_request("clean", {**locals(), "labels": []}), cache)


@app.command()
def version() -> int:
    """Print the version."""
    print(f"flowbuild {__version__}")
    return 0


def _request(command: str, given: dict[str, Any]) -> Request:
    """The request behind a command's arguments."""
    names = vars(Request()).keys() - {"command", "patterns"}
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items() if n in names}
    _check_choices(values)
    return Request(command, _patterns(given["labels"]), **values)


def _patterns(words: list[str]) -> tuple[str, ...]:
    for word in words:
        if word.startswith("-") and not word.startswith(("-//", "-:")):
            flag = word.partition("=")[0]
            if flag in FLAGS:
                raise BadFlag(f"this command has no flag {flag}", remedy="`flowbuild COMMAND --help` lists its flags")
            raise BadFlag(f"there is no flag {word}", remedy=did_you_mean(flag, FLAGS))
    return tuple(words)


def _check_choices(values: dict[str, Any]) -> None:
    from flowbuild.front.arguments import CHOICES

    for name, known in CHOICES.items():
        if name in values and values[name] not in known:
            flag = next(flag for flag, row in FLAGS.items() if row[0] == name)
            remedy = did_you_mean(values[name], known) or f"one of {', '.join(known)}"
            raise BadFlag(f"{flag} {values[name]!r} is not known", remedy=remedy)


def ordered(argv: list[str]) -> list[str]:
    """The command's word first: `-C dir //x` and `-C dir build //x` both become `build -C dir //x`."""
    if not argv or argv[0] in ("-h", "--help", "--install-completion", "--show-completion"):
        return argv
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
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
        return [argv[place], *argv[:place], *argv[place + 1 :]]
    if place < len(argv) and not argv[place].startswith(("//", ":", "-")):
        near = nearest(argv[place], sorted(known))
        labels = "targets are written as labels, such as //package:target; `flowbuild --help` lists commands"
        remedy = f"did you mean {near!r}?" if near else labels
        raise BadFlag(f"there is no command {argv[place]!r}", remedy=remedy)
    return ["build", *argv]


def main(argv: list[str]) -> int:
    """Run a command line; the exit code."""
    return guarded(lambda: _run(argv))


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
