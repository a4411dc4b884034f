"""`flowbuild test`: run test targets, count what passed, write it down for CI, and accept new goldens when asked."""

from __future__ import annotations

from pathlib import Path

from flowbuild.core.errors import BadFlag, Faults, FlowError, NoMatch
from flowbuild.core.event import StateStatus
from flowbuild.core.label import Label
from flowbuild.front import github, junit
from flowbuild.front.arguments import Request
from flowbuild.front.build import Build
from flowbuild.front.console import console
from flowbuild.store.files import ensure_directory
from flowbuild.store.tree import materialize


def test(request: Request, update_goldens: bool, report: str | None = None) -> int:
    """Exit 1 if a test failed, or something that a test needs. `report` is a JUnit file that tells of it."""
    if update_goldens and report:
        raise BadFlag("--update-goldens tests nothing, so --junit has nothing to tell", remedy="leave one out")
    path = Path(request.directory, report) if report else None
    try:
        return _test(request, update_goldens, path)
    except (FlowError, Faults) as error:
        if path is not None:
            junit.write(path, junit.fault_document(error))
        raise


def _test(request: Request, update_goldens: bool, path: Path | None) -> int:
    out = console(request)
    with Build(request, out) as build:
        tests = _tests(build)
        if update_goldens:
            return _update(build)
        result, code = build.evaluate()
        build.show_waiting(result)
        passed = failed = 0
        for label in tests:
            statuses = [result.status[number] for number in build.graph.targets[label].states]
            is_good = all(status in (StateStatus.COMPLETED, StateStatus.REUSED) for status in statuses)
            passed, failed = passed + is_good, failed + (not is_good)
            out.emit({"test": str(label), "passed": is_good})
            if is_good and out.verbose:
                out.line(f"  passed  {label}")
        out.emit({"summary": {"passed": passed, "failed": failed}, "exit_code": code})
        if path is not None:
            locate = build.catalog.locate
            ended, elapsed = build.tally.ended(build.graph), build.tally.elapsed
            junit.write(path, junit.document(ended, tests, elapsed, lambda label: locate(build.catalog.target(label))))
        github.tell(build, code)
        out.always(f"{failed} failed, {passed} passed" if failed else f"{passed} passed")
        return code


def _tests(build: Build) -> list[Label]:
    """The tests that are asked for. Who names something else meant something else: nothing would be tested."""
    targets = build.graph.targets
    for label in build.labels:
        if not any(targets[one].test for one in build.graph.spread([label])):
            remedy = f"flowbuild build {label} builds it; a target of the rule golden tests one"
            raise NoMatch(f"{label} is no test: its rule is {targets[label].rule}", remedy=remedy)
    return [label for label in build.wanted if targets[label].test]


def _update(build: Build) -> int:
    """Build what the goldens compare, and write it where they expect it."""
    goldens = [built.golden for label in build.wanted if (built := build.graph.targets[label]).golden is not None]
    result, code = build.evaluate(sorted({golden.actual.state for golden in goldens}))
    for golden in goldens:
        item = golden.actual
        if item.state in result.products:
            target = build.workspace.root / golden.expected
            ensure_directory(target.parent)
            materialize(build.session.cas, result.products[item.state][item.output], target)
            build.console.line(f"  updated {golden.expected}")
    return code
