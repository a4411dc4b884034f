"""JUnit XML: how tests ended, as CI systems read it.

Knows nothing of how anything was tested. Each test target is a test case; its package is the suite and, with dots, the
class name. A target that is no test and failed under one is a case too, with an `error`, so that no reader takes a
test that was never run for a success. A fault that ended everything is one case, with an `error` for each fault.

Shapes:  testsuites > testsuite > testcase > failure | error | skipped; times in seconds. What XML 1.0 can't hold is
         U+FFFD, and colours of a terminal are left out.
Errors:  DiskRefused.
Source:  the schemas that Jenkins, GitLab and GitHub's reporters read: what all three have in common.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from flowbuild.core.errors import Faults, FlowError, Location
from flowbuild.core.event import StateStatus
from flowbuild.core.label import Label
from flowbuild.front.tally import Ended
from flowbuild.store.files import atomic_write, ensure_directory

# Everything but the characters of XML 1.0, production 2.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLOR = re.compile("\x1b\\[[0-9;]*[A-Za-z]")


def document(
    ended: Iterable[Ended], tests: Sequence[Label], elapsed: float, locate: Callable[[Label], Location]
) -> bytes:
    """The document of a run that came to its end."""
    known = {one.label: one for one in ended}
    others = [one.label for one in known.values() if one.label not in tests and one.status is StateStatus.FAILED]
    suites: dict[str, list[Xml.Element]] = {}
    for label in [*tests, *others]:
        one = known.get(label) or Ended(label, StateStatus.NOT_STARTED, message="the build ended before it")
        case = _case(one, locate(label), is_test=label in tests)
        suites.setdefault(f"//{label.package}", []).append(case)
    return _written(suites, elapsed)


def fault_document(error: FlowError | Faults) -> bytes:
    """The document of a command that could not even begin, or broke off."""
    case = Xml.Element("testcase", classname="flowbuild", name="flowbuild", time="0.000")
    for fault in error.exceptions if isinstance(error, Faults) else [error]:
        code = fault.code if isinstance(fault, FlowError) else type(fault).__name__
        text = fault.report() if isinstance(fault, FlowError) else str(fault)
        _add(case, "error", text.partition("\n")[0], text, kind=code)
    return _written({"flowbuild": [case]}, 0.0)


def write(path: Path, data: bytes) -> None:
    """Put a document where it was asked for, all at once."""
    ensure_directory(path.parent)
    atomic_write(path, data)


def _case(one: Ended, where: Location, *, is_test: bool) -> Xml.Element:
    classname = one.label.package.replace("/", ".") or "."
    case = Xml.Element("testcase", {"classname": classname, "name": one.label.name, "time": f"{one.seconds:.3f}"})
    for key, value in {"file": where.path, "line": where.line or ""}.items():
        if value:
            case.set(key, str(value))
    if one.status is StateStatus.FAILED:
        text = "\n".join(part for part in (one.message, one.log.rstrip("\n")) if part)
        text += f"\nlog: {one.log_path}" if one.log_path else ""
        _add(case, "failure" if is_test else "error", one.headline, text, kind=one.code)
    elif one.status in (StateStatus.CANCELLED, StateStatus.NOT_STARTED):
        _add(case, "skipped", one.headline)
    return case


def _add(case: Xml.Element, tag: str, message: str, text: str = "", kind: str = "") -> None:
    element = Xml.SubElement(case, tag, message=_legal(message))
    if kind:
        element.set("type", kind)
    element.text = _legal(text) or None


def _written(suites: dict[str, list[Xml.Element]], elapsed: float) -> bytes:
    every = [case for cases in suites.values() for case in cases]
    whole = Xml.Element("testsuites", {"name": "flowbuild", **_counts(every), "time": f"{elapsed:.3f}"})
    for name, cases in suites.items():
        seconds = sum(float(case.get("time", "0")) for case in cases)
        Xml.SubElement(whole, "testsuite", {"name": name, **_counts(cases), "time": f"{seconds:.3f}"}).extend(cases)
    Xml.indent(whole)
    return bytes(Xml.tostring(whole, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(cases: Sequence[Xml.Element]) -> dict[str, str]:
    tags = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    counts = {name: sum(case.find(tag) is not None for case in cases) for name, tag in tags.items()}
    return {name: str(number) for name, number in {"tests": len(cases), **counts}.items()}


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", _COLOR.sub("", text))
