"""Engines by name: those that ship, and those that installed distributions add.

Knows nothing of who chooses. A distribution adds one by an entry point of the group `flowbuild.engines`: its name is
the engine's, and its object is called with a `Setting` and returns an Engine. The names that ship can't be taken.

Errors:  UnknownName for a name that nobody has; EngineLost when the distribution behind it can't be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flowbuild.core.errors import EngineLost, UnknownName
from flowbuild.core.suggest import did_you_mean
from flowbuild.engine.engine import Engine
from flowbuild.engine.reaper import Reaper

if TYPE_CHECKING:  # it takes longer to import than an engine of ours to start
    from importlib.metadata import EntryPoint

GROUP = "flowbuild.engines"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is said about an engine beside its name. `executor` is an argv; not every engine needs one."""

    workspace: Path
    executor: tuple[str, ...] = ()
    timeout: float = 120.0  # seconds for one action of an executor, by REP
    reaper: Reaper | None = None  # of the session: two of them would take one another's children for strays


Maker = Callable[[Setting], Engine]


def _proc(setting: Setting) -> Engine:
    from flowbuild.engine.proc import ProcEngine

    return ProcEngine(setting.executor, cwd=setting.workspace, timeout=setting.timeout, reaper=setting.reaper)


def _python(setting: Setting) -> Engine:
    from flowbuild.engine.python import PythonEngine

    return PythonEngine(setting.reaper)


SHIPPED: Mapping[str, Maker] = {"proc": _proc, "python": _python}


def engines() -> dict[str, str]:
    """Every engine that can be asked for, and which distribution brings it."""
    added = {name: _origin(point) for name, point in _added().items()}
    return dict(sorted({**added, **dict.fromkeys(SHIPPED, "flowbuild")}.items()))


def open_engine(name: str, setting: Setting) -> Engine:
    """The engine of a name. Whoever opens it closes it."""
    if name in SHIPPED:
        return SHIPPED[name](setting)
    found = _added().get(name)
    if found is None:
        raise UnknownName(f"there is no engine {name!r}", remedy=did_you_mean(name, engines()))
    try:
        make: Maker = found.load()
    except Exception as error:
        who = _origin(found)
        message = f"engine {name!r} of {who} can't be loaded: {type(error).__name__}: {error}"
        raise EngineLost(message, remedy=f"repair or uninstall {who}") from error
    return make(setting)


def _added() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a distribution without a name"
