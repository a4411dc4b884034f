"""Commands: split into words first and rendered after, so that a space in a value never makes two words of one.

Knows nothing of programs, and no shell is involved in a command; a script is text for one, and every value that is
rendered into it is quoted.

Shapes:  words are strings; an expression stands in one word whatever it holds between its braces.
Errors:  BadAttribute for an open quote; BadExpression for a value that can't be a word.
Source:  the quoting rules are POSIX sh's, as in `shlex`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from flowbuild.core.errors import BadAttribute
from flowbuild.load.expression import Names, as_text, has_expression, is_whole, joined, render_text, split

_PLAIN = re.compile(r"[^ \t\r\n]+")
_MARK = re.compile("\0([0-9]+)\0")


def split_words(command: str) -> list[str]:
    """The words of a command; quotes group, a backslash takes the next character as it is."""
    if "\0" in command:
        raise BadAttribute("a command can't hold the character U+0000")
    kept: list[str] = []
    if has_expression(command):
        # Each expression becomes a mark that no quoting rule touches, and comes back when the words are known.
        parts: list[str] = []
        for text, body in split(command):
            parts.append(text if body is None else f"\0{len(kept)}\0")
            kept += [] if body is None else [text]
        command = "".join(parts)
    if any(sign in command for sign in "'\"\\"):
        try:
            words = shlex.split(command)
        except ValueError as error:
            problem = "a quote is opened and never closed" if "quotation" in str(error) else "it ends with a backslash"
            raise BadAttribute(f"the command can't be split into words: {problem}") from None
    else:
        words = _PLAIN.findall(command)
    return [_MARK.sub(lambda mark: kept[int(mark[1])], word) for word in words] if kept else words


def render_words(words: Sequence[str], names: Names) -> list[str]:
    """The words with their expressions rendered. A word that is one expression naming a list becomes several."""
    done: list[str] = []
    for word in words:
        if not has_expression(word):
            done.append(word)
            continue
        value: Any = render_text(word, names)
        whole = isinstance(value, list | tuple) and is_whole(word)
        done += [as_text(item, word) for item in value] if whole else [as_text(value, word)]
    return done


def render_script(text: str, names: Names) -> str:
    """A script for the shell, every rendered value quoted; a list becomes words."""
    return joined(list(split(text)), names, _quoted)


def _quoted(value: Any, written: str) -> str:
    items = value if isinstance(value, list | tuple) else [value]
    return " ".join(shlex.quote(as_text(item, written)) for item in items)
