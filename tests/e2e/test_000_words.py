"""What a newcomer types first: labels, patterns, versions, nothing at all."""

from __future__ import annotations

from flowbuild.testing import Space
from flowbuild.version import __version__


def test_version(space: Space) -> None:
    assert space.run("--version").out == f"flowbuild {__version__}\n"


def test_no_workspace_is_one_clear_message(space: Space) -> None:
    (space.root / "flowbuild.yaml").unlink()
    ran = space.run("//x")
    assert ran.code == 2
    assert "flowbuild.yaml" in ran.err
    assert "Traceback" not in ran.err


def test_an_unknown_package_suggests_the_nearest(words: Space) -> None:
    ran = words.run("//word")
    assert ran.code == 2
    assert "'//words'" in ran.err


def test_an_unknown_target_suggests_the_nearest(words: Space) -> None:
    ran = words.run("//words:sortd")
    assert ran.code == 2
    assert "did you mean 'sorted'?" in ran.err


def test_an_unknown_flag_suggests_the_nearest(words: Space) -> None:
    ran = words.run("//words", "--continu", "always")
    assert ran.code == 2
    assert "--continue" in ran.err


def test_an_unknown_command_suggests_the_nearest(words: Space) -> None:
    ran = words.run("explian", "//words")
    assert ran.code == 2
    assert "'explain'" in ran.err


def test_patterns_pick_and_take_away(words: Space) -> None:
    words.write(
        "other/BUILD.yaml", "targets:\n  x: {rule: exec, script: 'echo x > ${{ outputs.x }}', outputs: {x: x}}\n"
    )
    assert words.build("//...", "-//words/...").performed == 1
    assert words.build("//words:all").performed == 3


def test_labels_are_relative_to_where_somebody_stands(words: Space) -> None:
    assert words.build("-C", "words", ":sorted").performed == 1
    assert (words.root / "out/bin/words/sorted/sorted.txt").exists()


def test_json_is_one_object_a_line(words: Space) -> None:
    lines = words.events("//words")
    assert lines[0]["event"]["Kernel"]["RunStarted"]["op_id"].startswith("words_words_")
    assert lines[-1]["exit_code"] == 0
    assert lines[-1]["summary"]["performed"] == 3


def test_explain_says_what_would_run_and_does_nothing(words: Space) -> None:
    ran = words.run("explain", "//words")
    assert ran.code == 0
    assert "never built" in ran.out
    assert not (words.root / "out").exists()
    assert not (words.root / ".flowbuild").exists()
    words.build("//words")
    assert "0 would run, 0 may run, 3 would be reused" in words.run("explain", "//words").out
    words.write("words/names.txt", "mo\n")
    out = words.run("explain", "//words").out
    assert "inputs.names.sha256" in out
    assert "1 would run, 2 may run, 0 would be reused" in out


def test_why_tells_the_root_cause_from_what_followed(words: Space) -> None:
    assert "never built" in words.run("why", "//words:top").out
    words.build("//words")
    words.write("words/names.txt", "mo\nada\nbo\n")
    words.build("//words")
    out = words.run("why", "//words:top").out
    assert "from //words:counted" in out
    assert "root cause:" in out
    assert "//words:sorted  inputs.names.sha256" in out
    words.write("words/names.txt", "mo\nada\nada\n")
    words.build("//words")
    assert "did not run: its action key" in words.run("why", "//words:sorted").out


def test_outputs_prints_paths(words: Space) -> None:
    assert words.run("outputs", "//words:top").code == 1
    words.build("//words")
    assert words.run("outputs", "//words:top").out == "out/bin/words/top/top.json\n"


def test_list_and_describe(words: Space) -> None:
    assert "//words:sorted" in words.run("list").out
    assert "exec" in words.run("list", "rules").out
    assert "command" in words.run("describe", "exec").out
    assert "words/BUILD.yaml:" in words.run("describe", "//words:sorted").out


def test_clean_removes_what_is_shown_and_keeps_what_is_remembered(words: Space) -> None:
    words.build("//words")
    assert words.run("clean").code == 0
    assert not (words.root / "out/bin").exists()
    assert words.build("//words").performed == 0


def test_goldens(words: Space) -> None:
    path = words.root / "words/BUILD.yaml"
    path.write_text(
        path.read_text() + "\n  stable:\n    rule: golden\n    actual: //words:top\n    expected: golden/top.json\n"
    )
    missing = words.run("test", "//words:all")
    assert missing.code == 1
    assert "--update-goldens" in missing.out
    assert words.run("test", "//words:all", "--update-goldens").code == 0
    assert words.read("words/golden/top.json") == "2\n"
    assert "1 passed" in words.run("test", "//words:all").out
    words.write("words/names.txt", "mo\n")
    failed = words.run("test", "//words:all")
    assert failed.code == 1
    assert "golden/top.json" in failed.out
    assert words.run("//...").code == 0  # tests are not built by a pattern
