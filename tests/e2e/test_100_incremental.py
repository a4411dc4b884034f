"""Incremental, and right: what runs again after each change, and that nothing runs after that."""

from __future__ import annotations

import os
from pathlib import Path

from flowbuild.testing import Space


def test_the_first_build_performs_everything_and_shows_the_outputs(words: Space) -> None:
    ran = words.build("//words")
    assert ran.performed == 3
    assert words.read("out/bin/words/top/top.json") == "2\n"
    assert words.read("out/bin/words/sorted/sorted.txt") == "ada\nmo\n"
    assert not (words.root / "out/bin/words/counted").exists()  # nobody asked for it


def test_an_edited_source_runs_what_it_touches(words: Space) -> None:
    words.build("//words")
    words.write("words/names.txt", "mo\nada\nbo\n")
    assert words.build("//words").performed == 3
    assert words.read("out/bin/words/top/top.json") == "3\n"


def test_an_equal_output_stops_the_rebuild_there(words: Space) -> None:
    words.build("//words")
    words.write("words/names.txt", "mo\nada\nada\nada\n")
    ran = words.build("//words")
    assert ran.performed == 1
    assert "same output: nothing after it changed" in ran.out
    assert "words/names.txt changed" in ran.out


def test_an_edit_that_is_taken_back_runs_nothing(words: Space) -> None:
    words.build("//words")
    words.write("words/names.txt", "mo\nada\nbo\n")
    words.write("words/names.txt", "mo\nada\nada\n")
    assert words.build("//words").performed == 0


def test_a_revert_to_an_older_text_is_remembered(words: Space) -> None:
    words.build("//words")
    words.write("words/names.txt", "mo\n")
    words.build("//words")
    words.write("words/names.txt", "mo\nada\nada\n")
    assert words.build("//words").performed == 0
    assert words.read("out/bin/words/top/top.json") == "2\n"


def test_a_touch_runs_nothing(words: Space) -> None:
    words.build("//words")
    os.utime(words.root / "words/names.txt")
    assert words.build("//words").performed == 0


