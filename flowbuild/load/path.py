"""Paths as a BUILD.yaml writes them: checked, and put into their one spelling.

Knows nothing of what exists. A path is relative to its package, and leaves neither the workspace nor what can be
written the same way on every machine.

Shapes:  `check_path` gives a path relative to the workspace, `check_output` one relative to the target's output
         directory; both with `/`, without `.` and `..`, and with the trailing slash that says directory.
Errors:  BadPath with what is wrong about it.
"""

from __future__ import annotations

import re
import unicodedata

from flowbuild.core.errors import BadPath

# What flowbuild writes, at the root of the workspace. It is reached by labels, never by paths.
RESERVED = ("out", ".flowbuild")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SIMPLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_][A-Za-z0-9_-]*){0,20}")


def check_path(package: str, text: str) -> str:
    """The workspace-relative path of a file or, with a trailing slash, a directory that a package names."""
    simple = _SIMPLE.fullmatch(text) is not None and len(text) < 250
    inside = text if simple else _normal(text, package)
    path = f"{package}/{inside}" if package and simple else inside
    if path.split("/", 1)[0] in RESERVED:
        raise BadPath(f"{text!r} lies where flowbuild writes", remedy="name the target that makes it by its label")
    return path


def check_output(text: str) -> str:
    """The path of an output below its target's own directory."""
    if _SIMPLE.fullmatch(text) is not None and len(text) < 250:
        return text
    if ".." in text.split("/"):
        raise BadPath(f"{text!r} leaves the target's output directory", remedy="write it without '..'")
    return _normal(text, "")


def check_name(name: str, whole: str) -> None:
    """One segment of a path, of whatever origin."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadPath(f"the name {whole!r} is not UTF-8", remedy="rename it") from None
    if _CONTROL.search(name):
        raise BadPath(f"the name {whole!r} holds a control character", remedy="rename it")
    if size > 255:
        raise BadPath(f"{whole[:60]!r}... holds a name of {size} bytes, and file systems take 255")


def _normal(text: str, package: str) -> str:
    _check_spelling(text)
    here = package.split("/") if package else []
    parts = list(here)
    for part in text.removesuffix("/").split("/"):
        check_name(part, text)
        if part == "..":
            if not parts:
                raise BadPath(f"the path {text!r} leaves the workspace", remedy="copy what it names into the workspace")
            parts.pop()
        elif part != ".":
            parts.append(part)
    if not parts or parts == here:
        raise BadPath(f"the path {text!r} names the directory that it starts from", remedy="name something in it")
    if parts[: len(here)] == here and parts[len(here) :][0].startswith("-"):
        raise BadPath(f"the path {text!r} begins with '-', like an option of a command", remedy="rename it")
    return "/".join(parts) + "/" * text.endswith("/")


def _check_spelling(text: str) -> None:
    problem = remedy = ""
    if not text:
        problem = "is empty"
    elif text.startswith("/"):
        problem, remedy = "is absolute", "write it relative to the package"
    elif "\\" in text:
        problem, remedy = "holds a backslash", "directories are separated by '/'"
    elif "//" in text:
        problem, remedy = "holds an empty name", "write one '/' between names"
    elif text != unicodedata.normalize("NFC", text):
        problem, remedy = "is not in Unicode's composed form (NFC)", "type it again"
    if problem:
        raise BadPath(f"the path {text!r} {problem}", remedy=remedy)
