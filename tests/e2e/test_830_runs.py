"""`flowbuild runs`: what was run in a workspace, one run, and what differs between two."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from journals import envelopes, write

from flowbuild.bundle.layout import INDEX, SUMMARY
from flowbuild.core.canonical import sha256
from flowbuild.testing import Space

WORDS = """
targets:
  sorted:
    rule: exec
    command: sort -u ${{ inputs.names }} -o ${{ outputs.sorted }}
    inputs: {names: names.txt}
    outputs: {sorted: sorted.txt}
    env: {LC_ALL: C}
  top: {rule: python, handler: "top.py:first", inputs: {words: ":sorted"}, outputs: {top: top.txt}}
  words: {rule: group, targets: [":top", ":sorted"]}
"""
REGISTRY = """
targets:
  probes:
    rule: registry
    probes:
      read-staged: {operation: file-read-data, target: staged/file}
      read-host: {operation: file-read-data, target: /etc/hosts}
    profiles:
      unrestricted: {restrict: {}}
      scrubbed: {restrict: {environment: scrub}}
  plan: {rule: plan, registry: ":probes", profiles: [unrestricted, scrubbed]}
  run: {rule: run, plan: ":plan"}
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A workspace with one evaluation and one bundle, built once."""
    space = Space(tmp_path_factory.mktemp("first") / "workspace")
    space.write("words/BUILD.yaml", WORDS)
    space.write("words/names.txt", "mo\nada\nada\n")
    space.write("words/top.py", "def first(words, top):\n    top.write_text(words.read_text()[:3])\n")
    space.write("e/BUILD.yaml", REGISTRY)
    assert space.run("//words").code == 0
    assert space.run("//e:run").code == 0
    return space


@pytest.fixture
def ran(first: Space, tmp_path: Path) -> Space:
    """A copy of it."""
    shutil.copytree(first.root, tmp_path / "workspace", symlinks=True)
    return Space(tmp_path / "workspace")


def rows(space: Space, *words: str) -> list[dict[str, object]]:
    return space.events("runs", "list", *words)


def test_bundles_and_evaluations_are_listed_oldest_first(ran: Space) -> None:
    found = rows(ran)
    assert [
        (row["target"], row["kind"], row["status"], row["channel"], row["policy"], row["latest"]) for row in found
    ] == [
        ("//words", "evaluation", "ok", "direct", "build", False),
        ("//e:run", "bundle", "ok", "direct", "build", True),
    ]
    lines = ran.run("runs", "list").out.splitlines()
    assert re.fullmatch(r"  [0-9a-f]{8}  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ok  direct  build  //words", lines[0])
    assert re.fullmatch(r"\* [0-9a-f]{8}  .*  ok  direct  build  //e:run", lines[1])
    assert ran.run("runs", "list").out == ran.run("runs", "list").out
    assert [row["target"] for row in rows(ran, "//e/...")] == ["//e:run"]
    assert [row["target"] for row in rows(ran, "-C", "words", ":words")] == ["//words"]
    assert ran.run("runs", "list", "//nothing").out == "no runs\n"


def test_only_the_last_run_has_the_mark_and_a_filtered_one_never_gets_it(ran: Space) -> None:
    assert ran.run("//e:run", "--policy", "live").code == 0
    assert ran.run("//e:run", "--only-profile", "scrubbed").code == 0
    assert [(row["policy"], row["latest"]) for row in rows(ran, "//e:run")] == [
        ("build", False),
        ("live", True),
        ("build", False),
    ]


def test_a_failed_evaluation_is_shown_with_what_failed(ran: Space) -> None:
    ran.write("words/names.txt", "bo\n")
    ran.write("words/top.py", "def first(words, top): raise ValueError('no')\n")
    assert ran.run("//words").code == 1
    assert [row["status"] for row in rows(ran)] == ["ok", "ok", "failed"]
    shown = ran.run("runs", "show", str(rows(ran)[-1]["run_id"])[:8])
    assert shown.code == 0
    assert re.search(r"^  failed +//words:top  call  .*ValueError", shown.out, re.M), shown.out


def test_show_by_id_prefix_and_label(ran: Space) -> None:
    run_id = str(rows(ran)[1]["run_id"])
    by_id, by_prefix, by_label = (ran.run("runs", "show", name) for name in (run_id, run_id[:6], "//e:run"))
    assert by_id == by_prefix == by_label == ran.run("runs", "show", "-C", "e", ":run")
    assert by_id.out.startswith(f"run {run_id}  (LATEST)\n")
    assert f"  path       out/e/run/{run_id}\n" in by_id.out
    (doc,) = ran.events("runs", "show", run_id)
    assert len(doc["states"]["performed"]) == 6 and doc["mismatches"] == [] and doc["took_ms"] >= 0
    assert ran.run("runs", "show", "//words").out.splitlines()[1].split() == ["target", "//words"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nosuch", "there is no run 'nosuch'"),
        ("", "there is no run ''"),
        ("//e:rum", "did you mean '//e:run'?"),
        ("//words:top", "//words:top has no run"),
        ("../e", "there is no run '../e'"),
    ],
)
def test_what_is_not_there(ran: Space, name: str, said: str) -> None:
    done = ran.run("runs", "show", name)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_the_nearest_id_is_suggested(ran: Space) -> None:
    run_id = str(rows(ran)[1]["run_id"])
    wrong = run_id[:6] + ("0" if run_id[6] != "0" else "1") + run_id[7]
    done = ran.run("runs", "diff", wrong, run_id)
    assert done.code == 2 and f"did you mean {run_id[:8]!r}?" in done.err


def test_two_runs_of_the_same_do_not_differ(ran: Space) -> None:
    first = str(rows(ran)[1]["run_id"])
    assert ran.run("//e:run", "--policy", "live").code == 0
    done = ran.run("runs", "diff", first, "//e:run")
    assert (done.code, done.out) == (0, "no difference: 6 states came to the same from the same actions\n")


def test_a_probe_that_answers_otherwise_is_told_with_what_explains_it(ran: Space) -> None:
    first = str(rows(ran)[1]["run_id"])
    ran.write("e/BUILD.yaml", REGISTRY.replace("/etc/hosts", "/etc/nothing-of-this-name"))
    ran.run("//e:run")
    done = ran.run("runs", "diff", first, "//e:run")
    assert done.code == 1
    answers = done.out.partition("answers\n")[2].splitlines()
    assert [line.split()[:2] for line in answers] == [
        ["baseline", "read-host"],
        ["scenario", "unrestricted/read-host"],
        ["scenario", "scrubbed/read-host"],
    ]
    assert re.search(r"with\.probe\.target +/etc/hosts → /etc/nothing-of-this-name", done.out)
    (doc,) = ran.events("runs", "diff", first, "//e:run")
    assert doc["differs"] and len(doc["answers"]) == 3 and doc["outputs"] == []
    assert doc["answers"][0]["changes"] == [
        {"field": "with.probe.target", "old": "/etc/hosts", "new": "/etc/nothing-of-this-name"}
    ]


def test_evaluations_are_compared_by_outputs_and_inputs(ran: Space) -> None:
    first = str(rows(ran)[0]["run_id"])
    ran.write("words/names.txt", "bo\n")
    assert ran.run("//words").code == 0
    done = ran.run("runs", "diff", first, "//words")
    assert done.code == 1
    assert re.search(
        r"^outputs\n  //words:sorted command +sorted \w{8} → sorted \w{8}\n    inputs\.names\.sha256", done.out, re.M
    )


def test_a_changed_expectation_is_a_difference_although_nothing_was_asked_anew(ran: Space) -> None:
    first = str(rows(ran)[1]["run_id"])
    ran.write("e/BUILD.yaml", REGISTRY.replace("scrub}}", "scrub}, denies: [read-host]}"))
    ran.run("//e:run")
    done = ran.run("runs", "diff", first, "//e:run")
    assert done.code == 1
    assert re.search(r"^expected\n  scrubbed/read-host +allow → deny\n", done.out, re.M)


SLOW = "targets: {slow: {rule: exec, script: 'sleep 60; echo > ${{ outputs.o }}', outputs: {o: o}}}\n"


def test_a_run_that_goes_on_and_one_that_was_killed(ran: Space) -> None:
    ran.write("slow/BUILD.yaml", SLOW)
    process = ran.start("//slow")
    deadline = time.monotonic() + 60
    while len(rows(ran)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        assert rows(ran)[-1]["status"] == "in progress"
        shown = ran.run("runs", "show", "//slow")
        assert shown.code == 0 and "1 running" in shown.out
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert (rows(ran)[-1]["target"], rows(ran)[-1]["status"]) == ("//slow", "killed")
    refused = ran.run("runs", "diff", "//words", "//slow")
    assert refused.code == 5 and "has no end to compare" in refused.err


def bundle(ran: Space) -> Path:
    return ran.root / str(rows(ran)[1]["path"])


def test_a_bundle_without_its_index_was_never_committed(ran: Space) -> None:
    (bundle(ran) / INDEX).unlink()
    row = rows(ran)[1]
    assert (row["status"], row["latest"], row["target"]) == ("killed", False, "//e:run")


def test_a_damaged_bundle_is_listed_and_not_believed(ran: Space) -> None:
    where = bundle(ran)
    (where / SUMMARY).write_text(json.dumps({"status": "ok"}))
    row = rows(ran)[1]
    assert row["status"] == "damaged" and "summary.json" in str(row["problem"])
    assert ran.run("runs", "show", where.name).code == 5
    (where / INDEX).write_text("{")
    assert rows(ran)[1]["status"] == "damaged"


def test_a_torn_journal_is_a_killed_run(ran: Space) -> None:
    (journal,) = (ran.root / ".flowbuild" / "runs").glob("*/journal.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert rows(ran)[0]["status"] == "killed"
    assert ran.run("runs", "show", "//words").code == 0


def test_without_the_cache_a_run_is_still_listed(ran: Space) -> None:
    ran.remove(".flowbuild/cas")
    assert [(row["target"], row["status"], row["policy"]) for row in rows(ran)] == [
        ("", "ok", None),
        ("//e:run", "ok", "build"),
    ]


def test_bundles_committed_elsewhere(ran: Space) -> None:
    assert ran.run("//e:run", "--policy", "live", "--out", "elsewhere").code == 0
    assert [row["policy"] for row in rows(ran, "--out", "elsewhere", "//e:run")] == ["live"]


def test_a_copy_of_a_bundle_is_a_run_like_any_other(ran: Space) -> None:
    where = bundle(ran)
    shutil.copytree(where, ran.root / "out" / "kept" / "copy" / where.name)
    assert [(row["path"], row["latest"]) for row in rows(ran, "//e:run")] == [
        (f"out/e/run/{where.name}", True),
        (f"out/kept/copy/{where.name}", False),
    ]
    assert ran.run("runs", "show", where.name[:8]).code == 0


def test_a_journal_is_printed_as_people_read_it_and_as_it_stands(ran: Space) -> None:
    (journal,) = (ran.root / ".flowbuild" / "runs").glob("*/journal.jsonl")
    lines = ran.run("runs", "log", "//words").out.splitlines()
    assert re.fullmatch(
        r" +1  \d\d:\d\d:\d\d\.\d{3}  RunStarted        initial_snapshot_id=44136fa3  manifest_id=.{8}  op_id=words_words_\w+",
        lines[0],
    )
    assert re.fullmatch(
        r" +3  .{12}  action_bound      words_sorted_\w+\.main\.command  action=.{8}  label=//words:sorted", lines[2]
    )
    rows = envelopes(journal)
    assert len(lines) == len(rows)
    bare = [{key: value for key, value in row.items() if key != "crc"} for row in rows]
    assert ran.events("runs", "log", "//words") == bare
    names = [(row["kind"], row.get("name")) for row in ran.events("runs", "log", "//words", "--artifacts")]
    assert names == [
        ("Manifest", None), ("ContextSnapshot", None), ({"Other": "Action"}, None), ("Output", "sorted"), ({"Other": "Action"}, None), ("Output", "top"),
    ]  # fmt: skip
    for row in ran.events("runs", "log", "//e:run", "--artifacts"):
        assert (bundle(ran) / "objects" / str(row["artifact_id"])).is_file(), row


def test_of_a_damaged_journal_the_whole_beginning_is_printed(ran: Space) -> None:
    (journal,) = (ran.root / ".flowbuild" / "runs").glob("*/journal.jsonl")
    data = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*data[:4], data[4].replace(b"seq", b"sex"), *data[5:]]))
    told = ran.run("runs", "log", journal.parent.name)
    assert (told.code, len(told.out.splitlines())) == (5, 4) and "journal.jsonl:5: " in told.err


@pytest.mark.parametrize("time", [0, -1, 10**18, 10**30])
def test_a_journal_may_say_any_time(ran: Space, time: int) -> None:
    (journal,) = (ran.root / ".flowbuild" / "runs").glob("*/journal.jsonl")
    write(journal, [row | {"ts_millis": time} for row in envelopes(journal)])
    listed = ran.run("runs", "list")
    assert (listed.code, len(listed.out.splitlines())) == (0, 2)
    assert ran.run("runs", "show", journal.parent.name).code == 0


@pytest.mark.parametrize(
    "documents",
    [
        {"mismatch_summary.json": []},
        {"manifest.json": {"input_params": [1]}},
        {"manifest.json": 7},
        {"summary.json": {}},
    ],
)
def test_documents_of_another_shape_are_no_crash(ran: Space, documents: dict[str, object]) -> None:
    where = bundle(ran)
    index = json.loads((where / INDEX).read_text())
    for name, doc in documents.items():
        data = json.dumps(doc).encode()
        (where / name).write_bytes(data)
        for entry in index["artifacts"]:
            if entry["path"] == name:
                entry |= {"file_size": len(data), "sha256": sha256(data), "schema_version": None}
    (where / INDEX).write_text(json.dumps(index))
    for words in (["list"], ["show", where.name], ["diff", where.name, where.name]):
        done = ran.run("runs", *words)
        assert done.code in (0, 5) and "Traceback" not in done.err, done
