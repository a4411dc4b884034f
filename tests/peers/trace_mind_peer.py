"""What the tests know of the installed peer."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class TraceMind(NamedTuple):
    """The installed peer."""

    tm: Path
    python: Path
    mock: Path
    schema: Path
