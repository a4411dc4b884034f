"""A session: what one command opens in a workspace, and saves at its end.

Knows nothing of labels' meaning or of bundles. Everything it saves but the memo's records and the store's objects is
derived, and written whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbuild.engine.engine import Engine
from flowbuild.engine.python import PythonEngine
from flowbuild.load.distributions import Distributions
from flowbuild.load.path import RESERVED
from flowbuild.load.workspace import open_workspace
from flowbuild.run.facts import HostFacts
from flowbuild.run.last import LastTable
from flowbuild.run.parsed import ParsedTable
from flowbuild.run.signals import Signals
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Memo
from flowbuild.store.rows import Rows
from flowbuild.store.stamps import Stamps


@dataclass(slots=True)
class SeenRows:
    """Tells the null table's rows what an answer depended on. Paths are relative to the root, or absolute."""

    root: Path
    rows: Rows
    _told: set[tuple[str, str]] = field(default_factory=set)

    def file(self, path: str) -> None:
        if ("file", path) not in self._told:
            self._told.add(("file", path))
            self.rows.file(os.path.join(self.root, path))

    def absent(self, path: str) -> None:
        self.rows.absent(os.path.join(self.root, path))

    def directory(self, path: str) -> None:
        if ("directory", path) not in self._told:
            self._told.add(("directory", path))
            # What lies where flowbuild writes is no part of the workspace; that is so at its root only.
            hidden = frozenset() if path else frozenset(RESERVED)
            self.rows.directory(os.path.normpath(os.path.join(self.root, path)), hidden)


class Session:
    """The stores, facts and engine of one command. Use it as a context: leaving it ends workers and saves tables."""

    def __init__(
        self,
        root: Path,
        *,
        channel: str = "direct",
        world: Callable[[], Mapping[str, Any]],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.channel = channel
        self.state_directory = root / ".flowbuild"
        self.stamps = Stamps.load(self.state_directory / "stamps")
        self.parsed = ParsedTable(self.state_directory / "packages", self.stamps)
        self.workspace = workspace = open_workspace(root, cache=self.parsed)
        self.cache = workspace.config.cache_dir
        self.cas = Cas(self.cache / "cas")
        self.memo = Memo(self.cache / "memo")
        self.last = LastTable(self.state_directory / "last")
        self.rows = Rows(workspace.root)
        self.seen = SeenRows(workspace.root, self.rows)
        self.engine: Engine = PythonEngine()
        self.signals = Signals()
        self.distributions = Distributions(workspace.root)
        self.facts = HostFacts(
            workspace.root,
            workspace.config.path,
            self.stamps,
            self.distributions,
            world,
            self.seen,
            os.environ if variables is None else variables,
        )

    def __enter__(self) -> Session:
        self.signals.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self.engine.close()
            self.stamps.save()
            self.parsed.save()
            self.last.save()
        finally:
            self.signals.__exit__(None, None, None)

    def run_directory(self, run_id: str) -> Path:
        """Where a run keeps its stage and logs, and its journal if it commits no bundle."""
        return self.state_directory / "runs" / run_id
