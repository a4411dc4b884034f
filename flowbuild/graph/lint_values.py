"""Checks of what values say: absolute paths, names that are alike, what differs from run to run, and tags.

Knows nothing of other checks, and looks at nothing but the text: what a rendered value will be is not known here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from posixpath import basename, dirname

from flowbuild.core.errors import Location
from flowbuild.core.label import Label
from flowbuild.graph.linted import Command, Finding, Linted, named
from flowbuild.load.volatile import Spot, in_command, in_python, in_script

# The first names of paths that no pattern of awk or sed begins with by accident.
_ROOTS = "Users|Volumes|data|etc|home|media|mnt|opt|private|root|run|scratch|srv|tmp|usr|var"
_WORD = re.compile(r"(?:[\w-]+=|-[A-Za-z])?(/[\w.@%+-]+(?:/[\w.@%+-]+)*/?)")
# What a pattern program may mean by `/data/p`, or by `/data/`: lines, and what to do with them.
_PATTERN = re.compile(r"/[^/]+/(?:[A-Za-z](?:/.*)?)?")
_IN_SCRIPT = re.compile(rf"(?<![\w./:}})\]~*?!-])/(?:{_ROOTS})/[\w.@%+-]+(?:/[\w.@%+-]+)*")
_OF_PATTERNS = frozenset({"awk", "gawk", "mawk", "nawk", "sed", "gsed", "perl", "grep", "egrep", "fgrep", "ed", "ex"})
_DEVICES = re.compile(r"/dev/(null|zero|full|tty|stdin|stdout|stderr|fd/\d+)")
MOST = 100  # places of one kind that are told of one text

_PATH_REMEDY = "declare the file as an input, or hand the place over as a parameter"
_STEADY_REMEDY = (
    "make it an input or a parameter, say in a golden's `volatile:` what differs, or tag it allow:volatile-output"
)


def absolute_paths(space: Linted) -> Iterator[Finding]:
    """Absolute paths in commands and scripts."""
    for command in space.commands:
        for pointer, value, offset, path in islice(_absolute(command, space.catalog.workspace.config.path), MOST):
            where = space.within(command.path, pointer, value, offset)
            message = f"{path} is an absolute path: what is there, if anything, is not part of the action key"
            yield Finding(where, message, _PATH_REMEDY, command.label)


def _absolute(command: Command, search: tuple[str, ...]) -> Iterator[tuple[tuple[str | int, ...], str, int, str]]:
    program = basename(command.words[0]) if command.words else ""
    for number, word in enumerate(command.words):
        found = _WORD.fullmatch(word)
        if found is None or _DEVICES.fullmatch(found[1]) or (number == 0 and dirname(word) in search):
            continue
        if number == 0 or _is_path(found[1], may_be_pattern=program in _OF_PATTERNS):
            yield (*command.pointer, number), word, found.start(1), found[1]
    # A comment is as long as what replaces it, so that places stay.
    script = re.sub(r"(?m)(?:^|(?<=\s))#.*", lambda comment: " " * len(comment[0]), command.script)
    for found in _IN_SCRIPT.finditer(script):
        is_quoted = script[found.start() - 1 : found.start()] in ("'", '"')
        if not {found[0], dirname(found[0])} & {*search} and _is_path(found[0], may_be_pattern=is_quoted):
            yield command.pointer, command.script, found.start(), found[0]


def _is_path(text: str, *, may_be_pattern: bool) -> bool:
    """Whether this is surely a path: one name may be an option, and with other programs a pattern."""
    if re.match(f"/(?:{_ROOTS})(?:/|$)", text):
        return not (may_be_pattern and _PATTERN.fullmatch(text))
    return not may_be_pattern and text.count("/", 1) > 0


def alike(space: Linted) -> Iterator[Finding]:
    """Names that differ only by capitals or by Unicode form, which some file systems don't tell apart."""
    seen: dict[str, str] = {}
    told: set[str] = set()
    for label, path in _paths(space):
        for name in _upwards(path):
            first = seen.setdefault(_folded(name), name)
            if first == name:
                continue
            plain = name.removeprefix("out/bin/")  # which mirrors packages
            if plain not in told:
                told.add(plain)
                where = space.of(space.catalog.target(label), key=True) if label else Location(name)
                yield Finding(where, _alike(first, name), "rename one", label)
            break  # what lies below them differs by that too


def _upwards(path: str) -> list[str]:
    """A path with every directory above it, the uppermost first."""
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _alike(first: str, name: str) -> str:
    tell = "which some file systems don't tell apart"
    if _composed(first) == _composed(name):
        return f"{first!a} and {name!a} differ only by Unicode form, {tell}"
    return f"{first!r} and {name!r} differ only by capitals, {tell}"


def _paths(space: Linted) -> Iterator[tuple[Label | None, str]]:
    """Every path that the workspace names: of rules and targets, of files that are read, of outputs."""
    for rule in space.own_rules:
        yield None, rule.path
    for target in space.targets:
        yield target.label, target.path
        for one in space.built(target).outputs.values():
            yield from ((target.label, item.path.rstrip("/")) for item in one.items)
        for state in space.states(target):
            yield from ((target.label, path) for path in state.sources)
            yield from ((target.label, path.rstrip("/")) for path in state.outputs.values())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


def volatile(space: Linted) -> Iterator[Finding]:
    """Outputs that differ from run to run, by what their script or handler calls, where nothing says so."""
    declared = _declared(space)
    for label, where, name in [*_in_commands(space), *_in_handlers(space)]:
        if label not in declared:
            message = f"{name} makes the outputs differ from run to run, and nothing declares that"
            yield Finding(where, message, _STEADY_REMEDY, label)


def _in_commands(space: Linted) -> Iterator[tuple[Label, Location, str]]:
    for one in space.commands:
        for number, spot in in_command(one.words) if one.words else ():
            where = space.within(one.path, (*one.pointer, number), one.words[number], spot.offset)
            yield one.label, where, spot.name
        for spot in in_script(one.script)[:MOST]:
            yield one.label, space.within(one.path, one.pointer, one.script, spot.offset), spot.name


def _in_handlers(space: Linted) -> Iterator[tuple[Label, Location, str]]:
    found: dict[str, list[Spot]] = {}
    for target in space.targets:
        for path in dict.fromkeys(path for code in space.codes(target) for path in code.paths):
            if path not in found:
                found[path] = in_python(space.text(path))[:MOST]
            for spot in found[path]:
                yield target.label, space.spot(path, spot.offset), f"{spot.name}()"


def _declared(space: Linted) -> set[Label]:
    """The targets before a golden that says what differs."""
    found = set()
    for golden in space.goldens:
        if golden.attrs["volatile"]:
            found.add(named(golden, golden.attrs["actual"]))
            if (built := space.graph.targets.get(golden.label)) is not None:
                found |= {space.graph.states[number].label for number in space.graph.behind(built.states)}
    return found


def allowed(target_tags: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The checks that tags allow, each with the number of its tag."""
    return ((n, tag.removeprefix("allow:")) for n, tag in enumerate(target_tags) if tag.startswith("allow:"))