def test_the_same_size_and_mtime_are_seen_through(words: Space) -> None:
    path = words.root / "words/names.txt"
    words.build("//words")
    before = path.stat()
    path.write_text("mo\nbob\nada\n"[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert words.build("//words").performed == 3


def test_a_changed_attribute_runs_its_target(words: Space) -> None:
    words.build("//words")
    build = words.root / "words/BUILD.yaml"
    build.write_text(build.read_text().replace("sort -u", "sort -r -u"))
    assert words.build("//words").performed == 2  # the sorted text differs, the count does not


def test_a_parameter_runs_its_target(words: Space) -> None:
    words.build("//words:top")
    assert words.build("//words:top", "--set", "limit=1").performed == 1
    assert words.read("out/bin/words/top/top.json") == "1\n"
    assert words.build("//words:top").performed == 0
    assert words.read("out/bin/words/top/top.json") == "2\n"


def test_a_declared_variable_counts_and_another_does_not(words: Space) -> None:
    words.build("//words", LC_ALL="C")
    assert words.build("//words", LC_ALL="C", UNDECLARED="x").performed == 0
    assert words.build("//words", LC_ALL="C.UTF-8").performed == 1


def test_an_edited_handler_runs_again(words: Space) -> None:
    words.build("//words")
    path = words.root / "words/top.py"
    path.write_text(path.read_text() + "\n# changed\n")
    ran = words.build("//words")
    assert ran.performed == 1
    assert "handler changed" in ran.out


def test_an_edited_module_runs_its_handler(words: Space) -> None:
    words.build("//words")
    words.write("words/tokens.py", "def number(text: str) -> int:\n    return int(text) * 2\n")
    assert words.build("//words").performed == 1
    assert words.read("out/bin/words/top/top.json") == "4\n"


def test_an_undeclared_module_is_refused_when_it_is_imported_statically(words: Space) -> None:
    words.write("words/other.py", "x = 1\n")
    path = words.root / "words/top.py"
    path.write_text(path.read_text().replace("import json", "import json\nimport other"))
    ran = words.run("//words")
    assert ran.code == 2
    assert "words/top.py:5:8: imports workspace module 'other' (words/other.py)" in ran.err
    assert "\n    import other\n           ^\n  add other.py to modules:\n" in ran.err


def test_an_undeclared_module_is_refused_when_it_is_imported_dynamically(words: Space) -> None:
    words.write("words/other.py", "x = 1\n")
    path = words.root / "words/top.py"
    path.write_text(path.read_text().replace("    top.write", "    __import__('oth' + 'er')\n    top.write"))
    ran = words.run("//words")
    assert ran.code == 1
    assert "words/other.py" in ran.out
    assert "modules" in ran.out


def test_another_program_behind_the_first_word_runs_again(space: Space) -> None:
    space.write("flowbuild.yaml", f"path: [{space.root}/bin, /usr/bin, /bin]\n")
    space.write("BUILD.yaml", "targets:\n  t: {rule: exec, command: 'tool ${{ outputs.o }}', outputs: {o: o}}\n")
    space.write("bin2/tool", "#!/bin/sh\necho one > $1\n", executable=True)
    os.symlink("bin2", space.root / "bin")
    space.build("//:t")
    space.write("bin2/tool", "#!/bin/sh\necho two > $1\n", executable=True)
    assert space.build("//:t").performed == 1
    assert space.read("out/bin/t/o") == "two\n"


def test_a_program_that_appears_earlier_in_the_path_wins(space: Space) -> None:
    space.write("flowbuild.yaml", f"path: [{space.root}/first, {space.root}/second, /usr/bin, /bin]\n")
    space.write("BUILD.yaml", "targets:\n  t: {rule: exec, command: 'tool ${{ outputs.o }}', outputs: {o: o}}\n")
    space.write("second/tool", "#!/bin/sh\necho second > $1\n", executable=True)
    space.build("//:t")
    space.write("first/tool", "#!/bin/sh\necho first > $1\n", executable=True)
    assert space.build("//:t").performed == 1


def test_another_interpreter_behind_env_runs_again(space: Space) -> None:
    space.write("flowbuild.yaml", f"path: [{space.root}/bin, /usr/bin, /bin]\n")
    space.write("BUILD.yaml", "targets:\n  t: {rule: exec, command: 'tool ${{ outputs.o }}', outputs: {o: o}}\n")
    space.write("bin/tool", "#!/usr/bin/env mysh\necho $SAID > $1\n", executable=True)
    space.write("bin/mysh", '#!/bin/sh\nSAID=one exec sh "$@"\n', executable=True)
    space.build("//:t")
    space.write("bin/mysh", '#!/bin/sh\nSAID=two exec sh "$@"\n', executable=True)
    assert space.build("//:t").performed == 1
    assert space.read("out/bin/t/o") == "two\n"


GLOBBED = """
targets:
  joined:
    rule: exec
    script: cat ${{ inputs.texts }} > ${{ outputs.all }}
    inputs: {texts: {glob: texts/**/*.txt}}
    outputs: {all: all.txt}
"""


def test_a_file_added_or_deleted_under_a_glob(space: Space) -> None:
    space.write("BUILD.yaml", GLOBBED)
    space.write("texts/a.txt", "a\n")
    space.build("//:joined")
    space.write("texts/b.txt", "b\n")
    assert space.build("//:joined").performed == 1
    space.write("texts/deep/er/c.txt", "c\n")
    assert space.build("//:joined").performed == 1
    assert space.read("out/bin/joined/all.txt") == "a\nb\nc\n"
    space.remove("texts/b.txt")
    assert space.build("//:joined").performed == 1
    space.write("texts/note.md", "not asked for\n")
    assert space.build("//:joined").performed == 0


def test_an_added_package_takes_its_files_from_the_glob_and_joins_the_pattern(space: Space) -> None:
    space.write("BUILD.yaml", GLOBBED)
    space.write("texts/a.txt", "a\n")
    space.write("texts/sub/b.txt", "b\n")
    space.build("//...")
    space.write(
        "texts/sub/BUILD.yaml", "targets:\n  x: {rule: exec, script: 'echo x > ${{ outputs.x }}', outputs: {x: x}}\n"
    )
    assert space.build("//...").performed == 2
    assert space.read("out/bin/joined/all.txt") == "a\n"


def test_a_shown_output_that_is_deleted_or_edited_comes_back(words: Space) -> None:
    words.build("//words")
    words.remove("out/bin/words/top/top.json")
    assert words.build("//words").performed == 0
    assert words.read("out/bin/words/top/top.json") == "2\n"
    words.write("out/bin/words/top/top.json", "9\n")
    assert words.build("//words").performed == 0
    assert words.read("out/bin/words/top/top.json") == "2\n"


def test_a_damaged_object_is_made_again(words: Space) -> None:
    words.build("//words")
    for path in (words.root / ".flowbuild/cas").rglob("*"):
        if path.is_file() and path.read_bytes() == b"2\n" and len(path.name) == 64:
            path.chmod(0o644)
            path.write_bytes(b"3\n")
    ran = words.build("//words")
    assert ran.performed
    assert words.read("out/bin/words/top/top.json") == "2\n"


def test_an_input_that_is_edited_while_its_action_runs(space: Space) -> None:
    root = space.root
    space.write("data.txt", "old\n")
    space.write(
        "BUILD.yaml",
        f"""
        targets:
          t:
            rule: exec
            script: |
              cat ${{{{ inputs.data }}}} > ${{{{ outputs.o }}}}
              if [ "$(cat {root}/data.txt)" = old ]; then echo newer > {root}/data.txt; fi
            inputs: {{data: data.txt}}
            outputs: {{o: o.txt}}
        """,
    )
    first = space.run("//:t")
    assert first.code == 0
    assert "data.txt changed while it ran" in first.out
    assert space.build("//:t").performed == 1
    assert space.read("out/bin/t/o.txt") == "newer\n"


FAILING = """
targets:
  bad:
    rule: exec
    script: |
      echo made > ${{ outputs.o }}
      echo something is wrong >&2
      exit 3
    outputs: {o: o.txt}
  after:
    rule: exec
    script: cat ${{ inputs.x }} > ${{ outputs.o }}
    inputs:
      x: :bad
    outputs: {o: o.txt}
"""


def test_a_failing_action_says_how_and_is_not_remembered(space: Space) -> None:
    space.write("BUILD.yaml", FAILING)
    for _ in range(2):
        ran = space.run("//:after")
        assert ran.code == 1
        assert "exit 3" in ran.out
        assert "something is wrong" in ran.out
        assert "//:after needs //:bad" in ran.out
        assert "0 performed, 0 reused, 1 failed, 1 not started" in ran.out
    log = next(line.split()[1] for line in ran.out.splitlines() if line.strip().startswith("log"))
    assert "something is wrong" in (space.root / log).read_text()


def test_the_reproducing_command_reproduces(space: Space) -> None:
    space.write("BUILD.yaml", FAILING)
    out = space.run("//:bad").out
    command = next(line.strip().removeprefix("reproduce").strip() for line in out.splitlines() if "reproduce" in line)
    assert os.waitstatus_to_exitcode(os.system(f"cd {space.root} && ({command}) 2>/dev/null")) == 3


def test_two_checkouts_share_one_cache(tmp_path: Path, words: Space) -> None:
    words.write("flowbuild.yaml", f"cache: {{dir: {tmp_path}/shared}}\n")
    words.build("//words")
    other = Space(tmp_path / "elsewhere" / "checkout")
    for path in ("flowbuild.yaml", "words/BUILD.yaml", "words/names.txt", "words/top.py", "words/tokens.py"):
        other.write(path, words.read(path))
    assert other.build("//words").performed == 0
    assert other.read("out/bin/words/top/top.json") == "2\n"


def test_directories_and_executables_are_outputs(space: Space) -> None:
    space.write(
        "BUILD.yaml",
        """
        targets:
          parts:
            rule: exec
            script: |
              mkdir -p ${{ outputs.parts }}/deep
              echo one > ${{ outputs.parts }}/one
              echo two > ${{ outputs.parts }}/deep/two
              printf '#!/bin/sh\\necho tool' > ${{ outputs.tool }}
              chmod +x ${{ outputs.tool }}
            outputs: {parts: parts/, tool: tool.sh}
          used:
            rule: exec
            script: |
              cat ${{ inputs.parts }}/one ${{ inputs.parts }}/deep/two > ${{ outputs.o }}
              ${{ inputs.tool }} >> ${{ outputs.o }}
            inputs:
              parts: //:parts#parts
              tool: //:parts#tool
            outputs: {o: o}
        """,
    )
    space.build("//...")
    assert space.read("out/bin/used/o") == "one\ntwo\ntool\n"
    assert os.access(space.root / "out/bin/parts/tool.sh", os.X_OK)
    space.remove("out/bin/parts/parts/deep")
    assert space.build("//...").performed == 0
    assert space.read("out/bin/parts/parts/deep/two") == "two\n"


def test_force_performs_again(words: Space) -> None:
    words.build("//words")
    ran = words.run("//words", "--force", "//words:counted")
    assert (ran.code, ran.performed) == (0, 1)
    assert words.build("//words").performed == 0


def test_what_is_shown_shares_no_inode_with_the_store(words: Space) -> None:
    words.build("//words")
    stored = {path.stat().st_ino for path in (words.root / ".flowbuild/cas").rglob("*") if path.is_file()}
    shown = {path.stat().st_ino for path in (words.root / "out").rglob("*") if path.is_file()}
    assert not stored & shown


def test_a_source_that_links_out_of_the_workspace_is_refused(tmp_path: Path, space: Space) -> None:
    (tmp_path / "secret.txt").write_text("x\n")
    space.write("BUILD.yaml", GLOBBED.replace("{glob: texts/**/*.txt}", "linked.txt"))
    os.symlink(tmp_path / "secret.txt", space.root / "linked.txt")
    ran = space.run("//:joined")
    assert ran.code == 2
    assert "leaves the workspace" in ran.err
    (space.root / "linked.txt").unlink()
    space.write("inside.txt", "y\n")
    os.symlink("inside.txt", space.root / "linked.txt")
    assert space.build("//:joined").performed == 1
