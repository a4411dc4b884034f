"""A session: what one command opens in a workspace, and saves at its end.

Knows nothing of labels' meaning or of bundles. Everything it saves but the memo's records and the store's objects is
derived, and written whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flowbuild.core.errors import DiskRefused
from flowbuild.core.mask import Mask
from flowbuild.engine.engine import Engine
from flowbuild.engine.python import PythonEngine
from flowbuild.engine.reaper import Reaper
from flowbuild.load.distributions import Distributions
from flowbuild.load.glob import WORKSPACE_FILE
from flowbuild.load.ignore import Ignore
from flowbuild.load.path import RESERVED
from flowbuild.load.workspace import bare_workspace, open_workspace
from flowbuild.run.channel import ChannelName
from flowbuild.run.checkouts import checkouts, register
from flowbuild.run.facts import HostFacts
from flowbuild.run.kept import KeptGraphs
from flowbuild.run.last import LastTable
from flowbuild.run.looks import Looks
from flowbuild.run.parsed import ParsedTable
from flowbuild.run.signals import Signals
from flowbuild.store.cas import Cas
from flowbuild.store.memo import Memo
from flowbuild.store.rows import Rows
from flowbuild.store.stamps import Stamps

if TYPE_CHECKING:
    from flowbuild.engine.launchd import Jobs

COMING_AND_GOING = ("out", ".flowbuild", ".git", "__pycache__")


class Table(Protocol):
    """What a session keeps for the next one."""

    def save(self) -> None: ...


@dataclass(slots=True)
class SeenRows:
    """Tells the null table's rows what an answer depended on. Paths are relative to the root, or absolute."""

    root: Path
    rows: Rows
    ignore: Ignore
    _told: set[tuple[str, str]] = field(default_factory=set)

    def file(self, path: str) -> None:
        if ("file", path) not in self._told:
            self._told.add(("file", path))
            self.rows.file(os.path.join(self.root, path))

    def source(self, path: str) -> None:
        self.file(path)

    def absent(self, path: str) -> None:
        self.rows.absent(os.path.join(self.root, path))

    def directory(self, path: str) -> None:
        if ("directory", path) not in self._told:
            self._told.add(("directory", path))
            self.rows.directory(os.path.normpath(os.path.join(self.root, path)), self.hidden(path))

    def hidden(self, directory: str) -> frozenset[str]:
        """The names that come and go in a directory and that the workspace ignores there."""
        below = {name: f"{directory}/{name}" if directory else name for name in COMING_AND_GOING}
        return frozenset(name for name, path in below.items() if path in RESERVED or self._is_ignored(path))

    def _is_ignored(self, path: str) -> bool:
        """Whether file or directory: `out/` ignores no file of that name."""
        return self.ignore.matches(path) and self.ignore.matches(f"{path}/")


class Session:
    """The stores, facts and engine of one command. Use it as a context: leaving it ends workers and saves tables.

    A bare session keeps them below a directory that is no workspace.
    """

    def __init__(
        self,
        root: Path,
        *,
        channel: str = "direct",
        saves: bool = True,
        jobs: Jobs | None = None,
        world: Callable[[], Mapping[str, Any]],
        variables: Mapping[str, str] | None = None,
        is_bare: bool = False,
    ) -> None:
        self.channel = channel
        self.state_directory = root / ".flowbuild"
        self._saves = saves
        self.rows = Rows(root, is_wanted=saves)  # before anything is read
        self.stamps = Stamps.load(self.state_directory / "stamps")
        self.parsed = ParsedTable(self.state_directory / "packages", self.stamps)
        self.graphs = KeptGraphs(self.state_directory / "graphs")
        workspace = bare_workspace(root) if is_bare else open_workspace(root, cache=self.parsed)
        self.workspace = workspace
        self.cache = workspace.config.cache_dir
        self.cas = Cas(self.cache / "cas")
        self.memo = Memo(self.cache / "memo")
        if not is_bare:
            self._restore(workspace.root)
        if saves and not is_bare:
            register(self.cache, workspace.root)
        self.last = LastTable(self.state_directory / "last")
        self.seen = SeenRows(workspace.root, self.rows, workspace.ignore)
        self.reaper = Reaper()
        self._starter = self.reaper if channel != ChannelName.LAUNCHD_CLEAN else _by_launchd(jobs)
        self.engine: Engine = PythonEngine(self._starter, is_clean=channel != ChannelName.DIRECT)
        self.steps: Engine | None = None  # another engine, for the steps of flows
        self.executor: tuple[str, ...] = ()  # the argv behind it, if there is one
        self.signals = Signals()
        self.variables = os.environ if variables is None else variables
        self.mask = Mask()  # what one run knows as a secret is one for its children, and for whoever runs beside it
        self.distributions = Distributions(workspace.root)
        self.facts = HostFacts(
            workspace.root,
            workspace.config.path,
            self.stamps,
            self.distributions,
            world,
            self.seen,
            self.variables,
        )

    def _restore(self, root: Path) -> None:
        """Fold a memo that is gone from journals, while the store is still there."""
        if (self.cache / "memo").exists() or not (self.cache / "cas").is_dir():
            return
        from flowbuild.run.collect import journals
        from flowbuild.run.rebuild import rebuild

        found = chain.from_iterable(map(journals, checkouts(self.cache, root)))
        rebuild(self.memo, self.cas, found, writes=self._saves)

    def __enter__(self) -> Session:
        self.signals.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self.engine.close()
            if self.steps is not None:
                self.steps.close()
            self._starter.close()
            self.reaper.close()
            self.cas.close()
            self._save(self.stamps, self.last)
            self.save_texts()
        finally:
            self.signals.__exit__(None, None, None)

    def save_texts(self) -> None:
        """Save what was made of the workspace's texts, so that what follows may be killed."""
        self._save(self.parsed, self.graphs)

    def _save(self, *tables: Table) -> None:
        for table in tables if self._saves else ():
            with suppress(DiskRefused):  # derived: a full or read-only disk costs the next command time
                table.save()

    def looks(self) -> Looks:
        """What this session looks at for a graph. The settings were read when it was opened."""
        read = {WORKSPACE_FILE: self.workspace.config.digest}
        return Looks(self.workspace.root, self.seen, self.stamps, self.distributions, read)

    def run_directory(self, run_id: str) -> Path:
        """Where a run keeps its stage and logs, and its journal if it commits no bundle."""
        return self.state_directory / "runs" / run_id


def _by_launchd(jobs: Jobs | None) -> Reaper:
    from flowbuild.engine.launchd import ByLaunchd

    return ByLaunchd(jobs)
