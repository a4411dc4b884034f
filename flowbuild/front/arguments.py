"""What was asked on the command line, read by hand in its common form, and the name of its null table.

Knows nothing of the workspace, and decides no fault: whatever is not `flowbuild [build] LABEL... [flags of the table
below]` is None here, and the slow road reads it again and says what is wrong with it. Imports nothing, for it stands
before every other import.

Shapes:  Request, one value for both roads. The text of a null table is plain (no colours, no terminal's width) and may
         hold ELAPSED and ROOT, which are filled in when it is printed.
Source:  DESIGN.md, sections 8 and 10.
"""

import os

ELAPSED = "\0"
"""Stands in a null table's text for the seconds that it took, with two decimals."""
ROOT = "\1"
"""Stands in a null table's text for the way from where the user stands to the workspace root: `` or `examples/`."""

# flag: (field of Request, what is read). A test asserts that the fields are total.
# "switch" and "count" take no value; "many" may be repeated; "one" and "whole" may not.
FLAGS = {
    "-C": ("directory", "one"),
    "--directory": ("directory", "one"),
    "--config": ("config", "one"),
    "--engine": ("engine", "one"),
    "--executor-path": ("executor_path", "one"),
    "--runtime-config": ("runtime_config", "one"),
    "--policy": ("policy", "one"),
    "--channel": ("channel", "one"),
    "--set": ("sets", "many"),
    "--force": ("force", "many"),
    "-j": ("jobs", "whole"),
    "--jobs": ("jobs", "whole"),
    "--continue": ("keep_going", "one"),
    "--json": ("json", "switch"),
    "--color": ("color", "one"),
    "-q": ("quiet", "switch"),
    "--quiet": ("quiet", "switch"),
    "-v": ("verbose", "switch"),
    "--verbose": ("verbose", "switch"),
    "--strict": ("strict", "switch"),
    "--durability": ("durability", "one"),
    "--out": ("out", "one"),
    "--only-profile": ("only_profile", "many"),
    "--only-scenario": ("only_scenario", "many"),
    "--timeout": ("timeout_s", "seconds"),
    "--attempts": ("attempts", "whole"),
    "--event-profile": ("event_profile", "one"),
    "--skip-tag": ("skip_tags", "many"),
}

# field: the words it may have. Another word is the slow road's to refuse.
CHOICES = {
    "policy": ("build", "live", "replay", "verify", "dry"),
    "channel": ("direct", "clean", "launchd_clean"),
    "keep_going": ("never", "dependencies-successful", "always"),
    "color": ("auto", "always", "never"),
    "durability": ("none", "commit", "all"),
}

# Fields that change neither what is printed nor what is built when nothing is to be done; and `directory`, which
# counts as the place that it leads to.
_WITHOUT_WEIGHT = ("directory", "jobs", "keep_going", "timeout_s", "attempts", "event_profile")


class Request:
    """What was asked. A plain class: dataclasses and typing cost more to import than the null road costs in all."""

    def __init__(
        self,
        command: str = "build",
        patterns: tuple[str, ...] = (),
        *,
        directory: str = "",
        config: str | None = None,
        engine: str | None = None,
        executor_path: str | None = None,
        runtime_config: str | None = None,
        policy: str = "build",
        channel: str = "direct",
        sets: tuple[str, ...] = (),
        force: tuple[str, ...] = (),
        jobs: int | None = None,
        keep_going: str = "never",
        json: bool = False,
        color: str = "auto",
        quiet: bool = False,
        verbose: bool = False,
        strict: bool = False,
        durability: str = "commit",
        out: str | None = None,
        only_profile: tuple[str, ...] = (),
        only_scenario: tuple[str, ...] = (),
        timeout_s: float | None = None,
        attempts: int | None = None,
        event_profile: str | None = None,
        skip_tags: tuple[str, ...] = (),
    ) -> None:
        self.command = command
        self.patterns = patterns
        self.directory = directory
        self.config = config
        self.engine = engine
        self.executor_path = executor_path
        self.runtime_config = runtime_config
        self.policy = policy
        self.channel = channel
        self.sets = sets
        self.force = force
        self.jobs = jobs
        self.keep_going = keep_going
        self.json = json
        self.color = color
        self.quiet = quiet
        self.verbose = verbose
        self.strict = strict
        self.durability = durability
        self.out = out
        self.only_profile = only_profile
        self.only_scenario = only_scenario
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.event_profile = event_profile
        self.skip_tags = skip_tags

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        return f"Request({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


