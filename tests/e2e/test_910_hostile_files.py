"""Files that somebody got wrong, or made so: the exit code of the table, a message, and nothing else happens."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from measure import measured

from flowbuild.testing import Ran, Space

GOOD = "targets:\n  t: {rule: exec, script: 'echo x > ${{ outputs.o }}', outputs: {o: o}}\n"


def target(**attributes: object) -> bytes:
    """A package with one exec target; JSON is YAML."""
    whole = {"rule": "exec", "script": "echo x > ${{ outputs.o }}", "outputs": {"o": "o"}} | attributes
    return json.dumps({"targets": {"t": whole}}).encode()


def everything(root: Path) -> set[str]:
    """All that lies in a directory, but for what flowbuild keeps for itself."""
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    return {path for path in found if path.partition("/")[0] != ".flowbuild"}


def refused(space: Space, *words: str, code: int = 2) -> Ran:
    """Run: it ends with this code and a message, and leaves nothing behind, here or beside the workspace."""
    before = everything(space.root), {*space.root.parent.iterdir()}
    ran = space.run(*words or ("//...",))
    assert ran.code == code, ran
    assert "Traceback" not in ran.err + ran.out and "flowbuild:" in ran.err
    assert (everything(space.root), {*space.root.parent.iterdir()}) == before
    return ran


BAD = {
    "duplicate key": (b"targets:\n  t: {rule: exec}\n  t: {rule: exec}\n", "given twice"),
    "unknown rule": (target(rule="exce"), "exec"),
    "unknown attribute": (target(scrip="x"), "script"),
    "wrong type": (target(timeout="soon"), "timeout"),
    "wrong type of a container": (target(outputs=["o"]), "outputs"),
    "bad label": (target(inputs={"i": "//a b:c"}), "//a b:c"),
    "bad name of a target": (b"targets:\n  'a b': {rule: exec}\n", "a b"),
    "unknown target": (target(inputs={"i": ":nothing"}), "nothing"),
    "unknown package": (target(inputs={"i": "//nowhere:x"}), "nowhere"),
    "unknown output": (target(inputs={"i": ":t#p"}), "t"),
    "depends on itself": (target(inputs={"i": ":t"}), "//:t"),
    "two outputs, one path": (target(outputs={"o": "o", "p": "o"}), "o"),
    "outputs that differ by case": (target(outputs={"o": "o.txt", "p": "O.TXT"}), "O.TXT"),
    "outputs that differ by form": (target(outputs={"o": "\u00e9", "p": "e\u0301"}), "NFC"),
    "output in an output": (target(outputs={"o": "d/", "p": "d/x"}), "d"),
    "output above": (target(outputs={"o": "../o"}), "leaves"),
    "output absolute": (target(outputs={"o": "/tmp/o"}), "absolute"),
    "input above": (target(inputs={"i": "../../etc/passwd"}), "leaves"),
    "input absolute": (target(inputs={"i": "/etc/passwd"}), "absolute"),
    "input composed otherwise": (target(inputs={"i": "e\u0301.txt"}), "NFC"),
    "input where flowbuild writes": (target(inputs={"i": ".flowbuild/last"}), "flowbuild writes"),
    "input that is not there": (target(inputs={"i": "absent.txt"}), "absent.txt"),
    "glob that finds nothing": (target(inputs={"i": {"glob": "*.nothing"}}), "*.nothing"),
    "glob that is none": (target(inputs={"i": {"glob": "a[z"}}), "a[z"),
    "glob above": (target(inputs={"i": {"glob": "../**"}}), ".."),
    "deep flow": (b"[" * 200_000, "nested deeper"),
    "deep blocks": (b"- " * 200_000, "nested deeper"),
    "billion laughs": (
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 107)),
        "aliases",
    ),
    "alias in itself": (b"targets: &a {t: *a}\n", "inside its own value"),
    "merge key": (b"targets:\n  t: {<<: {rule: exec}}\n", "merge keys"),
    "tag": (b"targets: !!python/object/apply:os.system ['touch /tmp/owned']\n", "tag"),
    "not UTF-8": (b"targets: {t: {rule: \xff}}\n", "0xff"),
    "UTF-16": (GOOD.encode("utf-16"), "UTF-8"),
    "NUL": (b"targets: {t: \0}\n", "U+0000"),
    "two documents": (b"---\n{}\n---\n{}\n", "second document"),
    "a list": (b"- 1\n", "BUILD.yaml"),
    "boolean that is text": (target(shell="yes"), "shell"),
    "number in octal": (b"targets: {t: {rule: exec, script: x, outputs: {o: o}, timeout: 0755}}\n", "0755"),
    "not a number": (b"targets: {t: {rule: exec, script: x, outputs: {o: o}, timeout: .nan}}\n", ".nan"),
    "key that is no text": (b"targets: {1: {rule: exec}}\n", "not a string"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_bad_packages(space: Space, fault: str) -> None:
    text, told = BAD[fault]
    space.write("BUILD.yaml", text)
    assert told in refused(space).err


@pytest.mark.parametrize("file", ["flowbuild.yaml", "rules/r.rule.yaml"])
@pytest.mark.parametrize("text", [b"[" * 200_000, b"\xff", b"a: 1\na: 2\n", b"- 1\n", b"unheard_of: 1\n"])
def test_bad_settings_and_rules(space: Space, file: str, text: bytes) -> None:
    space.write("BUILD.yaml", GOOD)
    space.write(file, text)
    assert file in refused(space).err


@pytest.mark.parametrize(
    "label", ["//a b", "//x:", "///x", "//../x:y", "//x:y:z", "//" + "x" * 5000 + ":y", "//:\udcff"]
)
def test_bad_labels(space: Space, label: str) -> None:
    space.write("BUILD.yaml", GOOD)
    refused(space, label)


def test_two_targets_never_share_a_path(space: Space) -> None:
    """Names that one file system takes for two and another for one are refused in one package."""
    space.write("BUILD.yaml", GOOD + "  T: {rule: exec, script: 'echo y > ${{ outputs.o }}', outputs: {o: o}}\n")
    assert "differ only by capitals" in refused(space).err


def test_byte_order_mark_and_windows_lines_are_read(space: Space) -> None:
    space.write("BUILD.yaml", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert space.build("//...").performed == 1


def test_a_link_out_of_the_workspace(space: Space, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret\n")
    (space.root / "i.txt").symlink_to(tmp_path / "secret.txt")
    space.write("BUILD.yaml", target(inputs={"i": "i.txt"}))
    assert "i.txt" in refused(space).err


def test_a_glob_behind_a_link_out_of_the_workspace(space: Space, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/secret.txt").write_text("secret\n")
    (space.root / "d").symlink_to(tmp_path / "d")
    space.write("BUILD.yaml", target(inputs={"i": {"glob": "d/*.txt"}}))
    refused(space)


def test_out_that_is_a_link(space: Space, tmp_path: Path) -> None:
    """What is shown goes where the workspace's owner sent it, or nowhere; never a traceback."""
    (space.root / "out").symlink_to(tmp_path / "nowhere")
    space.write("BUILD.yaml", GOOD)
    ran = space.run("//...")
    assert ran.code in (0, 5) and "Traceback" not in ran.err + ran.out


