"""Engines by name, and one that an installed distribution brings."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_io import TinyIo, action, perform

from flowbuild.core.errors import EngineLost, UnknownName
from flowbuild.engine.proc import ProcEngine
from flowbuild.engine.python import PythonEngine
from flowbuild.engine.registry import SHIPPED, Setting, engines, open_engine

ENGINE = """
from flowbuild.core.action import Outcome
from flowbuild.engine.engine import Capabilities

class Shouting:
    capabilities = Capabilities("shouting", "1", ("shout",))

    def __init__(self, setting):
        self.name = setting.workspace.name

    def perform(self, action, io):
        yield from ()
        path = io.scratch(action) / "o"
        path.write_text(action.with_["text"].upper() + " in " + self.name)
        return Outcome({"o": io.collect(path)})

    def interrupt(self): ...

    def close(self): ...
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with two engines, of which one can't be imported, and that would like to be `python`."""
    site = tmp_path / "site"
    (site / "shouting-2.1.dist-info").mkdir(parents=True)
    (site / "shouting_engine.py").write_text(ENGINE)
    (site / "shouting-2.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 2.1\n")
    (site / "shouting-2.1.dist-info" / "entry_points.txt").write_text(
        "[flowbuild.engines]\nshouting = shouting_engine:Shouting\nbroken = shouting_engine:Nope\npython = nowhere:Nope\n"
    )
    monkeypatch.syspath_prepend(str(site))


def test_what_ships_is_there(tmp_path: Path) -> None:
    assert {"proc", "python"} == set(SHIPPED) <= set(engines())
    kinds = {"proc": ProcEngine, "python": PythonEngine}
    for name, kind in kinds.items():
        engine = open_engine(name, Setting(tmp_path, ("true",)))
        assert isinstance(engine, kind)
        engine.close()


def test_a_distribution_adds_an_engine(installed: None, tmp_path: Path) -> None:
    assert engines()["shouting"] == "shouting 2.1"
    io = TinyIo(tmp_path)
    engine = open_engine("shouting", Setting(tmp_path))
    outcome = perform(engine.perform(action("shout", {"text": "hello"}, outputs={"o": "o"}), io))
    assert io.text(outcome, "o") == f"HELLO in {tmp_path.name}"


def test_names_that_ship_can_t_be_taken(installed: None, tmp_path: Path) -> None:
    assert engines()["python"] == "flowbuild"
    engine = open_engine("python", Setting(tmp_path))
    assert isinstance(engine, PythonEngine)
    engine.close()


def test_an_engine_that_can_t_be_imported_is_named_with_its_distribution(installed: None, tmp_path: Path) -> None:
    with pytest.raises(EngineLost, match="engine 'broken' of shouting 2.1 can't be loaded: AttributeError"):
        open_engine("broken", Setting(tmp_path))


def test_an_unknown_name_gets_the_nearest(installed: None, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="there is no engine 'shoutin'.*did you mean 'shouting'"):
        open_engine("shoutin", Setting(tmp_path))
