"""Where values stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.core.errors import BadAttribute, Faults, Location
from flowbuild.load.position import Finding, Positions, locate, raise_found

TEXT = b"""\
targets:
  sorted:
    rule: exec
    inputs: {names: names.txt, more: [a, "b c"]}
    env:
    - LC_ALL
    script: |
      cat
  copy: &c {x: 1}
  again: *c
"""


@pytest.mark.parametrize(
    ("pointer", "key", "place"),
    [
        ((), False, (1, 1)),
        (("targets",), True, (1, 1)),
        (("targets", "sorted"), True, (2, 3)),
        (("targets", "sorted"), False, (3, 5)),
        (("targets", "sorted", "rule"), False, (3, 11)),
        (("targets", "sorted", "inputs", "names"), False, (4, 21)),
        (("targets", "sorted", "inputs", "names"), True, (4, 14)),
        (("targets", "sorted", "inputs", "more", 1), False, (4, 42)),
        (("targets", "sorted", "env", 0), False, (6, 7)),
        (("targets", "sorted", "script"), False, (7, 13)),
        (("targets", "again"), False, (10, 10)),
        (("targets", "again", "x"), False, (9, 16)),
        (("targets", "sorted", "nothing"), False, (2, 3)),
        (("targets", "sorted", "env", 7, "deeper"), False, (5, 5)),
    ],
)
def test_places(pointer: tuple[str | int, ...], key: bool, place: tuple[int, int]) -> None:
    found = locate(TEXT, "f", pointer, key=key)
    assert (found.line, found.column) == place
    assert found.text == TEXT.decode().splitlines()[place[0] - 1]


@pytest.mark.parametrize("data", [b"a: [", b"\xff", b"[" * 50_000, b""])
def test_a_file_that_no_longer_parses_gives_its_path(data: bytes) -> None:
    assert Positions(data, "f").find(("a", 0)) == Location("f")


def test_findings_are_raised_in_the_order_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(TEXT)
    findings = [
        Finding(BadAttribute, ("targets", "copy", "x"), "two"),
        Finding(BadAttribute, ("targets",), "one", "", True),
    ]
    with pytest.raises(Faults) as caught:
        raise_found(findings, file, "x.yaml")
    assert [str(fault) for fault in caught.value.exceptions] == ["x.yaml:1:1: one", "x.yaml:9:16: two"]


def test_findings_about_a_file_that_is_gone_keep_their_message(tmp_path: Path) -> None:
    with pytest.raises(BadAttribute, match=r"x\.yaml: one"):
        raise_found([Finding(BadAttribute, ("a",), "one")], tmp_path / "x.yaml", "x.yaml")
