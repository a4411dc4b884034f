"""The launcher as a program: what it prints, what it imports, and what it hands over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flowbuild
from flowbuild import __main__ as launcher
from flowbuild.front.arguments import ELAPSED, ROOT, key, parse
from flowbuild.store.rows import Rows, write

CODE = Path(flowbuild.__file__).parents[1]
SCRIPT = "import sys\nfrom {module} import main\nif __name__ == '__main__':\n    sys.exit(main())\n"

# What a null build may import beyond a bare interpreter. Each line here is paid by each null build.
NULL_ROAD = {
    "flowbuild",
    "flowbuild.__main__",
    "flowbuild.front",
    "flowbuild.front.arguments",
    "flowbuild.store",
    "flowbuild.store.null",
    "flowbuild.version",
    "zlib",
    "operator",
    "_operator",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace where nothing is left to do for `//...`, nor for `//... -v`."""
    monkeypatch.setenv("PYTHONPATH", f"{CODE}{os.pathsep}{tmp_path}")  # that of `run`: it is part of a table
    (tmp_path / "flowbuild.yaml").write_text("")
    (tmp_path / "sub").mkdir()
    time.sleep(0.02)
    rows = Rows(tmp_path.resolve())
    rows.file(tmp_path.resolve() / "flowbuild.yaml")
    for argv, text in ((["//..."], f"up to date: //... ({ELAPSED} s)\n"), (["//...", "-v"], f"{ROOT}out/x\n")):
        request = parse(argv)
        assert request and write(rows, key(request, "."), text)
    return tmp_path


def run(*argv: str, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": f"{CODE}{os.pathsep}{cwd}", **os.environ}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, *argv],
        **{"cwd": cwd, "env": environment, "capture_output": True, "text": True, "timeout": 30, **options},
    )


def test_answers_when_nothing_moved(root: Path) -> None:
    found = run("-m", "flowbuild", "//...", cwd=root)
    assert (found.returncode, found.stderr) == (0, "")
    assert re.fullmatch(r"up to date: //\.\.\. \(0\.\d\d s\)\n", found.stdout)


def test_paths_are_shown_from_where_the_user_stands(root: Path) -> None:
    assert run("-m", "flowbuild", "//...", "-v", cwd=root).stdout == "out/x\n"
    assert run("-m", "flowbuild", "-C", "..", "//...", "-v", cwd=root / "sub").stdout == "../out/x\n"


def test_version(tmp_path: Path) -> None:
    assert run("-m", "flowbuild", "--version", cwd=tmp_path).stdout == f"flowbuild {flowbuild.__version__}\n"


def imported(*argv: str, cwd: Path) -> set[str]:
    """Everything that a program imports, by Python's own account."""
    found = run("-X", "importtime", *argv, cwd=cwd)
    assert found.returncode == 0, found.stderr
    return {line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("by", ["module", "script"])
def test_null_road_imports_next_to_nothing(root: Path, by: str) -> None:
    """Compared with a bare interpreter that starts a program of one line through the same launcher."""
    (root / "bare.py").write_text("def main():\n    return 0\n")
    (root / "bare_script").write_text(SCRIPT.format(module="bare"))
    (root / "script").write_text(SCRIPT.format(module="flowbuild.__main__"))
    bare = imported(*(["-m", "bare"] if by == "module" else ["bare_script"]), cwd=root)
    ours = imported(*(["-m", "flowbuild"] if by == "module" else ["script"]), "//...", cwd=root)
    assert ours - bare <= NULL_ROAD
    assert "flowbuild.store.null" in ours


def test_package_imports_nothing(tmp_path: Path) -> None:
    bare = imported("-c", "", cwd=tmp_path)
    assert imported("-c", "import flowbuild", cwd=tmp_path) - bare == {"flowbuild"}


def test_exported_names_are_there() -> None:
    assert all(getattr(flowbuild, name) for name in flowbuild.__all__)
    assert set(flowbuild.__all__) <= set(dir(flowbuild))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = flowbuild.nonsense


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What reaches the slow road, which answers 42: words for the command line, or a request for a build."""
    seen: list[object] = []

    def take(what: object) -> int:
        seen.append(what)
        return 42

    monkeypatch.setattr("flowbuild.front.cli.main", take)
    monkeypatch.setattr("flowbuild.front.build.build", take)
    return seen


@pytest.mark.parametrize("line", ["", "test //...", "--help", "//... --nope", "list rules", "a/b"])
def test_unusual_words_reach_the_command_line(
    root: Path, handed_over: list[object], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["flowbuild", *line.split()])
    assert launcher.main() == 42
    assert handed_over == [line.split()]


@pytest.mark.parametrize("line", ["//sub", "//... --force //a", "//... --policy live", "//... -q", "-C nowhere //..."])
def test_build_that_is_not_proven_is_built(
    root: Path, handed_over: list[object], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["flowbuild", *line.split()])
    assert launcher.main() == 42
    assert handed_over == [parse(line.split())]


def test_moved_file_means_a_build(
    root: Path, handed_over: list[object], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["flowbuild", "//..."])
    assert launcher.main() == 0
    assert "up to date" in capfd.readouterr().out
    (root / "flowbuild.yaml").write_text("moved: true")
    assert launcher.main() == 42


def test_directory_that_is_gone_is_the_builds_to_refuse(
    root: Path, handed_over: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "sub")
    (root / "sub").rmdir()
    monkeypatch.setattr(sys, "argv", ["flowbuild", "//..."])
    assert launcher.main() == 42


def test_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.front.cli.main", lambda argv: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(sys, "argv", ["flowbuild", "test", "//..."])
    assert launcher.main() == 130


def test_a_program_that_can_t_be_read_is_5(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        """A disk that fails where the slow road begins."""

        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "flowbuild.front.guard":
                raise OSError(5, "Input/output error", "guard.py")

    monkeypatch.setattr(sys, "argv", ["flowbuild", "test", "//..."])
    monkeypatch.delitem(sys.modules, "flowbuild.front.guard", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    assert launcher.main() == 5
    assert capsys.readouterr().err == "flowbuild: [Errno 5] Input/output error: 'guard.py'\n"


def test_windows_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(launcher, "ON_WINDOWS", True)
    assert launcher.main() == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_reader_that_went_away_is_141_without_a_word(root: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found = run("-m", "flowbuild", "//...", cwd=root, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (found.returncode, found.stderr) == (141, "")


def test_full_disk_is_said(root: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("this host has no /dev/full")
    with open("/dev/full", "w") as full:
        found = run("-m", "flowbuild", "//...", cwd=root, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert found.returncode == 5
    assert found.stderr == "flowbuild: can't write to standard output: No space left on device\n"


def test_closed_output_is_silence(root: Path) -> None:
    found = run(
        "-c",
        "import os; os.close(1); os.execv(os.sys.executable, [os.sys.executable, '-m', 'flowbuild', '//...'])",
        cwd=root,
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
