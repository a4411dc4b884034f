"""Packages: what targets become, and every fault at the very value."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from flowbuild.core.errors import UnknownTarget
from flowbuild.core.label import Label
from flowbuild.load.package import Package, load_package
from flowbuild.load.rule import Rule
from flowbuild.load.rulefile import load_rules

from .conftest import Loading

WORDS = """\
doc: Words.
targets:
  texts:
    rule: filegroup
    files: {glob: texts/**/*.txt, exclude: texts/drafts/}

  sorted:
    rule: exec
    command: sort -u ${{ inputs.names }} -o ${{ outputs.sorted }}
    inputs: {names: names.txt}
    outputs: {sorted: sorted.txt}
    env: [LC_ALL]

  stats:
    rule: exec
    script: |
      wc -w ${{ inputs.texts }} > ${{ outputs.counts }}
    inputs:
      texts: :texts
      names: :sorted
    outputs: {counts: counts.txt, parts: parts/}

  top:
    rule: python
    handler: top.py:most_frequent
    modules: [tokens.py, //lib:text]
    inputs: {words: //words:stats#counts}
    outputs: {top: top.json}
    params: {limit: 10}
    with: {limit: "${{ params.limit }}"}
    tags: [slow]

  top_is_stable:
    rule: golden
    actual: //words:top
    expected: golden/top.json
    volatile: [/made_at]

  words:
    rule: group
    targets: [//words:top, //words:stats]
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Rule]:
    return load_rules(Loading(tmp_path_factory.mktemp("rules")).open(), lambda directory: None)


def read(loading: Loading, rules: Mapping[str, Rule], text: str, package: str = "words") -> Package:
    loading.write(f"{package}/BUILD.yaml".lstrip("/"), text)
    return load_package(loading.open(), package, rules)


def test_the_words_of_the_examples(loading: Loading, rules: Mapping[str, Rule]) -> None:
    package = read(loading, rules, WORDS)
    assert (package.name, package.path, package.doc) == ("words", "words/BUILD.yaml", "Words.")
    assert list(package.targets) == ["texts", "sorted", "stats", "top", "top_is_stable", "words"]
    attrs = {name: target.attrs for name, target in package.targets.items()}
    assert attrs["texts"]["files"] == {"glob": ["texts/**/*.txt"], "exclude": ["texts/drafts/"], "optional": False}
    assert attrs["sorted"]["command"] == ["sort", "-u", "${{ inputs.names }}", "-o", "${{ outputs.sorted }}"]
    assert attrs["sorted"]["inputs"] == {"names": "words/names.txt"}
    assert attrs["sorted"]["env"] == {"LC_ALL": None}
    assert attrs["stats"]["inputs"] == {"texts": "//words:texts", "names": "//words:sorted"}
    assert attrs["top"]["modules"] == ["words/tokens.py", "//lib:text"]
    assert attrs["top"]["handler"] == "words/top.py:most_frequent"
    assert attrs["top_is_stable"] == {
        "actual": "//words:top",
        "expected": "words/golden/top.json",
        "volatile": ["/made_at"],
    }
    top = package.targets["top"]
    assert (top.label, top.rule, top.tags, top.params["limit"].default) == (
        Label("words", "top"),
        "python",
        ("slow",),
        10,
    )
    assert (top.path, top.pointer) == ("words/BUILD.yaml", ("targets", "top"))


def test_at_the_root(loading: Loading, rules: Mapping[str, Rule]) -> None:
    package = read(loading, rules, "targets: {a: {rule: filegroup, files: x}, b: {rule: group, targets: ['//:a']}}", "")
    assert package.path == "BUILD.yaml" and package.targets["a"].attrs["files"] == "x"
    assert package.targets["b"].attrs["targets"] == ["//:a"]


@pytest.mark.parametrize("text", ["", "targets:\n", "targets: {}\n", "doc: x\n"])
def test_an_empty_package(loading: Loading, rules: Mapping[str, Rule], text: str) -> None:
    assert read(loading, rules, text).targets == {}


FAULTS = [
    ("rule: filegroup", "rule: filegrop", "4:11: there is no rule 'filegrop'; did you mean 'filegroup'?"),
    ("    rule: filegroup\n", "", "3:3: the target 'texts' needs 'rule'"),
    ("rule: filegroup", "rule: [x]", "4:11: 'rule' is a string, and here stands a list"),
    ("files: ", "fles: ", "5:5: the target 'texts' (rule filegroup) has no 'fles'; did you mean 'files'?"),
    ("files: ", "fles: ", "3:3: the target 'texts' (rule filegroup) needs 'files'"),
    ("{glob: texts/**/*.txt", "{glob: /texts/*.txt", "5:19: the glob '/texts/*.txt' is not relative to the package"),
    ("exclude: texts/drafts/", "exclude: [a, '[z-a]']", "5:48: the pattern '[z-a]' can't be read"),
    ("exclude:", "exclud:", "5:35: a glob has no 'exclud'; did you mean 'exclude'?"),
    ("  sorted:", "  so rted:", "7:3: 'so rted' is not the name of a target"),
    ("  sorted:", "  so/rted:", "7:3: 'so/rted' is not the name of a target"),
    ("  sorted:", "  'a#b':", "7:3: 'a#b' is not the name of a target"),
    ("  sorted:", "  sörted:", "7:3: 'sörted' is not the name of a target"),
    ("  sorted:", "  all:", "7:3: `//words:all` is the pattern that names every target here"),
    ("  sorted:", "  Texts:", "7:3: 'Texts' and 'texts' differ only by capitals"),
    ("  sorted:", "  texts:", "7:3: the key 'texts' is given twice, first on line 3"),
    ("inputs.names }}", "inputs.nmes }}", "9:14: ${{ inputs.nmes }}: 'inputs' has no 'nmes'; did you mean 'names'?"),
    ("outputs.sorted }}", "outputs.names }}", "9:14: ${{ outputs.names }}: 'outputs' has no 'names'; known here:"),
    ("inputs.names }}", "inptus.names }}", "9:14: ${{ inptus.names }}: there is no 'inptus' here; did you mean"),
    ("inputs.names }}", "attr.names }}", "9:14: ${{ attr.names }}: there is no 'attr' here; write the value, or"),
    ("inputs.names }}", "inputs.names }", "9:14: "),
    ("command: sort -u", "command: sort 'u", "9:14: the command can't be split into words: a quote is opened and"),
    ("command: sort -u", "script: x\n    command: sort -u", "10:5: exec takes one of `command` or `script`; remove"),
    ("    command: sort -u ${{ inputs.names }} -o ${{ outputs.sorted }}\n", "", "7:3: exec needs `command` or"),
    ("{names: names.txt}", "{names: /etc/passwd}", "10:21: the path '/etc/passwd' is absolute"),
    ("{names: names.txt}", "{names: ../../x}", "10:21: the path '../../x' leaves the workspace"),
    ("{names: names.txt}", "{names: ../out/bin/x}", "10:21: '../out/bin/x' lies where flowbuild writes; name the"),
    ("{names: names.txt}", "{names: [a, 'b\\c']}", "10:25: the path 'b\\\\c' holds a backslash"),
    ("{names: names.txt}", "{Names: names.txt}", "10:14: 'Names' is not a name in 'inputs'"),
    ("{names: names.txt}", '{names: "${{ outputs.sorted }}"}', "10:21: ${{ outputs.sorted }}: there is no 'outputs'"),
    ("{sorted: sorted.txt}", "{sorted: ../x}", "11:23: '../x' leaves the target's output directory"),
    ("{sorted: sorted.txt}", "{sorted: x, more: x}", "11:32: the output 'x' lies where 'x' does"),
    ("{sorted: sorted.txt}", "{sorted: x, names: y}", "11:26: 'names' stands in `inputs` too"),
    ("{sorted: sorted.txt}", "{sorted: x, io: y}", "11:26: 'io' is a name that flowbuild gives a meaning"),
    ("env: [LC_ALL]", "env: [LC-ALL]", "12:11: 'LC-ALL' is not the name of a variable"),
    ("env: [LC_ALL]", "timeout: 10s", "12:14: 'timeout' is a number of seconds above zero, and here stands the"),
    ("env: [LC_ALL]", "stage: ${{ params.x }}", "12:12: ${{ params.x }}: 'params' has no 'x'"),
    ("env: [LC_ALL]", "doc: 3", "12:10: 'doc' is a string, and here stands the number 3; quote it"),
    ("texts: :texts", "texts: //a b?", "19:14: '//a b?' is not a label: 'a b?' is not a directory name"),
    ("top.py:most_frequent", "top.py", "25:14: 'handler' is a handler: file.py:function or module:function"),
    ("top.py:most_frequent", "/top.py:f", "25:14: the path '/top.py' is absolute"),
    ("[tokens.py, //lib:text]", "[tokens.py, 3]", "26:26: 'modules' is a path, a label"),
    ("params: {limit: 10}", "params: {limit: [1]}", "29:21: the parameter 'limit' is a plain value, and here stands"),
    ("params.limit", "params.limt", "30:19: ${{ params.limt }}: 'params' has no 'limt'; did you mean 'limit'?"),
    ("with: {limit", "with: {words", "30:12: 'words' stands in `inputs` too, and a handler takes each name once"),
    ("tags: [slow]", "tags: slow", "31:11: 'tags' is a list, and here stands the string 'slow'; write it as [one,"),
    ("actual: //words:top", "actual: top", "35:13: 'top' is not a label; a label looks like //package:target or"),
    ("[/made_at]", "[made_at]", "37:16: 'volatile' is a JSON pointer, and here stands the string 'made_at'"),
    ("[//words:top, //words:stats]", "[:top]", "41:15: a value begins with ':'; inside [ ] and { } YAML refuses"),
    ("doc: Words.", "docs: Words.", "1:1: a BUILD.yaml has no 'docs'; did you mean 'doc'?"),
    ("doc: Words.\ntargets:", "targets: '${{ x }}'\nx:", "1:10: 'targets' holds no expression; write a mapping"),
    ("{limit: 10}", "${{ attr.x }}", "29:13: 'params' holds no expression; write a mapping"),
    ("tags: [slow]", "tags: ['${{ x }}']", "31:12: 'tag' holds no expression"),
    ("doc: Words.\ntargets:", "targets: []\nx:", "1:10: 'targets' is a mapping, and here stands a list"),
    ("    rule: group\n    targets: [//words:top, //words:stats]\n", "", "39:3: the target 'words' is a mapping,"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "fault"), FAULTS)
def test_a_fault_has_its_very_place(
    loading: Loading, rules: Mapping[str, Rule], old: str, new: str, fault: str
) -> None:
    assert old in WORDS
    found = loading.faults(lambda: read(loading, rules, WORDS.replace(old, new, 1)))
    assert any(line.startswith(f"words/BUILD.yaml:{fault}") for line in found), found
    assert len(found) <= 2


def test_all_faults_of_a_file_come_at_once_in_the_order_of_the_text(
    loading: Loading, rules: Mapping[str, Rule]
) -> None:
    text = (
        WORDS.replace("files:", "fils:")
        .replace("names.txt", "/x")
        .replace("golden/top", "../../x")
        .replace("[LC_ALL]", "x")
    )
    assert [line.split(": ")[0] for line in loading.faults(lambda: read(loading, rules, text))] == [
        "words/BUILD.yaml:3:3", "words/BUILD.yaml:5:5", "words/BUILD.yaml:10:21", "words/BUILD.yaml:12:10",
        "words/BUILD.yaml:36:15",
    ]  # fmt: skip


def test_an_unknown_package_suggests_the_nearest(loading: Loading, rules: Mapping[str, Rule]) -> None:
    read(loading, rules, "")
    with pytest.raises(
        UnknownTarget, match=r"no package //wrods: wrods/BUILD\.yaml is not there; did you mean '//words'"
    ):
        load_package(loading.open(), "wrods", rules)
    with pytest.raises(UnknownTarget, match=r"known here: //words"):
        load_package(loading.open(), "other/place", rules)


@pytest.mark.parametrize("package", ["link", "out/words", "other"])
def test_what_is_no_part_of_the_workspace_is_no_package(
    loading: Loading, rules: Mapping[str, Rule], package: str
) -> None:
    for directory in ("words", "out/words", "other"):
        loading.write(f"{directory}/BUILD.yaml", "")
    loading.write("other/flowbuild.yaml", "")
    (loading.root / "link").symlink_to("words")
    with pytest.raises(UnknownTarget, match=f"no package //{package}: {package} is no part of this workspace"):
        load_package(loading.open(), package, rules)


def test_the_digest_is_that_of_the_text(loading: Loading, rules: Mapping[str, Rule]) -> None:
    assert read(loading, rules, WORDS).digest != read(loading, rules, WORDS + "# x\n").digest


def test_a_large_package_takes_no_quadratic_time(loading: Loading, rules: Mapping[str, Rule]) -> None:
    one = "  t{0}: {{rule: exec, command: 'a ${{{{ inputs.x }}}}', inputs: {{x: f{0}}}, outputs: {{o: o}}}}\n"
    start = time.process_time()
    package = read(loading, rules, "targets:\n" + "".join(one.format(number) for number in range(3_000)))
    assert len(package.targets) == 3_000 and time.process_time() - start < 2
