"""Kept graphs: believed while all that they were made of stands, and never otherwise."""

from __future__ import annotations

import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workshop import Workshop

from flowbuild.core.action import Action, ErrorInfo, Outcome
from flowbuild.core.errors import Faults, FlowError, SecretsDetected
from flowbuild.front.arguments import key, parse
from flowbuild.run import kept
from flowbuild.run.kept import KEPT, Lowered
from flowbuild.run.session import Session
from flowbuild.store import null
from flowbuild.testing import ScriptedEngine

EXAMPLES = Path(__file__).parents[3] / "examples"
RULE = """
rule: twice
attributes: {text: {type: string, required: true}}
outputs: "${{ states.note.outputs }}"
states:
  note:
    kind: write
    with: {content: "${{ attr.text }}${{ attr.text }}"}
    outputs: {said: said.txt}
"""
TOLD = """
rule: told
attributes: {text: {type: file, required: true}}
outputs: {}
states:
  note: {kind: write, with: {content: "${{ attr.text }}"}, outputs: {said: said.txt}}
"""
MORE = """
targets:
  told: {rule: told, text: told.txt}
  noted: {rule: twice, text: ab}
  handled:
    rule: python
    handler: h.py:shout
    outputs: {said: said.txt}
  copied:
    rule: exec
    script: cat ${{ inputs.text }} > ${{ outputs.said }}
    inputs: {text: plain.txt}
    outputs: {said: said.txt}
  golden: {rule: golden, actual: //more:noted, expected: golden.txt}
  quiet: {rule: python, handler: q.py:quiet, outputs: {said: said.txt}, writes: [seen], snapshot: never}
"""
LINKS = "targets: {linked: {rule: filegroup, files: {glob: '*'}}}\n"
SECRET = """
targets:
  told:
    rule: exec
    script: echo of-somebody-8f3a91 > ${{ outputs.said }}
    outputs: {said: said.txt}
    secrets: [TOKEN_OF_TEST]
"""


EVERYTHING = ("//...",)
NAMED = ("//more:handled", "//more:copied", "//more:golden", "//more:told", "//links:linked", "//words:top")
"""For these no directory is listed but by a glob, and that of the rules."""


@pytest.fixture
def space(workshop: Workshop) -> Workshop:
    """A workspace with two kept graphs."""
    workshop.words()
    workshop.write("rules/twice.rule.yaml", RULE)
    workshop.write("more/BUILD.yaml", MORE)
    workshop.write("rules/told.rule.yaml", TOLD)
    workshop.write("more/plain.txt", "")
    workshop.write("more/told.txt", "")
    workshop.write("links/BUILD.yaml", LINKS)
    (workshop.root / "links/led").symlink_to("../apart/led")
    (workshop.root / "links/late").symlink_to("../apart/late")
    os.mkfifo(workshop.root / "links/pipe")
    workshop.write("apart/led", "")
    workshop.write("more/q.py", "def quiet(said, context):\n    context.write('seen', 1)\n")
    workshop.write("more/h.py", "import helper_that_may_be\n\ndef shout(said):\n    said.write_text('a')\n")
    for request in (EVERYTHING, NAMED):
        assert read(workshop, *request, is_kept=False)
    return workshop


def read(space: Workshop, *words: str, is_kept: bool) -> Lowered:
    """What is asked for, and its graph, which is kept for the next time."""
    with space.open(*words) as build:
        assert (build._lowering._kept is not None) is is_kept
        return Lowered(build.labels, build.graph)


def anew(space: Workshop, *words: str) -> Lowered:
    """The same without any kept graph."""
    shutil.rmtree(space.root / ".flowbuild/graphs")
    return read(space, *words, is_kept=False)


def assert_same(kept: Lowered, lowered: Lowered) -> None:
    """Equal, and of the same types: a member of a StrEnum equals its text, and is another thing."""
    assert kept == lowered
    for one, other in zip(kept.graph.states, lowered.graph.states, strict=True):
        assert repr(one) == repr(other)


def test_a_kept_graph_is_the_one_that_was_lowered(space: Workshop) -> None:
    found = read(space, "//...", is_kept=True)
    assert found.labels and found.graph.states
    assert_same(found, anew(space, "//..."))


@pytest.mark.parametrize("name", ["durable", "executors", "experiments", "flows", "weather", "words"])
def test_the_examples_are_kept(tmp_path: Path, name: str) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("out", ".flowbuild"))
    space = Workshop(tmp_path / "examples")
    read(space, f"//{name}/...", is_kept=False)
    assert_same(read(space, f"//{name}/...", is_kept=True), anew(space, f"//{name}/..."))


def test_a_source_that_is_edited_changes_no_graph(space: Workshop) -> None:
    space.write("words/names.txt", "another\n")
    assert_same(read(space, "//...", is_kept=True), anew(space, "//..."))