def test_a_hundred_megabytes(space: Space) -> None:
    space.write("BUILD.yaml", b"")
    os.truncate(space.root / "BUILD.yaml", 100 * 2**20)
    ran, most, seconds = measured(space, "//...")
    assert ran.code == 2 and "more than" in ran.err and "Traceback" not in ran.err
    assert most < 128 and seconds < 3


ATTACKS = [
    "nothing",
    "params.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "cycler.__init__.__globals__.os.popen('id')",
    "params|attr('__class__')",
    "'{0.__class__}'.format(params)",
    "'%1000000000d' % 1",
    "'%(a)1000000000d' % {'a': 1}",
    "'x' * 1000000000",
    "range(1000000000)|list",
    "9 ** 9 ** 9 ** 9",
    "[0] * 1000000000",
    "'x'|center(1000000000)",
    "namespace(a=1)",
    "lipsum(1000000)",
    "self._TemplateReference__context",
    "joiner.__init__",
    "(" * 2000 + "1" + ")" * 2000,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_templates_that_attack(space: Space, attack: str) -> None:
    """A second and 64 MiB, over what a refusal of the plainest kind takes here."""
    space.write("BUILD.yaml", b"targets: {t: {rule: exec, script: '${{ 1 + }}', outputs: {o: o}}}\n")
    _, usual, took = measured(space, "//...")
    space.write("BUILD.yaml", target(script="echo ${{ " + attack + " }} > ${{ outputs.o }}"))
    before = everything(space.root)
    ran, most, seconds = measured(space, "//...")
    assert ran.code == 2 and "Traceback" not in ran.err and "BUILD.yaml:1:" in ran.err, ran
    assert most - usual < 64 and seconds - took < 1
    assert everything(space.root) == before


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS refuses such names itself")
@pytest.mark.parametrize(
    ("name", "code"),
    [(b"a\nb.txt", 2), (b"-rf.txt", 2), (b"\xff.txt", 2), (b"\x1b[31m.txt", 2), ("\U0001f600.txt".encode(), 0), (b"a b'$x;.txt", 0), (b"#x.txt", 0)],
)  # fmt: skip
def test_odd_names_of_files(space: Space, name: bytes, code: int) -> None:
    with open(os.fsencode(space.root) + b"/" + name, "wb") as file:
        file.write(b"content\n")
    script = "cat ${{ inputs.i }} > ${{ outputs.o }}"
    space.write("BUILD.yaml", target(script=script, inputs={"i": {"glob": "*.txt"}}))
    if code:
        refused(space)
    else:
        space.build("//...")
        assert space.read("out/bin/t/o") == "content\n"


def test_a_fifo_for_a_source_or_a_package_does_not_hang(space: Space) -> None:
    os.mkfifo(space.root / "i.txt")
    space.write("BUILD.yaml", target(inputs={"i": "i.txt"}))
    started = time.monotonic()
    refused(space)
    space.remove("BUILD.yaml")
    os.mkfifo(space.root / "BUILD.yaml")
    refused(space, "//:t")
    assert time.monotonic() - started < 60


DERIVED = ["last", "stamps", "packages"]


@pytest.mark.parametrize("junk", [b"", b"\0" * 4096, b"{}", b"[]", b'{"version":1,"states":[]}', b"[" * 100_000])
def test_derived_tables_may_hold_anything(words: Space, junk: bytes) -> None:
    """`why`, `explain` and builds do as if there were no table."""
    words.build("//words:words")
    for name in DERIVED:
        for path in [*(words.root / ".flowbuild").rglob(name), *(words.root / ".flowbuild/null").iterdir()]:
            path.write_bytes(junk)
    assert words.run("why", "//words:top").code in (0, 2)
    assert words.run("explain", "//words:words").code == 0
    assert words.build("//words:words").performed == 0


@pytest.mark.parametrize(
    "row", ["5", "[]", "[1,2,3,4,5,6,7,8]", '{"a":1}', "[null,null,null,null,null,null]", '"text"']
)
def test_a_last_table_of_another_shape_is_none(words: Space, row: str) -> None:
    words.build("//words:words")
    table = next((words.root / ".flowbuild").rglob("last"))
    doc = json.loads(table.read_bytes())
    table.write_text(json.dumps({"version": 1, "states": {state: json.loads(row) for state in doc["states"]}}))
    for command in (["why", "//words:top"], ["explain", "//words:words"], ["//words:words", "--force", "//words:top"]):
        ran = words.run(*command)
        assert ran.code in (0, 2) and "Traceback" not in ran.err, ran


def test_limits_of_this_process_are_not_the_childs() -> None:
    """The measure itself works: a child that takes memory is seen to have taken it."""
    hog = subprocess.run([sys.executable, "-c", "x = b'x' * (1 << 28)"], check=True)
    assert hog.returncode == 0 and resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 1 << 18


def test_a_workspace_whose_directory_is_no_utf8_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    above = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        space = Space(above / "workspace")
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    space.write("BUILD.yaml", "targets: {a: {rule: exec, script: 'echo > ${{ outputs.o }}', outputs: {o: o}}}\n")
    for words in (("//:a",), ("explain", "//:a"), ("lint",), ("list",), ("runs", "list"), ("cache", "stats")):
        ran = space.run(*words)
        assert (ran.code, ran.out) == (2, ""), (words, ran)
        assert "the directory of the workspace is not UTF-8" in ran.err and r"caf\xe9/workspace" in ran.err, ran
        assert "rename it" in ran.err
    doctor = space.run("doctor")
    assert doctor.code == 1 and "is not UTF-8" in doctor.out and "rename it" in doctor.out, doctor
    assert sorted(path.name for path in space.root.iterdir()) == ["BUILD.yaml", "flowbuild.yaml"]
    above.rename(tmp_path / "café")
    assert Space(tmp_path / "café/workspace").run("//:a").code == 0