def parse(argv: list[str]) -> Request | None:
    """The request, if it has the common form; None sends everything to the slow road."""
    request = Request()
    patterns: list[str] = []
    given: set[str] = set()
    words = argv[::-1]
    while words:
        word = words.pop()
        if word.startswith(("//", ":", "-//", "-:")):
            patterns.append(word)
        elif word == "build" and not patterns and "command" not in given:
            given.add("command")
        elif not _read_flag(request, word, words, given):
            return None
    request.patterns = tuple(patterns)
    return request if patterns else None


def _read_flag(request: Request, word: str, words: list[str], given: set[str]) -> bool:
    """Read one flag and its value into the request. False for what is unknown, repeated or malformed."""
    flag, value = _split(word)
    field, kind = FLAGS.get(flag, ("", ""))
    if not field or (kind != "many" and field in given):
        return False
    given.add(field)
    if kind == "switch":
        setattr(request, field, True)
        return value is None
    if value is None:
        value = words.pop() if words else ""
    if not value or value.startswith("-"):
        return False
    if kind == "many":
        setattr(request, field, (*getattr(request, field), value))
    elif kind == "whole":
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            return False
        setattr(request, field, int(value))
    elif kind == "seconds":
        if not (value.isascii() and value.isdigit()):
            return False
        setattr(request, field, float(value))
    else:
        setattr(request, field, value)
    return value in CHOICES.get(field, (value,))


def _split(word: str) -> tuple[str, str | None]:
    """`--flag=value` and `-jN` are a flag and its value; else the value is yet to come."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    return word[:2], word[2:] or None


def directory(argv: list[str]) -> str:
    """What -C says, wherever it stands on a command line of any form; empty where it says nothing."""
    for at, word in enumerate(argv):
        flag, value = _split(word)
        if FLAGS.get(flag, ("",))[0] == "directory":
            return value if value is not None else "".join(argv[at + 1 : at + 2])
    return ""


def is_provable(request: Request) -> bool:
    """Whether the null road may answer: an ordinary build, into its ordinary place, that forces nothing."""
    return (
        request.command == "build"
        and request.policy == "build"
        and not request.force
        and (request.out, request.config, request.timeout_s) == (None, None, None)
        and (request.engine, request.executor_path, request.runtime_config) == (None, None, None)
        # Each such run is committed anew.
        and not (request.only_profile or request.only_scenario or request.skip_tags)
    )


def place(request: Request) -> tuple[str, str] | None:
    """The workspace root, and where below it the request counts (`.` for the root itself); None outside of any."""
    here = os.path.realpath(request.directory) if request.directory else os.getcwd()
    if request.directory and not os.path.isdir(here):
        return None
    above = here
    while True:
        try:
            os.stat(f"{above}/flowbuild.yaml")
        except (FileNotFoundError, NotADirectoryError):
            if above == os.path.dirname(above):
                return None
            above = os.path.dirname(above)
        else:
            return above, here[len(above) :].strip("/") or "."


def key(request: Request, below: str) -> str:
    """What names a request's null table. `below` is where it counts, as `place` says.

    Everything is in it that changes what is printed or built. `-C x` and being in `x` are one request.
    """
    weighty = {name: value for name, value in vars(request).items() if name not in _WITHOUT_WEIGHT}
    return repr((below, weighty))


def fill(text: str, elapsed_s: float, root: str) -> str:
    """A null table's text as it is printed."""
    if ROOT in text:
        way = os.path.relpath(root)
        text = text.replace(ROOT, "" if way == "." else f"{way}/")
    return text.replace(ELAPSED, f"{elapsed_s:.2f}")