def same_second(space: Workshop, path: str, old: str, new: str) -> None:
    """Edit a file so that only its bytes tell."""
    place = space.root / path
    before = place.stat()
    assert len(old) == len(new) and old in place.read_text()
    place.write_text(place.read_text().replace(old, new, 1))
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def link(space: Workshop) -> None:
    """The package's directory is a link to one with the same files."""
    (space.root / "more").rename(space.root.parent / "elsewhere")
    (space.root / "more").symlink_to(space.root.parent / "elsewhere")


def pipe(space: Workshop) -> None:
    """What was a pipe is a file."""
    space.remove("links/pipe")
    space.write("links/pipe", "")


def led_away(space: Workshop) -> None:
    """The end of a link is a link itself, and leads out of the workspace."""
    (space.root / "apart/led").rename(space.root.parent / "led")
    (space.root / "apart/led").symlink_to(space.root.parent / "led")


CHANGES: dict[str, Callable[[Workshop], object]] = {
    "a target": lambda space: same_second(space, "more/BUILD.yaml", "text: ab", "text: cd"),
    "a rule": lambda space: same_second(space, "rules/twice.rule.yaml", "said.txt", "told.txt"),
    "another rule": lambda space: space.write("rules/other.rule.yaml", RULE.replace("twice", "other")),
    "the settings": lambda space: space.write("flowbuild.yaml", "pools: {gpu: 1}\n"),
    "a handler": lambda space: same_second(space, "more/h.py", "def shout(said)", "def shout(sabd)"),
    "a module": lambda space: same_second(space, "words/tokens.py", "return", "import"),
    "an import that is a file now": lambda space: space.write("helper_that_may_be.py", ""),
    "a file that a glob finds": lambda space: space.write("words/texts/b.txt", ""),
    "a file that a glob found": lambda space: space.remove("words/texts/a.txt"),
    "a source that is gone": lambda space: space.remove("more/plain.txt"),
    "a source that is a directory": lambda space: (space.remove("more/plain.txt"), space.write("more/plain.txt/a", "")),
    "a golden that is there now": lambda space: space.write("more/golden.txt", ""),
    "a package more": lambda space: space.write("new/BUILD.yaml", "targets: {}\n"),
    "a package less": lambda space: space.remove("more/BUILD.yaml"),
    "a workspace in the workspace": lambda space: space.write("more/flowbuild.yaml", ""),
    "a package in the package": lambda space: space.write("words/texts/BUILD.yaml", "targets: {}\n"),
    "a link to the same files": link,
    "a file that only an attribute names": lambda space: space.remove("more/told.txt"),
    "a link to nothing that leads to a file now": lambda space: space.write("apart/late", ""),
    "a link that leaves the workspace now": led_away,
    "a pipe that is a file now": pipe,
    "a link to no settings": lambda space: (space.root / "more/flowbuild.yaml").symlink_to("nowhere"),
}


