"""What in a source or a script differs from run to run: clocks, random numbers, the host's name.

Knows nothing of targets, and runs nothing. It reads what is written: a call through a variable, or one that another
program makes, is not found; a name that only looks like one of these is not taken for it.

Shapes:  Spot, where one stands: an offset into the text that was given, and what it is called there.
Errors:  none; a source that is no Python has no spots, which whoever loads it has refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import basename
from typing import NamedTuple

from flowbuild.load.imports import tree


class Spot(NamedTuple):
    """One place of a text that differs from run to run."""

    offset: int
    name: str


# A call by its full name: with more positional arguments than this it says the same each time; None is any number.
CALLS: Mapping[str, int | None] = {
    "datetime.date.today": None,
    "datetime.datetime.now": None,
    "datetime.datetime.today": None,
    "datetime.datetime.utcnow": None,
    "numpy.random.default_rng": 0,
    "os.urandom": None,
    "pandas.Timestamp.now": None,
    "pandas.Timestamp.today": None,
    "platform.node": None,
    "random.Random": 0,
    "random.SystemRandom": None,
    "socket.gethostname": None,
    "time.asctime": 0,
    "time.ctime": 0,
    "time.gmtime": 0,
    "time.localtime": 0,
    "time.strftime": 1,
    "time.time": None,
    "time.time_ns": None,
    "uuid.uuid1": None,
    "uuid.uuid4": None,
}
# Modules whose functions all differ, unless the source seeds them.
_DRAWING = ("numpy.random", "random", "secrets")
_STEADY = frozenset(
    {"Generator", "PCG64", "Random", "RandomState", "SeedSequence", "default_rng", "seed", "compare_digest"}
)

# Programs, and the words with which each says the same every time.
PROGRAMS: Mapping[str, re.Pattern[str]] = {
    "date": re.compile(r"-[uR]*[drf]|--(date|reference|file)"),
    "hostname": re.compile(r"(?!)"),
    "shuf": re.compile(r"--random-source"),
    "uptime": re.compile(r"(?!)"),
    "uuidgen": re.compile(r"-[a-z]*[sm]|--(sha1|md5)"),
}
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})

_HEREDOC = re.compile(r"(?<!<)<<-?[ \t]*(['\"]?)(\w+)\1")
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:[^"\\]|\\.)*"|(?:^|(?<=[\s;]))#[^\n]*""", re.DOTALL | re.MULTILINE)
_LIVE = re.compile(r"(\$\([^()]*\)|`[^`]*`|\$\{?\w+)")  # what a shell still reads between double quotes
_STARTS = r"(?:^|[;&|(`]|\b(?:then|do|else|exec)\b)[ \t]*(?:[A-Za-z_]\w*=[^\s;|&]*[ \t]+){0,9}"
_PROGRAM = re.compile(rf"{_STARTS}({'|'.join(PROGRAMS)})(?=[\s;|&)`<>]|$)([^;|&)`\n]*)(?=(.?))", re.MULTILINE)
_VARIABLE = re.compile(
    r"\$\{?(RANDOM|SRANDOM|EPOCHSECONDS|EPOCHREALTIME)\b|(/dev/u?random|/proc/sys/kernel/random/uuid)\b"
)


def in_python(source: str) -> list[Spot]:
    """The calls of a Python source, in order."""
    parsed = tree(source, "")
    if not isinstance(parsed, ast.Module):
        return []
    known = _imported(parsed)
    calls = [(node, _name(node.func, known)) for node in ast.walk(parsed) if isinstance(node, ast.Call)]
    seeded = {name.removesuffix(".seed") for node, name in calls if name.endswith(".seed") and node.args}
    starts = [0, *(end.end() for end in re.finditer("\r\n|\r|\n", source))]
    return sorted(
        Spot(starts[node.lineno - 1] + _before(source, starts[node.lineno - 1], node), name)
        for node, name in calls
        if _differs(node, name, seeded)
    )


def in_script(script: str) -> list[Spot]:
    """The programs and variables of a shell script, in order."""
    text = _QUOTED.sub(_hidden, _without_documents(script))
    found = [Spot(one.start(), one[1] or one[2]) for one in _VARIABLE.finditer(text)]
    for one in _PROGRAM.finditer(text):
        is_pattern = one[3] == ")" and not one[2].strip() and "(" not in text[one.start() : one.start(1)]
        if not is_pattern and not _is_steady(one[1], one[2].split()):
            found.append(Spot(one.start(1), one[1]))
    return sorted(found)


def in_command(words: Sequence[str]) -> Iterator[tuple[int, Spot]]:
    """Those of a command: the number of the word, and the place in it."""
    program = basename(words[0])
    if program in PROGRAMS and not _is_steady(program, words[1:]):
        yield 0, Spot(0, program)
    if program in _SHELLS and "-c" in words[:-1]:
        number = words.index("-c") + 1
        yield from ((number, spot) for spot in in_script(words[number]))


def _imported(parsed: ast.Module) -> dict[str, str]:
    """What each imported name stands for, in full."""
    known: dict[str, str] = {}
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                known |= {alias.asname: alias.name} if alias.asname else {top: top}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def _name(function: ast.expr, known: Mapping[str, str]) -> str:
    """The full name of what is called; nothing where it does not begin with an imported name."""
    parts: list[str] = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in known:
        return ""
    return ".".join([known[function.id], *reversed(parts)])


def _differs(node: ast.Call, name: str, seeded: set[str]) -> bool:
    if name in CALLS:
        most = CALLS[name]
        return most is None or len(node.args) + len(node.keywords) <= most
    owner, _, last = name.rpartition(".")
    return owner in _DRAWING and owner not in seeded and last not in _STEADY


def _before(source: str, start: int, node: ast.Call) -> int:
    """The characters before a call in its line, which begins at `start`; the parser counts bytes."""
    return len(source[start:].partition("\n")[0].encode()[: node.col_offset].decode())


def _is_steady(program: str, words: Sequence[str]) -> bool:
    return any(PROGRAMS[program].match(word) for word in words)


def _hidden(found: re.Match[str]) -> str:
    """Quoted text and comments, as many characters that mean nothing; double quotes hide less."""
    text = found[0]
    return _dimmed(text) if text.startswith('"') else "_" * len(text)


def _without_documents(script: str) -> str:
    """A script whose here-documents mean nothing, but for what the shell reads in those that are not quoted."""
    lines = script.split("\n")
    ends = {line.strip() for line in lines}
    waiting: list[tuple[bool, str]] = []
    for number, line in enumerate(lines):
        if not waiting:
            found = _HEREDOC.findall(line)
            waiting = [(bool(quote), word) for quote, word in reversed(found) if word in ends]  # else a shift, `<< n`
        elif line.strip() == waiting[-1][1]:
            waiting.pop()
        else:
            lines[number] = "_" * len(line) if waiting[-1][0] else _dimmed(line)
    return "\n".join(lines)


def _dimmed(text: str) -> str:
    parts = _LIVE.split(text)
    return "".join(part if number % 2 else "_" * len(part) for number, part in enumerate(parts))
