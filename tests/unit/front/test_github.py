"""What GitHub shows: annotations that its parser reads back, and a summary that Markdown can't be broken out of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from workshop import Workshop, declare, target

from flowbuild.core.action import ErrorInfo
from flowbuild.core.errors import Location
from flowbuild.front import arguments, cli, github
from flowbuild.front.build import Build
from flowbuild.testing import ScriptedEngine


def parsed(line: str) -> tuple[dict[str, str], str]:
    """A workflow command as GitHub's runner reads it."""
    found = re.fullmatch(r"::error ([^:\n]*)::([^\r\n]*)", line)
    assert found, line

    def plain(text: str, more: bool) -> str:
        for code, char in (("%3A", ":"), ("%2C", ",")) if more else ():
            text = text.replace(code, char)
        return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")

    pairs = (pair.split("=", 1) for pair in found[1].split(","))
    return {name: plain(value, True) for name, value in pairs}, plain(found[2], False)


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A step of a workflow, in a repository that is the directory above the workspace; its summary."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path / "summary.md"


@pytest.mark.parametrize("text", ["plain", "100%", "%0A", "a\nb\r\nc", "x::y", "::error::z", "a,b=c:d"])
def test_an_annotation_is_read_back_as_it_was(step: Path, tmp_path: Path, text: str) -> None:
    properties, message = parsed(
        github.annotation(text, text, Location("a b/BUILD.yaml", 3, 5), tmp_path / "workspace")
    )
    assert message == text
    assert properties == {"file": "workspace/a b/BUILD.yaml", "line": "3", "col": "5", "title": text}


def test_a_place_outside_of_the_repository_is_left_out(step: Path) -> None:
    assert parsed(github.annotation("x", "t", Location("BUILD.yaml", 3), Path("/elsewhere")))[0] == {"title": "t"}


@pytest.mark.parametrize("words", ["-C d //x", "-Cd //x", "//x --directory d", "list --directory=d", "runs list -C d"])
def test_where_a_command_line_starts(words: str) -> None:
    assert arguments.directory(words.split()) == "d"
    assert arguments.directory(["//x", "-C"]) == arguments.directory(["//x"]) == ""


def test_faults_are_annotated_at_their_places(
    step: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = {"a": {**target("true"), "rule": "exce"}, "b": {**target("true"), "scrip": "x"}}
    workshop.write("p/BUILD.yaml", declare(rules))
    assert cli.main(["build", "//p:a", "-C", str(workshop.root)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::")]
    first, second = map(parsed, lines)
    assert first[0]["file"] == "workspace/p/BUILD.yaml" and first[0]["title"] == "unknown_rule"
    assert "did you mean 'exec'?" in first[1] and "scrip" in second[1]


def test_what_lint_finds_is_annotated(step: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.write("p/BUILD.yaml", declare({"a": target("cat /etc/hosts")}))
    assert cli.main(["lint", "-C", str(workshop.root)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::")]
    assert {parsed(line)[0]["file"] for line in lines} == {"workspace/p/BUILD.yaml"}


def test_nothing_of_it_happens_elsewhere(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    workshop.write("BUILD.yaml", "- 1\n")
    assert cli.main(["//:a", "-C", str(workshop.root)]) == 2
    assert "::error" not in capsys.readouterr().err


def finished(space: Workshop, *words: str, **script: ErrorInfo) -> tuple[Build, int]:
    space.engine = lambda: ScriptedEngine({f"//:{name}": info for name, info in script.items()})
    with space.open(*words) as build:
        code = build.build()
        github.tell(build, code)
        return build, code


HOSTILE = ErrorInfo("exit", "a | b <script> `x`\n```\n</details>\n::add-mask::x")


def test_a_summary_tells_what_ran_and_folds_the_failures(
    step: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"a": target("true"), "b": target("true", inputs={"i": ":a"}), "c": target("echo")}
    workshop.write("BUILD.yaml", declare(rows))
    finished(workshop, "//:c")
    finished(workshop, "//...", "--continue", "dependencies-successful", a=HOSTILE)
    first, second = step.read_text().split("### ")[1:]
    assert first.startswith("flowbuild build //:c\n") and "1 performed in" in first
    assert "1 failed, 1 not started, 1 reused in" in second and "(exit 1)" in second
    assert r"| `//:a` | failed | a \| b &lt;script&gt; \`x\` |" in second
    assert "| `//:b` | not started | needs //:a |" in second
    assert second.count("\n````\n") == 2, "the fence is longer than the one in the log"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::")]
    assert parsed(line)[0]["title"] == "//:a" and "::add-mask::x" in parsed(line)[1]


def test_a_summary_that_can_t_be_written_is_no_failure(
    step: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    step.mkdir()
    workshop.write("BUILD.yaml", declare({"a": target("true")}))
    assert finished(workshop, "//:a")[1] == 0
    assert "summary can't be written" in capsys.readouterr().err


def test_as_many_annotations_as_are_shown(step: Path, workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"t{number}" for number in range(30)]
    workshop.write("BUILD.yaml", declare({name: target(name) for name in names}))
    finished(workshop, "//...", "--continue", "always", **dict.fromkeys(names, HOSTILE))
    assert capsys.readouterr().err.count("::error ") == github.MOST
    assert step.read_text().count("<details>") == github.LOGS
