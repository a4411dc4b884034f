"""A workspace to load from, without running anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild.core.errors import Faults, FlowError
from flowbuild.load.workspace import Workspace, find


class Loading:
    """A workspace in a directory, and what is wrong with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("flowbuild.yaml", "")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def open(self) -> Workspace:
        return find(self.root)

    @staticmethod
    def faults(act: Callable[[], object]) -> list[str]:
        """What an act finds wrong: each fault as one line, in order."""
        try:
            act()
        except Faults as several:
            return [str(fault) for fault in several.exceptions]
        except FlowError as one:
            return [str(one)]
        return []


@pytest.fixture
def loading(tmp_path: Path) -> Loading:
    return Loading(tmp_path / "w")
