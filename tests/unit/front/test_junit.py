"""JUnit XML: well formed whatever a program printed, counted right, and never a success where nothing was tested."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from flowbuild.core.errors import BadYaml, Faults, Location, UnknownTarget
from flowbuild.core.event import StateStatus
from flowbuild.core.label import Label
from flowbuild.front import junit
from flowbuild.front.tally import Ended

# What a reader may count on: each element, what it must say, and what may stand in it.
SHAPE: dict[str, tuple[set[str], set[str]]] = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testcase"}),
    "testcase": ({"classname", "name", "time"}, {"failure", "error", "skipped"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "skipped": ({"message"}, set()),
}


def checked(data: bytes) -> Xml.Element:
    """The document, once its shape and its sums are right."""
    root = Xml.fromstring(data)
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, inside = SHAPE[element.tag]
        assert needed <= set(element.keys()) and {child.tag for child in element} <= inside
    for suite in [root, *root]:
        cases = list(suite.iter("testcase"))
        assert int(suite.get("tests", "")) == len(cases) > 0
        for counted, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
            assert int(suite.get(counted, "")) == sum(case.find(tag) is not None for case in cases)
    return root


def locate(label: Label) -> Location:
    return Location(f"{label.package}/BUILD.yaml", 7, 5)


def case(one: Ended, *tests: Label) -> Xml.Element:
    found = checked(junit.document([one], tests or [one.label], 1.5, locate)).find(".//testcase")
    assert found is not None
    return found


TEST = Label("a/b", "t")


@pytest.mark.parametrize("status", [StateStatus.COMPLETED, StateStatus.REUSED])
def test_a_pass(status: StateStatus) -> None:
    found = case(Ended(TEST, status, 0.25))
    assert list(found) == []
    assert dict(found.items()) == {
        "classname": "a.b",
        "name": "t",
        "time": "0.250",
        "file": "a/b/BUILD.yaml",
        "line": "7",
    }


def test_a_failure_has_its_message_and_its_log() -> None:
    failure = case(Ended(TEST, StateStatus.FAILED, 0.1, "x:1   - a   + b\naccept", "exit", "said\n", "logs/l")).find(
        "failure"
    )
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("x:1   - a   + b", "exit")
    assert failure.text == "x:1   - a   + b\naccept\nsaid\nlog: logs/l"


@pytest.mark.parametrize("status", [StateStatus.NOT_STARTED, StateStatus.CANCELLED])
def test_what_was_not_tested_is_skipped(status: StateStatus) -> None:
    skipped = case(Ended(TEST, status, message="needs //x")).find("skipped")
    assert skipped is not None and skipped.get("message") == "needs //x"


def test_a_test_that_nothing_is_known_of_is_skipped() -> None:
    assert checked(junit.document([], [TEST], 0, locate)).find(".//skipped") is not None


def test_what_a_test_needs_and_could_not_be_built_is_an_error() -> None:
    ended = [
        Ended(Label("p", "built"), StateStatus.COMPLETED),
        Ended(Label("p", "broken"), StateStatus.FAILED, message="exit 1", code="exit"),
        Ended(Label("a/b", "t"), StateStatus.NOT_STARTED, message="needs //p:broken"),
    ]
    root = checked(junit.document(ended, [TEST], 0, locate))
    assert (root.get("tests"), root.get("errors"), root.get("skipped"), root.get("failures")) == ("2", "1", "1", "0")
    assert [suite.get("name") for suite in root] == ["//a/b", "//p"]


def test_the_root_package_has_a_class_name_too() -> None:
    assert case(Ended(Label("", "t"), StateStatus.COMPLETED)).get("classname") == "."


ODD = "\x1b[31mred\x1b[0m \0\x07\x0b\ufffe\udcff]]> & <b> \"'\tä \U0001f600\r\nend"


def test_what_xml_can_t_hold_is_replaced() -> None:
    failure = case(Ended(TEST, StateStatus.FAILED, message=ODD, code="exit", log=ODD)).find("failure")
    assert failure is not None and failure.text is not None
    assert failure.text.startswith("red \ufffd\ufffd\ufffd\ufffd\ufffd]]> & <b> \"'\tä \U0001f600")
    assert "\x1b" not in failure.text and failure.text.endswith("end")


def test_each_fault_of_a_command_that_could_not_begin_is_an_error() -> None:
    faults = Faults([BadYaml("a tab\0", location=Location("BUILD.yaml", 2, 3, "a\tb")), UnknownTarget("no //x")])
    root = checked(junit.fault_document(faults))
    assert [error.get("type") for error in root.iter("error")] == ["bad_yaml", "unknown_target"]
    assert "BUILD.yaml:2:3: a tab" in (next(root.iter("error")).text or "")


def test_it_is_written_whole_with_its_directories(tmp_path: Path) -> None:
    path = tmp_path / "reports/deep/junit.xml"
    junit.write(path, b"old")
    junit.write(path, junit.fault_document(BadYaml("x")))
    checked(path.read_bytes())
    assert [entry.name for entry in path.parent.iterdir()] == ["junit.xml"]
