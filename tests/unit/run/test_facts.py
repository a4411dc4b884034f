"""What binding asks of this machine: each answer once a session, and who is told of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flowbuild.core.canonical import sha256
from flowbuild.core.errors import BadPath
from flowbuild.graph.state import Code
from flowbuild.load.distributions import Distributions
from flowbuild.run.facts import HostFacts
from flowbuild.store.stamps import Stamps


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.absences: list[str] = []

    def file(self, path: str) -> None:
        self.files.append(path)

    def absent(self, path: str) -> None:
        self.absences.append(path)

    def directory(self, path: str) -> None: ...


Make = Callable[..., HostFacts]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def make(tmp_path: Path, told: Told) -> Make:
    def make(*search: str, world: Callable[[], dict[str, str]] = dict) -> HostFacts:
        path = tuple(str(tmp_path / one) for one in search)
        stamps = Stamps.load(tmp_path / "stamps")
        return HostFacts(tmp_path, path, stamps, Distributions(tmp_path), world, told, {"LC_ALL": "C"})

    return make


def program(place: Path, text: str = "x", mode: int = 0o755) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)
    return place


def test_a_source(make: Make, tmp_path: Path, told: Told) -> None:
    program(tmp_path / "a/tool.sh")
    facts = make()
    assert facts.source("a/tool.sh") == (sha256(b"x"), True)
    assert told.files == ["a/tool.sh"]


def test_one_session_sees_one_world(make: Make, tmp_path: Path) -> None:
    program(tmp_path / "a", "old", 0o644)
    facts = make()
    before = facts.source("a")
    (tmp_path / "a").write_text("new!")
    assert facts.source("a") == before
    assert facts.moved(["a", "never asked for"]) == ["a"]
    assert facts.source("a") == (sha256(b"new!"), False)  # what moved is read again


@pytest.mark.parametrize(("path", "message"), [("gone", "gone is not there"), (".", "is a directory")])
def test_a_source_that_is_none(make: Make, path: str, message: str) -> None:
    with pytest.raises(BadPath, match=message):
        make().source(path)


def test_the_first_program_of_the_path_wins_and_absences_count(make: Make, tmp_path: Path, told: Told) -> None:
    program(tmp_path / "one/tool", mode=0o644)  # not executable
    (tmp_path / "two/tool").mkdir(parents=True)  # a directory
    program(tmp_path / "three/tool", "three")
    program(tmp_path / "four/tool", "four")
    found = make("none", "one", "two", "three", "four").program("tool")
    assert found == {"name": "tool", "sha256": sha256(b"three")}
    assert told.absences == [f"{tmp_path}/none/tool"]
    assert told.files == [f"{tmp_path}/{place}/tool" for place in ("one", "two", "three")]


def test_a_program_that_is_nowhere(make: Make, told: Told, tmp_path: Path) -> None:
    assert make("bin").program("tool") is None
    assert told.absences == [f"{tmp_path}/bin/tool"]


def test_an_absolute_program_is_looked_up_nowhere_else(make: Make, tmp_path: Path) -> None:
    place = program(tmp_path / "elsewhere/tool")
    found = make("bin").program(str(place))
    assert found == {"name": str(place), "sha256": sha256(b"x")}


def test_a_scripts_interpreter_counts(make: Make, tmp_path: Path) -> None:
    interpreter = program(tmp_path / "sh", "a shell")
    program(tmp_path / "bin/tool", f"#! {interpreter} -eu\n")
    found = make("bin").program("tool")
    assert found is not None
    assert found["interpreter"] == sha256(b"a shell")


@pytest.mark.parametrize("first", ["#!", "#! ", "#!/no/such/interpreter", "", "#"])
def test_a_first_line_that_names_nothing(make: Make, tmp_path: Path, first: str) -> None:
    program(tmp_path / "bin/tool", first)
    assert set(make("bin").program("tool") or {}) == {"name", "sha256"}


def test_variables_are_noted_whether_set_or_not(make: Make) -> None:
    facts = make()
    assert (facts.variable("LC_ALL"), facts.variable("UNSET")) == ("C", None)
    assert facts.asked_variables == {"LC_ALL", "UNSET"}


def test_the_world_is_asked_once_and_only_when_needed(make: Make) -> None:
    asked: list[int] = []
    facts = make(world=lambda: asked.append(1) or {"world_id": "w"})  # type: ignore[func-returns-value]
    assert facts.asked_world is None
    assert facts.world() is facts.world()
    assert (asked, facts.asked_world) == ([1], {"world_id": "w"})


def test_the_harness_is_what_its_sources_say(make: Make, told: Told) -> None:
    facts = make()
    first = facts.harness()
    facts.variable("x")
    assert facts.harness() is first
    assert set(first) == {"name", "listing"}
    assert any(path.endswith("probe.py") for path in told.files)


def test_code_of_the_workspace(make: Make, tmp_path: Path) -> None:
    program(tmp_path / "p/top.py", "def f(): ...")
    program(tmp_path / "p/tokens.py", "x = 1")
    code = make().code(Code("p/top.py", None, "f", {"tokens": "p/tokens.py"}))
    assert code == {
        "function": "f",
        "source": sha256(b"def f(): ..."),
        "modules": {"p/tokens.py": sha256(b"x = 1")},
        "distributions": {},
    }


def test_installed_code_is_its_file(make: Make) -> None:
    import flowbuild.engine.golden as golden

    found = make().code(Code(None, "flowbuild.engine.golden", "compare"))
    assert found["source"] == sha256(Path(golden.__file__).read_bytes())


def test_installed_code_that_is_not_there(make: Make) -> None:
    with pytest.raises(BadPath, match="no module 'nowhere'"):
        make().code(Code(None, "nowhere", "f"))


def test_a_distribution_counts_and_its_files_are_watched(make: Make, told: Told) -> None:
    facts = make()
    (found,) = facts.code(Code(None, "xxhash", "xxh3_64", {}, ("xxhash",)))["distributions"].items()
    assert found[0] == "xxhash"
    assert set(found[1]) == {"version", "record"}
    assert any("xxhash" in os.path.basename(os.path.dirname(path)) for path in told.files)
