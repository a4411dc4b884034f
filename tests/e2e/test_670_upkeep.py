"""What is kept, checked and taken away: `runs gc`, `cache stats`, `verify` and `gc`, and a memo that was lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowbuild.core.canonical import Digest
from flowbuild.store.cas import SEALED_NS, Cas
from flowbuild.store.lock import hold
from flowbuild.store.memo import Memo
from flowbuild.testing import Space

BUILD = """
targets:
  a: {rule: exec, script: "cat ${{ inputs.src }} > ${{ outputs.o }}", inputs: {src: src.txt}, outputs: {o: a.txt}}
  dir:
    rule: exec
    script: mkdir ${{ outputs.d }} && cat ${{ inputs.a }} > ${{ outputs.d }}/one && echo two > ${{ outputs.d }}/two
    inputs: {a: ":a"}
    outputs: {d: parts/}
  asks: {rule: python, handler: "asks.py:asks", outputs: {out: asked.txt}}
  deed: {rule: python, handler: "asks.py:deed", outputs: {out: deed.txt}, side_effects: apply_side_effect, idempotency_key: one}
  report: {rule: run, targets: [":dir"]}
"""
ASKS = """
def asks(out, io):
    io.record_value("k", 1)
    out.write_text("asked")

def deed(out):
    with open("COUNT", "a") as file:
        file.write("x")
    out.write_text("done")
"""


def workspace(root: Path) -> Space:
    space = Space(root)
    space.write("BUILD.yaml", BUILD)
    space.write("asks.py", ASKS.replace("COUNT", str(root.parent / "count")))
    space.write("src.txt", "one\n")
    return space


@pytest.fixture
def lab(tmp_path: Path) -> Space:
    return workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs of two targets: the second bundle is LATEST, and its first output is no longer remembered by any."""
    space = workspace(tmp_path_factory.mktemp("ran") / "workspace")
    for text in ("one\n", "two\n"):
        space.write("src.txt", text)
        assert space.run("//:report").code == 0
        assert space.run("//:dir").code == 0
        assert space.run("//:asks").code == 0
    return space.root


@pytest.fixture
def old(ran: Path, tmp_path: Path) -> Space:
    shutil.copytree(ran, tmp_path / "workspace", symlinks=True)
    return Space(tmp_path / "workspace")


def runs(space: Space) -> list[str]:
    return [str(row["run_id"]) for row in space.events("runs", "list")]


def objects(space: Space) -> set[str]:
    return set(Cas(space.root / ".flowbuild/cas"))


# runs gc


def test_the_newest_of_each_target_stay_and_latest_always(old: Space) -> None:
    rows = old.events("runs", "list")
    first, latest = (row for row in rows if row["target"] == "//:report")
    told = {row["run_id"]: row for row in old.events("runs", "gc", "--keep", "0", "--dry-run") if "run_id" in row}
    assert (told[first["run_id"]]["removed"], told[latest["run_id"]]["reason"]) == (True, "LATEST")
    assert runs(old) == [row["run_id"] for row in rows]
    done = old.run("runs", "gc", "--keep", "1")
    assert done.code == 0 and "removed 2 of 4 runs" in done.out, done
    assert not (old.root / "out/report" / str(first["run_id"])).exists()
    assert not (old.root / ".flowbuild/runs" / str(first["run_id"])).exists()
    assert {row["run_id"] for row in old.events("runs", "list")} == {latest["run_id"], rows[-1]["run_id"]}
    assert old.run("bundle", "validate", "//:report").code == 0
    assert old.run("//:report").performed == 0
    assert "removed 0 of 2 runs" in old.run("runs", "gc").out


def test_only_what_is_old_and_asked_for(old: Space) -> None:
    assert "would remove 0 of" in old.run("runs", "gc", "--keep", "0", "--older-than", "1", "--dry-run").out
    assert "would remove 3 of" in old.run("runs", "gc", "--keep", "0", "--older-than", "0", "--dry-run").out
    assert "would remove 1 of" in old.run("runs", "gc", "//:report", "--keep", "0", "--dry-run").out