@pytest.mark.parametrize("request_", [EVERYTHING, NAMED], ids=["everything", "named"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_lowering_would_see_is_lowered_anew(space: Workshop, change: str, request_: tuple[str, ...]) -> None:
    with space.open(*request_) as build:
        assert build._lowering._kept is not None
    CHANGES[change](space)
    with space.open(*request_) as build:
        assert (build._lowering._kept is None) is not (change == "a package more" and request_ is NAMED)


def test_an_import_that_is_installed_now(space: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/helper_that_may_be.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    found = read(space, *NAMED, is_kept=False)
    assert ("helper_that_may_be",) in [one.code.distributions for one in found.graph.states if one.code]


def test_another_request_has_another_graph(space: Workshop) -> None:
    read(space, "//more:noted", is_kept=False)
    read(space, "//words:top", is_kept=False)
    read(space, "//words:top", "--set", "limit=3", is_kept=False)
    found = read(space, "//words:top", "--set", "limit=3", is_kept=True)
    assert found.graph.targets[found.labels[0]].params == {"limit": 3}


def test_the_graph_of_a_pattern_is_that_of_its_targets(space: Workshop) -> None:
    found = read(space, "//...", is_kept=True)
    assert read(space, *map(str, found.labels), is_kept=True) == found


def test_a_pattern_takes_no_graph_that_was_made_by_name(space: Workshop) -> None:
    names = [str(label) for label in read(space, "//...", is_kept=True).labels]
    same_second(space, "more/BUILD.yaml", "text: ab", "text: cd")
    read(space, *names, is_kept=False)
    space.write("new/BUILD.yaml", "targets: {new: {rule: group, targets: []}}\n")
    assert len(read(space, "//...", is_kept=False).labels) == len(names) + 1


def test_only_the_last_ones_are_kept(space: Workshop) -> None:
    for limit in range(KEPT + 1):
        read(space, "//words:top", "--set", f"limit={limit}", is_kept=False)
    assert len(list((space.root / ".flowbuild/graphs").iterdir())) == KEPT
    read(space, "//words:top", "--set", f"limit={KEPT}", is_kept=True)


def test_explaining_keeps_nothing(workshop: Workshop) -> None:
    workshop.words()
    workshop.verdicts("--policy", "dry", "//...")
    assert not (workshop.root / ".flowbuild/graphs").exists()


def test_what_is_at_fault_is_not_kept(space: Workshop) -> None:
    space.write("more/BUILD.yaml", MORE.replace("text: ab", "texd: ab"))
    for _ in range(2):
        with pytest.raises((Faults, FlowError)):
            read(space, "//...", is_kept=False)


def test_a_fan_out_is_lowered_each_time(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("out", ".flowbuild"))
    space = Workshop(tmp_path / "examples")
    assert read(space, "//planets/...", is_kept=False).labels == read(space, "//planets/...", is_kept=False).labels


def test_what_moved_while_it_was_read_is_not_kept(space: Workshop) -> None:
    shutil.rmtree(space.root / ".flowbuild/graphs")
    with space.open("//...") as build:
        assert build.labels
        space.write("words/texts/late.txt", "")
        assert build.graph
    assert not (space.root / ".flowbuild/graphs").exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "version"])
def test_a_bad_table_is_none(space: Workshop, damage: str) -> None:
    anew(space, "//...")
    for place in (space.root / ".flowbuild/graphs").iterdir():
        data = place.read_bytes()
        flipped = data[:-30] + bytes([data[-30] ^ 1]) + data[-29:]
        place.write_bytes({"cut": data[:-1], "flipped": flipped, "empty": b"", "version": b"x" + data}[damage])
    read(space, "//...", is_kept=False)
    read(space, "//...", is_kept=True)


def test_a_graph_of_another_name_is_none(space: Workshop) -> None:
    directory = space.root / ".flowbuild/graphs"
    before = {one: one.read_bytes() for one in directory.iterdir()}
    read(space, "//words:top", "--set", "limit=3", is_kept=False)
    (made, pointer) = sorted(set(directory.iterdir()) - set(before), key=lambda one: -one.stat().st_size)
    read(space, "//words:top", "--set", "limit=4", is_kept=False)
    other = sorted(set(directory.iterdir()) - {made, pointer, *before}, key=lambda one: -one.stat().st_size)
    other[0].write_bytes(made.read_bytes())
    read(space, "//words:top", "--set", "limit=4", is_kept=False)


def test_a_directory_that_is_gone_is_forgotten(space: Workshop) -> None:
    (space.root / "empty").mkdir()
    read(space, "//...", is_kept=False)
    (space.root / "empty").rmdir()
    read(space, "//...", is_kept=False)
    read(space, "//...", is_kept=True)


def test_settings_that_moved_since_they_were_read_make_no_graph(space: Workshop) -> None:
    session = Session(space.root, world=dict)
    space.write("flowbuild.yaml", "ignore: [b.txt]\n")
    looks = session.looks()
    looks.file("flowbuild.yaml")
    assert not looks.stand(looks.doc((), ()))


def test_another_build_may_remove_graphs_meanwhile(space: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = space.root / ".flowbuild/graphs/gone"
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: [*listed(self), *([gone] if self == gone.parent else [])])
    for limit in range(KEPT + 1):
        read(space, "//words:top", "--set", f"limit={limit}", is_kept=False)


def test_a_graph_of_other_code_is_none(space: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_maker", lambda: "another")
    read(space, "//...", is_kept=False)


def test_no_bytes_call_just_anything() -> None:
    bad = pickle.dumps(os.getcwd)
    with pytest.raises(LookupError):
        kept._Unpickler(io.BytesIO(bad)).load()
    with pytest.raises(LookupError):
        kept._Unpickler(io.BytesIO(b"c__builtin__\nstr\n(C\x01aX\x08\x00\x00\x00punycodetR.")).load()
    with pytest.raises(pickle.PicklingError):
        kept._Pickler(io.BytesIO()).dump({"a": os.getcwd})


def test_a_graph_with_a_secret_is_forgotten(space: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    space.write("s/BUILD.yaml", SECRET)
    monkeypatch.delenv("TOKEN_OF_TEST", raising=False)
    assert read(space, "//s:told", is_kept=False)
    monkeypatch.setenv("TOKEN_OF_TEST", "of-somebody-8f3a91")
    with space.open("//s:told") as build, pytest.raises(SecretsDetected):
        build.build()
    assert not list((space.root / ".flowbuild/graphs").iterdir())


def test_a_killed_run_leaves_its_graph(space: Workshop) -> None:
    shutil.rmtree(space.root / ".flowbuild/graphs")
    seen: list[bool] = []

    def look(action: Action) -> Outcome:
        seen.append((space.root / ".flowbuild/graphs").is_dir())
        return Outcome(error=ErrorInfo("no", "no"))

    with space.open("//more:handled") as build:
        build.session.engine = ScriptedEngine({"//more:handled": look})
        build.build()
    assert seen == [True]


def test_the_null_table_knows_a_file_that_only_an_attribute_names(space: Workshop) -> None:
    asked = parse(["-C", str(space.root), "//more:told"])
    assert asked is not None
    name = key(asked, ".")
    for _ in range(2):
        assert space.make("//more:told").code == 0
    assert null.check(str(space.root), name)
    space.remove("more/told.txt")
    assert null.check(str(space.root), name) is None
