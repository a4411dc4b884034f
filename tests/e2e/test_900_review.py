"""Faults that were found by trying to break the main road, each held by the smallest case that shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.testing import Space
from tests.e2e.test_400_bundles import EXPERIMENT, RUN

ONE = """
targets:
  a: {rule: exec, script: "echo a > ${{ outputs.o }}", outputs: {o: o}}
"""


def test_a_directory_that_is_not_there_is_no_place_to_start(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    space.build("//:a")
    for directory in ("nowhere", "BUILD.yaml"):
        ran = space.run("-C", directory, "//:a")
        assert ran.code == 2
        assert directory in ran.err


@pytest.mark.parametrize("force", ["//:nope", "//nope", "//:b"])
def test_a_label_that_forces_nothing_is_refused(space: Space, force: str) -> None:
    space.write("BUILD.yaml", ONE + ONE.replace("targets:", "").replace("a:", "b:", 1))
    space.build("//:a")
    ran = space.run("//:a", "--force", force)
    assert ran.code == 2
    assert force in ran.err or "nope" in ran.err


def test_forcing_a_group_forces_its_members(space: Space) -> None:
    space.write("BUILD.yaml", ONE + '  g: {rule: group, targets: ["//:a"]}\n')
    space.build("//:g")
    assert space.run("//:g", "--force", "//:g").performed == 1


@pytest.mark.parametrize("flags", ["--config x.yaml", "--timeout 5"])
def test_a_flag_of_a_later_version_is_refused_and_not_ignored(space: Space, flags: str) -> None:
    space.write("BUILD.yaml", ONE)
    space.build("//:a")
    ran = space.run("//:a", *flags.split())
    assert ran.code == 3
    assert flags.split()[0] in ran.err


def test_an_engine_that_is_not_there_is_refused(space: Space) -> None:
    space.write("flowbuild.yaml", "runtime: {engine: prok}\n")
    space.write("BUILD.yaml", ONE)
    ran = space.run("//:a")
    assert ran.code == 2
    assert "there is no engine 'prok'" in ran.err
    assert "did you mean 'proc'" in ran.err


def test_an_engine_that_lacks_its_executor_is_refused(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    ran = space.run("//:a", "--engine", "proc")
    assert ran.code == 2
    assert "--executor-path" in ran.err


@pytest.mark.parametrize("flags", ["", "--update-goldens", "--junit j.xml"])
def test_what_is_no_test_has_not_passed(space: Space, flags: str) -> None:
    space.write("BUILD.yaml", ONE + '  g: {rule: group, targets: ["//:a"]}\n')
    for label in ("//:a", "//:g"):
        ran = space.run("test", label, *flags.split())
        assert ran.code == 2
        assert f"{label} is no test" in ran.err
        assert "passed" not in ran.out


def test_a_group_counts_its_tests_only(space: Space) -> None:
    space.write(
        "BUILD.yaml",
        ONE + '  t: {rule: golden, actual: "//:a", expected: a.txt}\n  g: {rule: group, targets: ["//:a", "//:t"]}\n',
    )
    space.write("a.txt", "a\n")
    assert space.run("test", "//:g").out.endswith("\n1 passed\n")


def test_a_cache_that_others_may_share_is_kept_and_named(space: Space, tmp_path: Path) -> None:
    space.write("flowbuild.yaml", f"cache: {{dir: {tmp_path / 'shared'}}}\n")
    space.write("BUILD.yaml", ONE)
    space.build("//:a")
    assert f"kept {tmp_path / 'shared'}/" in space.run("clean", "--cache").out
    assert space.build("//:a").performed == 0
    assert "kept" not in space.run("clean").out


def test_every_fault_of_a_file_is_told_with_its_place(space: Space) -> None:
    space.write(
        "BUILD.yaml",
        """
        targets:
          a: {rule: exec, script: x, outputs: {o: o}, inputs: {i: nothere.txt}}
          b: {rule: exec, script: x, outputs: {o: o}, inputs: {i: [nothere.txt]}}
          c: {rule: filegroup, files: [sub]}
          d: {rule: exec, script: x, outputs: {o: o}, inputs: {i: "//:a"}}
        """,
    )
    space.write("sub/x", "")
    ran = space.run("//...")
    assert ran.code == 2
    for place in ("BUILD.yaml:2:59: nothere.txt", "BUILD.yaml:3:60: nothere.txt", "BUILD.yaml:4:32: sub is a dir"):
        assert place in ran.err
    assert ran.err.count("flowbuild: ") == 3


def test_every_clash_of_two_targets_is_told_once(space: Space) -> None:
    one = "{rule: exec, script: x, outputs: {o: %s, p: %s}}"
    space.write("c/BUILD.yaml", f"targets:\n  x: {one % ('y/z', 'y/w')}\n  v: {one % ('u/t/s', 'r')}\n")
    space.write("c/x/BUILD.yaml", f"targets:\n  y: {one % ('z', 'w')}\n")
    space.write("c/v/BUILD.yaml", f"targets:\n  u: {one % ('t', 'q')}\n")
    ran = space.run("//...")
    assert ran.code == 2
    assert ran.err.count("flowbuild: ") == 2
    assert "//c:x and //c/x:y write out/bin/c/x/y/z" in ran.err
    assert "write out/bin/c/v/u/t" in ran.err


def test_every_unknown_label_of_a_file_is_told(space: Space) -> None:
    space.write(
        "BUILD.yaml",
        """
        targets:
          a: {rule: exec, script: x, outputs: {o: o}, inputs: {i: "//:nope", j: //no/package}}
        """,
    )
    ran = space.run("//...")
    assert ran.code == 2
    assert "no target 'nope'" in ran.err
    assert "no package //no/package" in ran.err


def test_a_rule_of_a_workspace_calls_no_function_of_its_choice(space: Space) -> None:
    space.write("rules/x.rule.yaml", "rule: x\nlower: os:system\n")
    space.write("BUILD.yaml", "targets: {a: {rule: x}}\n")
    ran = space.run("//:a")
    assert ran.code == 2
    assert "rules/x.rule.yaml" in ran.err


def test_a_file_in_the_way_of_an_output_directory_gives_way(words: Space) -> None:
    words.build("//words")
    words.remove("out/bin/words/top")
    words.write("out/bin/words/top", "in the way\n")
    assert words.build("//words").performed == 0
    assert words.read("out/bin/words/top/top.json") == "2\n"


@pytest.mark.parametrize("states", [{"x": 1}, {"words_sorted_c5b9b751.main.command": [1]}, []])
def test_a_last_table_of_another_form_is_an_empty_one(words: Space, states: object) -> None:
    words.build("//words")
    words.write(".flowbuild/last", json.dumps({"version": 1, "states": states}))
    words.write("words/names.txt", "mo\n")
    assert words.build("//words").performed == 3


def test_a_file_called_out_is_a_file_like_others(space: Space) -> None:
    space.write(
        "BUILD.yaml",
        """
        targets:
          joined:
            rule: exec
            script: cat ${{ inputs.texts }} > ${{ outputs.all }}
            inputs: {texts: {glob: texts/**}}
            outputs: {all: all.txt}
        """,
    )
    space.write("texts/a", "a\n")
    space.build("//:joined")
    space.write("texts/out", "out\n")
    assert space.build("//:joined").performed == 1
    assert space.read("out/bin/joined/all.txt") == "a\nout\n"


def test_an_empty_directory_is_shown(space: Space) -> None:
    space.write("BUILD.yaml", 'targets: {d: {rule: exec, script: "mkdir ${{ outputs.d }}", outputs: {d: d/}}}\n')
    space.build("//:d")
    assert (space.root / "out/bin/d/d").is_dir()
    space.remove("out/bin/d/d")
    assert space.build("//:d").performed == 0
    assert (space.root / "out/bin/d/d").is_dir()


DIAMOND = """
targets:
  l: {rule: exec, command: "cp ${{ inputs.i }} ${{ outputs.o }}", inputs: {i: l.txt}, outputs: {o: o}}
  r: {rule: exec, command: "cp ${{ inputs.i }} ${{ outputs.o }}", inputs: {i: r.txt}, outputs: {o: o}}
  m: {rule: exec, script: "grep -v c ${{ inputs.l }} > ${{ outputs.o }}", inputs: {l: "//:l"}, outputs: {o: o}}
  t:
    rule: exec
    script: cat ${{ inputs.m }} ${{ inputs.r }} > ${{ outputs.o }}
    inputs: {m: "//:m", r: "//:r"}
    outputs: {o: o}
"""


FAN_OUT = """
rule: each_file
attributes:
  files: {type: files, required: true}
  handler: {type: handler, required: true}
outputs: {made: "${{ states.copy.outputs.made }}"}
states:
  copy:
    each: {file: "${{ attr.files }}"}
    kind: python
    with: {handler: "${{ attr.handler }}"}
    inputs: {source: "${{ file }}"}
    outputs: {made: "${{ file.name }}.out"}
"""


def test_the_states_of_a_fan_out_are_told_apart(space: Space) -> None:
    space.write("rules/each_file.rule.yaml", FAN_OUT)
    space.write("take.py", "def copy(source, made):\n    made.write_text(source.read_text())\n")
    space.write("BUILD.yaml", "targets: {both: {rule: each_file, handler: 'take.py:copy', files: [a.txt, b.txt]}}\n")
    for name in ("a", "b"):
        space.write(f"{name}.txt", name)
    paths = ["out/bin/both/a.out", "out/bin/both/b.out"]
    built = space.run("//:both").out
    assert "copy a " in built and "copy b " in built
    assert all(path.rpartition("/")[2] in built.splitlines()[-1] for path in paths)
    assert space.run("outputs", "//:both").out.splitlines() == paths
    assert all(path in space.run("describe", "//:both").out for path in paths)
    space.write("b.txt", "c")
    space.run("//:both")
    told = space.run("why", "//:both").out
    assert "(copy a)" in told and "(copy b)" in told
    assert "from b.txt" in told and "from a.txt" not in told


def test_why_names_one_of_several_outputs(words: Space) -> None:
    path = words.root / "words/BUILD.yaml"
    path.write_text(path.read_text() + TWO_OUTPUTS)
    words.build("//words:reader")
    words.write("words/names.txt", "zoe\n")
    words.build("//words:reader")
    assert "from //words:pair#second" in words.run("why", "//words:reader").out


TWO_OUTPUTS = """
  pair:
    rule: exec
    script: "echo > ${{ outputs.first }}; cat names.txt > ${{ outputs.second }}"
    inputs: {names: names.txt}
    outputs: {first: f, second: s}
  reader:
    rule: exec
    script: "cat ${{ inputs.one }} > ${{ outputs.o }}"
    inputs: {one: "//words:pair#second"}
    outputs: {o: o}
"""


def test_why_tells_each_root_with_its_own_way(space: Space) -> None:
    space.write("BUILD.yaml", DIAMOND)
    space.write("l.txt", "1\n")
    space.write("r.txt", "1\n")
    space.build("//:t")
    space.write("l.txt", "2\n")
    space.write("r.txt", "2\n")
    space.build("//:t")
    out = space.run("why", "//:t").out
    assert "followed from there: //:l → //:m → //:t\n" in out
    assert "followed from there: //:r → //:t\n" in out


def test_why_blames_no_change_of_a_later_run(space: Space) -> None:
    space.write("BUILD.yaml", DIAMOND)
    space.write("l.txt", "1\n")
    space.write("r.txt", "1\n")
    space.build("//:t")
    space.write("r.txt", "2\n")
    space.build("//:t")
    space.write("l.txt", "1\nc\n")
    assert space.build("//:t").performed == 2  # l, and m with the same output
    out = space.run("why", "//:t").out
    assert "root cause:\n  //:r " in out
    assert "//:l" not in out


def runs(space: Space) -> int:
    root = space.root / "out/lab/run"
    return sum(path.is_dir() for path in root.iterdir()) if root.exists() else 0


@pytest.mark.parametrize("flag", ["--only-profile", "--only-scenario"])
def test_a_filter_of_nothing_is_refused_before_anything_is_made(space: Space, flag: str) -> None:
    space.write("lab/BUILD.yaml", EXPERIMENT)
    ran = space.run(RUN, flag, "nope")
    assert ran.code == 2
    assert runs(space) == 0


def test_a_filtered_run_is_committed_each_time(space: Space) -> None:
    space.write("lab/BUILD.yaml", EXPERIMENT)
    for number in (1, 2):
        assert space.run(RUN, "--only-profile", "scrubbed").code == 0
        assert runs(space) == number
    assert not (space.root / "out/lab/run/LATEST").exists()


def test_a_run_whose_objects_are_gone_is_performed_again(space: Space) -> None:
    space.write("lab/BUILD.yaml", EXPERIMENT)
    space.build(RUN)
    shutil.rmtree(space.root / ".flowbuild/cas")
    assert space.build(RUN).performed == 9
    assert runs(space) == 2


def test_a_table_that_cannot_be_kept_fails_no_command(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    for table in ("packages", "last"):
        space.write(f".flowbuild/{table}/in/the/way", "")
    assert space.run("list").code == 0
    ran = space.run("//:a")
    assert (ran.code, ran.performed) == (0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(("where", "code"), [("> /dev/full", 5), (">&-", 0), ("2>&- >&-", 0), ("| head -0", 141)])
def test_an_output_that_nobody_takes_is_no_bug(space: Space, where: str, code: int) -> None:
    space.write("BUILD.yaml", ONE)
    for words in ("//:a --force //:a", "list"):
        line = f"set -o pipefail; {sys.executable} -m flowbuild {words} {where}"
        ran = subprocess.run(
            ["bash", "-c", line], cwd=space.root, env=space.environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in ran.stderr
        assert ran.returncode in (code, 0) if code == 141 else ran.returncode == code


def install(site: Path, version: str) -> None:
    place = site / f"fakelib-{version}.dist-info"
    place.mkdir(parents=True)
    (site / "fakelib.py").write_text(f"VERSION = {version!r}\n")
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakelib\nVersion: {version}\n")
    (place / "RECORD").write_text(f"fakelib.py,sha256={version},20\n")


def test_another_search_path_holds_other_distributions(space: Space, tmp_path: Path) -> None:
    one, two = tmp_path / "one/site-packages", tmp_path / "two/site-packages"
    install(one, "1.0")
    install(two, "2.0")
    space.write("BUILD.yaml", "targets: {p: {rule: python, handler: 'h.py:f', outputs: {o: o}}}\n")
    space.write("h.py", "import fakelib\n\ndef f(o):\n    o.write_text(fakelib.VERSION)\n")
    for site, performed in ((one, 1), (two, 1), (one, 0), (two, 0)):
        assert space.build("//:p", PYTHONPATH=str(site)).performed == performed
        assert space.read("out/bin/p/o") == f"{'1.0' if site is one else '2.0'}"


@pytest.mark.parametrize("directory", ["site-packages", "plain"])
def test_a_distribution_that_comes_later_is_seen(space: Space, tmp_path: Path, directory: str) -> None:
    site = tmp_path / directory
    site.mkdir()
    space.environment["PYTHONPATH"] = str(site)
    space.write("BUILD.yaml", "targets: {p: {rule: python, handler: 'h.py:f', outputs: {o: o}}}\n")
    space.write(
        "h.py",
        """
        try:
            from fakelib import VERSION
        except ImportError:
            VERSION = "none"

        def f(o):
            o.write_text(VERSION)
        """,
    )
    space.build("//:p")
    assert space.read("out/bin/p/o") == "none"
    install(site, "1.0")
    assert space.build("//:p").performed == 1
    assert space.read("out/bin/p/o") == "1.0"


def test_a_parameter_is_set_by_a_relative_label(space: Space) -> None:
    target = "{rule: exec, script: 'echo ${{ params.n }} > ${{ outputs.o }}', outputs: {o: o}, params: {n: 1}}"
    space.write("a/BUILD.yaml", f"targets: {{x: {target}, y: {target}}}\n")
    space.build("-C", "a", ":all", "--set", ":x.n=2")
    assert (space.read("out/bin/a/x/o"), space.read("out/bin/a/y/o")) == ("2\n", "1\n")


def test_a_golden_is_one_file_and_never_replaces_a_directory(space: Space) -> None:
    golden = "g: {rule: golden, actual: '//:a', expected: kept}"
    space.write("BUILD.yaml", ONE + f"  {golden}\n")
    space.write("kept/mine", "mine\n")
    ran = space.run("test", "//:g", "--update-goldens")
    assert ran.code == 2
    assert "kept is a directory" in ran.err
    assert space.read("kept/mine") == "mine\n"
    space.write("BUILD.yaml", ONE.replace("o: o", "o: o/") + f"  {golden}\n")
    assert space.run("test", "//:g").code == 2


def test_why_tells_a_forced_run_from_a_first_one(space: Space) -> None:
    space.write("BUILD.yaml", ONE)
    space.build("//:a")
    assert "never built before" in space.run("why", "//:a").out
    space.run("//:a", "--force", "//:a")
    assert "--force asked" in space.run("why", "//:a").out


def test_why_tells_a_mode_among_many_files(space: Space) -> None:
    space.write(
        "BUILD.yaml",
        """
        targets:
          a:
            rule: exec
            script: ls -l ${{ inputs.i }} > ${{ outputs.o }}
            inputs: {i: {glob: "*.txt"}}
            outputs: {o: o}
        """,
    )
    space.write("1.txt", "1\n")
    space.build("//:a")
    (space.root / "1.txt").chmod(0o755)
    assert space.build("//:a").performed == 1
    assert "inputs.i.executable[1.txt]" in space.run("why", "//:a").out
    shutil.rmtree(space.root / ".flowbuild/cas")
    assert "no longer in the store" in space.run("why", "//:a").out