def test_a_promoted_run_stays(old: Space) -> None:
    first = next(row for row in old.events("runs", "list") if row["target"] == "//:report")
    assert old.run("bundle", "promote", f"out/report/{first['run_id']}").code in (0, 1)
    told = {row["run_id"]: row for row in old.events("runs", "gc", "--keep", "0", "--dry-run") if "run_id" in row}
    assert told[first["run_id"]]["reason"] == "promoted"


def test_a_damaged_run_stays(old: Space) -> None:
    first = next(row for row in old.events("runs", "list") if row["kind"] == "evaluation")
    journal = old.root / str(first["path"]) / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes()[1:])
    told = {row["run_id"]: row for row in old.events("runs", "gc", "--keep", "0") if "run_id" in row}
    assert told[first["run_id"]]["reason"] == "damaged"
    assert journal.exists()


def test_a_run_that_somebody_holds_stays(old: Space) -> None:
    first = next(row for row in old.events("runs", "list") if row["target"] == "//:report")
    place = old.root / str(first["path"])
    descriptor = os.open(place, os.O_RDONLY)
    hold(descriptor)
    try:
        old.run("runs", "gc", "--keep", "0")
        assert (place / "artifact_index.json").exists()
    finally:
        os.close(descriptor)
    old.run("runs", "gc", "--keep", "0")
    assert not place.exists()


def killed(space: Space, target: str) -> str:
    """A run that was killed while its one handler was at work."""
    process = space.start(target)
    until = time.monotonic() + 60
    while not (space.root.parent / "here").exists():
        assert time.monotonic() < until and process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return runs(space)[-1]


def test_what_was_killed_goes_unless_it_dealt_with_the_outside(lab: Space) -> None:
    wait = f"    import pathlib, time\n    pathlib.Path('{lab.root.parent}/here').touch()\n    time.sleep(60)\n"
    lab.write("asks.py", f"def asks(out, io):\n    io.record_value('k', 1)\n{wait}\ndef deed(out):\n    pass\n")
    asked = killed(lab, "//:asks")
    (lab.root.parent / "here").unlink()
    lab.write("asks.py", f"def asks(out, io):\n{wait}\ndef deed(out):\n    pass\n")
    computed = killed(lab, "//:asks")
    told = {row["run_id"]: row for row in lab.events("runs", "gc", "--keep", "0") if "run_id" in row}
    assert (told[computed]["removed"], told[asked]["removed"]) == (True, False)
    assert "goes on with it" in told[asked]["reason"]
    # Nor does the cache lose what a run needs that somebody may go on with.
    lab.run("cache", "gc")
    rows = [json.loads(line) for line in (lab.root / f".flowbuild/runs/{asked}/journal.jsonl").read_text().splitlines()]
    fact = next(row["event"]["Domain"]["payload"]["payload_id"] for row in rows if "fact_recorded" in str(row))
    assert {fact, rows[0]["event"]["Kernel"]["RunStarted"]["manifest_id"]} <= objects(lab)


# cache gc


def test_what_anybody_names_stays(old: Space) -> None:
    before, cas = objects(old), Cas(old.root / ".flowbuild/cas")
    orphan = cas.put(b"nobody names this")
    cas.use.leave()
    told = old.run("cache", "gc", "--dry-run")
    assert told.out.startswith("would remove 1 objects (17 bytes) and 0 records"), told
    assert objects(old) == before | {orphan}
    assert old.run("cache", "gc").out.startswith("removed 1 objects")
    assert objects(old) == before
    old.write("src.txt", "one\n")
    assert old.run("//:dir").performed == 0
    assert old.run("why", "//:dir").code == 0


def test_with_the_runs_their_objects_go(old: Space) -> None:
    old.write("src.txt", "three\n")
    assert old.run("//:report", "//:dir").code == 0  # the last table names what was built last, and what before
    before, records = objects(old), len(Memo(old.root / ".flowbuild/memo"))
    assert old.run("runs", "gc", "--keep", "0").code == 0
    assert old.run("cache", "gc").code == 0
    assert objects(old) < before and len(Memo(old.root / ".flowbuild/memo")) == records  # manifests, facts
    for target in ("//:dir", "//:report"):
        assert old.run(target).performed == 0
    shown = old.run("cache", "gc", "--older-than", "0")
    assert shown.code == 0 and len(Memo(old.root / ".flowbuild/memo")) < records, shown
    assert old.run("//:dir").performed == 0  # LATEST and the last table name it
    old.write("src.txt", "one\n")
    assert old.run("//:dir").performed == 2  # of an age that was given up


