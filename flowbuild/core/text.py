"""Text: what of it can be written down. Knows nothing of files or documents."""

from __future__ import annotations


def is_unicode(text: str) -> bool:
    """Whether a text can be written down: JSON can say half of a surrogate pair, a file's name may be any bytes, and
    UTF-8 can say neither."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
