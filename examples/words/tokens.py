"""A module that the handler in top.py imports. Declared in `modules`, it counts as an input."""

import re


def split_words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return re.findall(r"[a-z]+", text.lower())