def test_a_record_of_what_is_gone_goes_too(old: Space) -> None:
    memo = Memo(old.root / ".flowbuild/memo")
    gone = next(artifact.sha256 for record in memo for artifact in record.outputs.values())
    Cas(old.root / ".flowbuild/cas").discard(gone)
    assert re.search(r" and [12] records;", old.run("cache", "gc").out)
    assert old.run("cache", "gc").out.startswith("removed 0 objects (0 bytes) and 0 records")


def test_checkouts_that_share_a_cache_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = workspace(tmp_path / "one"), workspace(tmp_path / "other")
    for space in (one, other):
        space.write("flowbuild.yaml", f"cache: {{dir: {tmp_path}/shared}}\n")
    assert other.run("//:asks").code == 0
    (journal,) = (other.root / ".flowbuild/runs").glob("*/journal.jsonl")
    fact = next(line.partition('"payload_id":"')[2][:64] for line in journal.read_text().splitlines() if "fact_recorded" in line)  # fmt: skip
    assert one.run("//:a").code == 0
    assert str(other.root) in one.run("cache", "stats").out
    assert one.run("cache", "gc").code == 0
    assert fact in set(Cas(tmp_path / "shared/cas"))
    shutil.rmtree(other.root)
    assert one.run("cache", "gc").code == 0
    assert fact not in set(Cas(tmp_path / "shared/cas"))


