"""Did you mean: the nearest known word to one that is not known. Knows nothing of what the words name."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The closest known word, or None when nothing is close enough to be worth saying."""
    import difflib  # only when something is wrong already

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown word: the nearest one, or the whole list when it is short, or nothing."""
    words = sorted(known)
    found = nearest(word, words)
    if found:
        return f"did you mean {found!r}?"
    if 0 < len(words) <= 12:
        return "known here: " + ", ".join(words)
    return ""
