"""Patterns that leave files out: `ignore:` of the workspace and `exclude:` of a glob, in gitignore's syntax.

Knows nothing of what is on disk. Patterns that are only a name, which most are (`out/`, `**/__pycache__/`), are looked
up in a set; the rest is pathspec's, imported then. A test holds the two equal.

Shapes:  a path is relative to where the patterns stand; a directory is asked about with a trailing slash.
Errors:  BadAttribute for a pattern that can't be read, or that would not mean what git means by it.
Source:  gitignore(5) as pathspec's GitIgnoreSpec reads it; docs/formats say where the two differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flowbuild.core.errors import BadAttribute

_NAME = re.compile(r"(?:\*\*/)?([A-Za-z0-9_.@~+-]+)(/?)")
_NESTED_CLASS = re.compile(r"\[[^\]]*\[")


class Ignore:
    """A list of patterns, compiled when first asked."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._names: frozenset[str] | None = None
        self._directories: frozenset[str] = frozenset()
        self._spec: Any = None
        check_patterns(self.patterns)

    def matches(self, path: str) -> bool:
        """Whether a path is left out, itself or with a directory above it; directories end with a slash."""
        if not self.patterns:
            return False
        if self._names is None:
            self._compile()
        if self._spec is not None:
            return bool(self._spec.match_file(path))
        assert self._names is not None
        *above, last = path.removesuffix("/").split("/")
        if last in self._names or (last in self._directories and path.endswith("/")):
            return True
        return any(name in self._names or name in self._directories for name in above)

    def _compile(self) -> None:
        plain = [_NAME.fullmatch(pattern) for pattern in self.patterns]
        self._names = frozenset(found[1] for found in plain if found and not found[2])
        self._directories = frozenset(found[1] for found in plain if found and found[2])
        if not all(plain):
            import pathspec

            self._spec = pathspec.GitIgnoreSpec.from_lines(self.patterns)


def check_patterns(patterns: Sequence[str]) -> None:
    """Refuse patterns that can't be read."""
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("#"):
            raise BadAttribute(f"the pattern {pattern!r} matches nothing", remedy="remove it")
        if "\n" in pattern or "\0" in pattern:
            raise BadAttribute(f"the pattern {pattern!r} holds a control character")
        if _NESTED_CLASS.search(pattern):
            raise BadAttribute(f"the pattern {pattern!r} holds a '[' inside [ ]", remedy="write the characters out")
        if _NAME.fullmatch(pattern):
            continue
        import pathspec

        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except (ValueError, re.error) as error:
            raise BadAttribute(f"the pattern {pattern!r} can't be read: {error}") from None