def test_builds_beside_a_collector(lab: Space) -> None:
    """Builds that never heard of it, and a collector that takes out everything it can: neither fails the other."""
    loop = (
        'n=0; while [ $n -lt 10 ]; do n=$((n+1)); "$@" cache gc --older-than 0 && "$@" runs gc --keep 1 || exit 9; done'
    )
    collector = subprocess.Popen(
        ["sh", "-c", loop, "sh", sys.executable, "-m", "flowbuild"],
        cwd=lab.root, env=lab.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        number = 0
        while collector.poll() is None or number < 6:
            number += 1
            lab.write("src.txt", f"{number % 3}\n")
            ran = lab.run("//:dir", "//:report", "//:asks")
            assert ran.code == 0 and not ran.err, ran
            assert lab.read("out/bin/dir/parts/one") == f"{number % 3}\n"
            assert lab.run("bundle", "validate", "//:report").code == 0
        out, err = collector.communicate()
        assert collector.returncode == 0 and not err, (out, err)
    finally:
        if collector.poll() is None:
            os.killpg(collector.pid, signal.SIGKILL)
            collector.communicate()
    assert lab.run("cache", "verify").code == 0


def test_a_build_at_work_is_waited_for(old: Space, tmp_path: Path) -> None:
    """It found an output in the store that nothing names any more, and uses it later."""
    gate = f"touch {tmp_path}/here; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    old.write("BUILD.yaml", old.read("BUILD.yaml") + f"""\
  wait: {{rule: exec, stage: false, script: "{gate}; echo > ${{{{ outputs.o }}}}", outputs: {{o: w.txt}}, inputs: {{a: ":a"}}}}
  late: {{rule: exec, script: "cat ${{{{ inputs.a }}}} ${{{{ inputs.w }}}} > ${{{{ outputs.o }}}}", outputs: {{o: l.txt}}, inputs: {{a: ":a", w: ":wait"}}}}
""")  # fmt: skip
    old.write("src.txt", "three\n")
    assert old.run("//:report").code == 0
    old.run("runs", "gc", "--keep", "0")
    old.write("src.txt", "one\n")  # remembered, and by nobody but the memo
    (old.root / ".flowbuild/last").unlink()
    build = old.start("//:late")
    until = time.monotonic() + 60
    while not (tmp_path / "here").exists():
        assert time.monotonic() < until and build.poll() is None, build.communicate()
        time.sleep(0.02)
    collector = old.start("cache", "gc", "--older-than", "0")
    with pytest.raises(subprocess.TimeoutExpired):
        collector.wait(1.5)
    (tmp_path / "go").touch()
    out, err = build.communicate()
    assert (build.returncode, err) == (0, ""), (out, err)
    assert collector.communicate()[0].startswith("removed ") and collector.returncode == 0


# cache verify, stats


def spoil(space: Space) -> Digest:
    """An object whose bytes changed, and whose stat does not tell."""
    cas = Cas(space.root / ".flowbuild/cas")
    path = cas.path(next(digest for digest in cas if cas.read(digest) == b"two\n"))
    path.chmod(0o644)
    path.write_bytes(b"tvo\n")
    os.utime(path, ns=(SEALED_NS, SEALED_NS))
    path.chmod(0o444)
    return Digest(path.name)


def test_what_stat_does_not_see_is_found_and_made_anew(old: Space) -> None:
    assert old.run("cache", "verify").code == 0
    digest = spoil(old)
    assert old.run("//:dir").performed == 0
    told = old.run("cache", "verify", "--dry-run")
    assert told.code == 5 and f"damaged  {digest}" in told.out and digest in objects(old)
    done = old.run("cache", "verify")
    assert done.code == 5 and "1 damaged, and removed" in done.out and digest not in objects(old)
    assert old.run("cache", "verify").code == 0
    assert old.run("//:dir").code == 0
    assert digest in objects(old)


def test_a_damaged_line_of_the_memo_is_told_and_folded_anew(old: Space) -> None:
    path = old.root / ".flowbuild/memo"
    records = {record.action: dict(record.outputs) for record in Memo(path)}
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    done = old.run("cache", "verify", "--rebuild")
    assert done.code == 5 and "1 damaged lines" in done.out and "1 records folded from journals" in done.out, done
    assert {record.action: dict(record.outputs) for record in Memo(path)} == records
    assert old.run("cache", "verify").code == 0


@pytest.mark.parametrize("words", [("stats",), ("verify",), ("verify", "--rebuild"), ("gc",), ("gc", "--older-than", "0")])  # fmt: skip
def test_where_nothing_was_built_there_is_nothing_to_look_after(lab: Space, words: tuple[str, ...]) -> None:
    ran = lab.run("cache", *words)
    assert (ran.code, ran.err) == (0, "") and not (lab.root / ".flowbuild").exists(), ran
    assert lab.run("runs", "gc").out == "removed 0 of 0 runs (0 bytes)\n"


def test_stats_count(old: Space) -> None:
    (doc,) = old.events("cache", "stats")
    assert doc["objects"] == len(objects(old))
    assert (doc["records"], doc["damaged_lines"]) == (len(Memo(old.root / ".flowbuild/memo")), 0)
    assert doc["journals"] == len(runs(old))
    assert str(doc["objects"]) in old.run("cache", "stats").out


# A memo that was lost


def test_a_lost_memo_is_folded_from_journals(old: Space) -> None:
    path = old.root / ".flowbuild/memo"
    before = {record.action: (record.channel, dict(record.outputs), record.run_id) for record in Memo(path)}
    path.unlink()
    explained = old.run("explain", "//:dir")
    assert "0 would run, 0 may run, 2 would be reused" in explained.out and not path.exists(), explained
    assert old.run("//:dir").performed == 0
    assert {record.action: (record.channel, dict(record.outputs), record.run_id) for record in Memo(path)} == before
    old.write("src.txt", "one\n")
    assert old.run("//:dir").performed == 0
    assert old.run("//:asks").performed == 1  # it asked the outside: no run may reuse that


def test_a_deed_is_not_done_again_for_a_lost_memo(lab: Space) -> None:
    assert lab.run("//:deed").code == 0
    (lab.root / ".flowbuild/memo").unlink()
    shutil.rmtree(lab.root / ".flowbuild/null")
    assert lab.run("//:deed").performed == 0
    assert (lab.root.parent / "count").read_text() == "x"


def test_what_is_folded_is_nothing_that_the_clean_channel_believes(old: Space) -> None:
    """A bundle may say that it is of any channel, and may have been brought here."""
    path = old.root / ".flowbuild/memo"
    path.unlink()
    assert old.run("cache", "verify", "--rebuild").code == 0
    assert {record.channel for record in Memo(path)} == {"direct"}
    assert len(Memo(path)) == 4
