"""The error tree: what is drawn is what is there, and every leaf has the exit code of its branch.

Seed 001: 001-14.
"""

from __future__ import annotations

import re

import pytest

from flowbuild.core import errors
from flowbuild.core.errors import BadFlag, BadYaml, EngineLost, Faults, FlowError, Location, UserError, raise_all

BRANCHES = {"UserError": 2, "Incapable": 3, "RunFailed": 1, "EngineError": 4, "StoreError": 5}


def drawn() -> dict[str, int]:
    """Every class in the drawing, with the exit code of the branch it hangs on."""
    found, code = {}, 70
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"    [├└]─ (\w+) +exit (\d+)", line)
        if branch:
            code = int(branch[2])
            found[branch[1]] = code
        elif line.startswith("    ") and found:
            words = re.sub(r"^[ │├└─]+", "", line).split("  ")
            names = words[:1] if "   " in line.strip(" │├└─") else words
            found |= {name: code for word in names for name in word.split() if word}
    return found


def subclasses(kind: type[FlowError]) -> set[type[FlowError]]:
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


CLASSES = {kind.__name__: kind for kind in subclasses(FlowError) if kind.__module__ == errors.__name__}


def test_what_is_drawn_is_what_is_there() -> None:
    assert set(drawn()) == set(CLASSES) - {"FlowError"}


def test_every_class_has_the_exit_code_of_its_branch() -> None:
    assert {name: CLASSES[name].exit_code for name in drawn()} == drawn()
    assert {name: drawn()[name] for name in BRANCHES} == BRANCHES
    assert FlowError.exit_code == 70


def test_codes_are_stable_words_of_their_own() -> None:
    codes = [kind("x").code for kind in CLASSES.values()]
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert len(set(codes)) == len(codes)
    assert BadYaml("x").code == "bad_yaml"


@pytest.mark.parametrize(
    ("location", "text"),
    [(Location("a"), "a"), (Location("a", 3), "a:3"), (Location("a", 3, 7), "a:3:7")],
)
def test_a_location_says_what_is_known(location: Location, text: str) -> None:
    assert str(location) == text


def test_an_error_in_one_line() -> None:
    error = BadFlag("no such flag", remedy="leave it out", location=Location("cmd", 1))
    assert str(error) == "cmd:1: no such flag; leave it out"
    assert str(BadFlag("no such flag")) == "no such flag"


def test_a_report_marks_the_column() -> None:
    error = BadYaml("a tab", remedy="use spaces", location=Location("BUILD.yaml", 2, 3, "a\tb: c"))
    assert error.report() == "BUILD.yaml:2:3: a tab\n    a b: c\n      ^\n  use spaces"


def test_no_fault_is_no_error() -> None:
    raise_all([])


def test_one_fault_travels_alone() -> None:
    with pytest.raises(BadYaml, match="first"):
        raise_all([BadYaml("first")])


def test_many_faults_travel_together_in_order() -> None:
    with pytest.raises(Faults) as caught:
        raise_all(iter([EngineLost("one"), BadYaml("two")]))
    assert [str(error) for error in caught.value.exceptions] == ["one", "two"]
    assert caught.value.exit_code == 4


def test_faults_can_be_caught_by_kind() -> None:
    try:
        raise Faults([BadYaml("one"), EngineLost("two")])
    except* UserError as group:
        assert isinstance(group, Faults)
        assert group.exit_code == 2
    except* EngineLost:
        pass
