"""The runtime: defaults, files, flags, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowbuild.core.errors import BadAttribute, BadFlag, Faults, FlowError, LanguageMismatch
from flowbuild.load.runtime import Runtime, chosen, load_runtime


def load(place: Path, text: str) -> Runtime:
    (place / "runtime.yaml").write_text(text)
    return load_runtime(place / "runtime.yaml", "runtime.yaml")


def test_the_defaults_are_those_of_the_seed(tmp_path: Path) -> None:
    assert load(tmp_path, "runtime: {}\n") == Runtime("python", "python", "python", (), 120)


def test_plugins_are_in_the_same_language_by_default(tmp_path: Path) -> None:
    found = load(tmp_path, "runtime: {language: rust}\n")
    assert found.plugins_language == "rust"
    found.check()


def test_an_executor_s_files_are_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.js").touch()
    found = load(tmp_path, "runtime: {engine: proc, executor_path: node run.js --fast}\n")
    assert found.executor == ("node", str(tmp_path / "run.js"), "--fast")


def test_a_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert load(tmp_path, "runtime: {executor_path: ~/bin/x}\n").executor == ("/home/ada/bin/x",)


def test_flags_win(tmp_path: Path) -> None:
    said = Runtime("proc", executor=("a",))
    assert chosen(said, "python", None, tmp_path).engine == "python"
    assert chosen(said, None, "b -c 'd e'", tmp_path).executor == ("b", "-c", "d e")
    (tmp_path / "with space").touch()
    assert chosen(said, None, "with space", tmp_path).executor == (str(tmp_path / "with space"),)


@pytest.mark.parametrize(
    ("runtime", "error"),
    [
        (Runtime("proc"), BadAttribute),
        (Runtime(language="c"), LanguageMismatch),
        (Runtime("proc", "c", "python", ("x",)), LanguageMismatch),
    ],
)
def test_what_contradicts_itself(runtime: Runtime, error: type[FlowError]) -> None:
    with pytest.raises(error):
        runtime.check()


@pytest.mark.parametrize(
    "text", ["", "[]", "x", "runtime: 3", "engine: proc", "runtime: {executor: x}", "runtime: {timeout: 0}"]
)
def test_a_file_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises((FlowError, Faults)) as caught:
        load(tmp_path, text)
    assert caught.value.exit_code == 2  # type: ignore[union-attr]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFlag, match="there is no file"):
        load_runtime(tmp_path / "nothing", "nothing")
