"""The flags that commands share, and the request that a command's arguments come to.

Knows nothing of commands. A flag is spelled once here, so that it means the same wherever it stands.

Errors:  BadFlag for a flag that is not known, and for a value that it can't have.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flowbuild.core.errors import BadFlag
from flowbuild.core.suggest import did_you_mean
from flowbuild.front.arguments import CHOICES, FLAGS, Request

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
Engine = Annotated[str | None, typer.Option("--engine", metavar="NAME", help="Who performs steps: python or proc.")]
ExecutorPath = Annotated[
    str | None, typer.Option("--executor-path", metavar="ARGV", help="The executor of proc: a program, or a command.")
]
RuntimeConfig = Annotated[
    str | None, typer.Option("--runtime-config", metavar="FILE", help="Read `runtime:` from this file.")
]
Policy = Annotated[str, typer.Option("--policy", metavar="NAME", help="build, live, replay, verify or dry.")]
Strict = Annotated[bool, typer.Option("--strict", help="A partial run exits 1.")]
OnlyProfile = Annotated[list[str], typer.Option("--only-profile", metavar="ID", help="Run these profiles only.")]
OnlyScenario = Annotated[list[str], typer.Option("--only-scenario", metavar="ID", help="Run these scenarios only.")]
SkipTags = Annotated[list[str], typer.Option("--skip-tag", metavar="TAG", help="Perform no state that has this tag.")]
EventProfile = Annotated[
    str | None, typer.Option("--event-profile", metavar="NAME", help="minimal, normal, verbose or custom:name,name.")
]
Attempts = Annotated[
    int | None, typer.Option("--attempts", min=1, metavar="N", help="Attempts of states that declare no retry.")
]
Out = Annotated[str | None, typer.Option("--out", metavar="DIR", help="Commit bundles below this directory.")]


def requested(command: str, given: dict[str, Any]) -> Request:
    """The request behind a command's arguments."""
    names = vars(Request()).keys() - {"command", "patterns"}
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in given.items() if n in names}
    _check_choices(values)
    return Request(command, _patterns(given.get("labels", [])), **values)


def _patterns(words: list[str]) -> tuple[str, ...]:
    for word in words:
        if word.startswith("-") and not word.startswith(("-//", "-:")):
            flag = word.partition("=")[0]
            if flag in FLAGS:
                raise BadFlag(f"this command has no flag {flag}", remedy="`flowbuild COMMAND --help` lists its flags")
            raise BadFlag(f"there is no flag {word}", remedy=did_you_mean(flag, FLAGS))
    return tuple(words)


def _check_choices(values: dict[str, Any]) -> None:
    for name, known in CHOICES.items():
        if name in values and values[name] not in known:
            flag = next(flag for flag, row in FLAGS.items() if row[0] == name)
            remedy = did_you_mean(values[name], known) or f"one of {', '.join(known)}"
            raise BadFlag(f"{flag} {values[name]!r} is not known", remedy=remedy)
