"""Fan-outs killed, gone on with, replayed, verified and compared: item by item."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flowbuild.testing import Space

BUILD = """
targets:
  pages:
    rule: python
    handler: pages.py:page
    each: {site: sites.json}
    with: {log: "LOG"}
    outputs: {page: pages/*.txt}
  loud:
    rule: exec
    script: |
      echo loud >> LOG
      tr a-z A-Z < ${{ page }} > ${{ outputs.loud }}
    each: {page: ":pages"}
    outputs: {loud: loud/*.txt}
  report: {rule: run, targets: [":loud"]}
"""
PAGES = """
import os, pathlib, time

def page(site, page, io, log):
    with open(log, "a") as file:
        file.write(f"{site}\\n")
    noted = io.record_value("the page", {"site": site})
    if site.startswith("bad"):
        raise ValueError(f"{site} does not answer")
    while site.startswith("slow") and not os.path.exists(f"{log}.go"):
        pathlib.Path(f"{log}.at").touch()
        time.sleep(0.01)
    page.write_text(f"{site} {io.now_millis()} {io.random_bytes(4).hex()}\\n")
"""


class Sites(Space):
    """A workspace of pages whose handlers say in a file that they were called."""

    @property
    def log(self) -> Path:
        return self.root.parent / "log"

    def called(self) -> list[str]:
        said = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return said

    def sites(self, *names: str) -> None:
        self.write("sites.json", json.dumps(names))

    @property
    def bundle(self) -> Path:
        out = self.root / "out/report"
        return out / out.joinpath("LATEST").read_text().strip()

    def events(self, *names: str, **variables: str) -> list[dict[str, Any]]:
        """The payloads of the domain events of these names, in the journal of the last bundle."""
        rows = [json.loads(line)["event"] for line in (self.bundle / "journal.jsonl").read_text().splitlines()]
        return [row["Domain"]["payload"] for row in rows if row.get("Domain", {}).get("name") in names]


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    space = Sites(tmp_path / "workspace")
    space.write("BUILD.yaml", BUILD.replace("LOG", str(space.log)))
    space.write("pages.py", PAGES)
    space.sites("ada", "bob", "cay")
    return space


def killed(space: Sites, *words: str) -> None:
    """Build until an item is at its gate, and kill."""
    process, at = space.start(*words), Path(f"{space.log}.at")
    until = time.monotonic() + 60
    while not at.exists():
        assert time.monotonic() < until and process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    at.unlink()


def test_the_facts_of_items_are_their_own(sites: Sites) -> None:
    assert sites.run("//:report").code == 0
    facts = sites.events("fact_recorded")
    assert len({fact["key"] for fact in facts}) == len(facts) == 9
    payloads = {fact["payload_id"] for fact in facts if fact["key"].startswith("the page")}
    assert len(payloads) == 3


def test_what_asked_the_outside_is_done_again_unless_it_may_be_remembered(sites: Sites) -> None:
    sites.run("//:report")
    assert len(sites.called()) == 6
    assert sites.run("//:report").code == 0
    assert sorted(name for name in sites.called() if name != "loud") == ["ada", "bob", "cay"]
    sites.write("BUILD.yaml", sites.read("BUILD.yaml").replace("    handler:", "    remember: true\n    handler:"))
    sites.run("//:report")
    sites.called()
    sites.sites("cay", "dan", "ada")
    assert sites.run("//:report").code == 0
    assert sites.called() == ["dan", "loud"]


def test_a_killed_run_does_not_do_again_the_items_that_were_done(sites: Sites) -> None:
    sites.sites("ada", "bob", "slow", "cay")
    killed(sites, "//:report", "-j", "1")
    assert sites.called() == ["ada", "bob", "slow"]
    Path(f"{sites.log}.go").touch()
    ran = sites.run("//:report", "-j", "1")
    assert ran.code == 0 and "going on with run" in ran.out and "2 of 4 items" in ran.out, ran
    assert sites.called() == ["slow", "cay", *["loud"] * 4]
    assert sites.run("bundle", "validate", "//:report").code == 0
    assert sites.run("runs", "replay", "//:report").out.endswith("2 equal\n")


def test_what_asked_before_the_kill_is_not_remembered_after_it(sites: Sites) -> None:
    text = sites.read("pages.py").replace("noted = io.record_value", 'site != "ada" or io.record_value')
    sites.write("pages.py", text.replace(" {io.now_millis()} {io.random_bytes(4).hex()}", ""))
    sites.sites("ada", "slow")
    killed(sites, "//:report", "-j", "1")
    Path(f"{sites.log}.go").touch()
    assert "going on with run" in sites.run("//:report", "-j", "1").out
    sites.called()
    assert sites.run("//:report", "-j", "1").code == 0
    assert sites.called() == ["ada"]


def test_a_plain_build_that_was_killed_remembers_the_items_that_were_done(sites: Sites) -> None:
    sites.write("pages.py", PAGES.replace("noted = io.record_value", "noted = print").replace("{io.now_millis()} {io.random_bytes(4).hex()}", "here").replace(", io,", ","))  # fmt: skip
    sites.sites("ada", "bob", "slow", "cay")
    killed(sites, "//:pages", "-j", "1")
    sites.called()
    Path(f"{sites.log}.go").touch()
    assert sites.run("//:pages", "-j", "1").code == 0
    assert sites.called() == ["slow", "cay"]


def test_a_cancelled_run_ends_its_items(sites: Sites) -> None:
    sites.sites("ada", "slow1", "slow2", "slow3")
    process, at = sites.start("//:pages", "-j", "3"), Path(f"{sites.log}.at")
    while not at.exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (journal,) = (sites.root / ".flowbuild/runs").glob("*/journal.jsonl")
    assert '"status":"Cancelled"' in journal.read_text() and '"code":"cancelled"' in journal.read_text()


def test_a_bundle_repeats_its_items_elsewhere(sites: Sites, tmp_path: Path) -> None:
    assert sites.run("//:report").code == 0
    shutil.copytree(sites.bundle, tmp_path / "elsewhere")
    os.rename(sites.root, tmp_path / "gone")
    sites.called()
    ran = Space(tmp_path / "other").run("runs", "replay", str(tmp_path / "elsewhere"), "-v")
    assert ran.code == 0, ran
    assert ran.out.splitlines() == ["  equal    //:pages", "  equal    //:loud", "replayed elsewhere: 2 equal"]
    assert sorted(sites.called()) == ["ada", "bob", "cay", "loud", "loud", "loud"]


def test_a_fan_out_that_was_reused_is_replayed_too(sites: Sites) -> None:
    sites.run("//:loud")
    sites.write("BUILD.yaml", sites.read("BUILD.yaml").replace("    handler:", "    remember: true\n    handler:"))
    sites.run("//:loud")
    sites.run("//:report")
    assert sites.events("item_bound", "item_reused") == []
    ran = sites.run("runs", "replay", "//:report", "-v")
    assert "  equal    //:loud" in ran.out, ran


def test_a_replay_names_the_item_that_differs(sites: Sites) -> None:
    sites.write("pages.py", PAGES.replace("{io.now_millis()}", "{os.urandom(4).hex() if site == 'bob' else ''}"))
    assert sites.run("//:report").code == 0
    ran = sites.run("runs", "replay", "//:report")
    assert ran.code == 1 and "differs  //:pages  item bob: output page" in ran.out, ran


def test_a_failed_run_is_a_bundle_and_is_replayed(sites: Sites) -> None:
    sites.sites("ada", "bad", "cay")
    assert sites.run("//:report", "-j", "1", "--continue", "always").code == 1
    (bundle,) = (path for path in (sites.root / "out/report").iterdir() if path.is_dir())
    assert sites.run("bundle", "validate", str(bundle)).code in (0, 1)
    made = [json.loads(line)["event"]["Domain"]["payload"] for line in (bundle / "journal.jsonl").read_text().splitlines() if '"item_recorded"' in line]  # fmt: skip
    assert [one["item"] for one in made] == ["ada", "cay"]
    assert all((bundle / "objects" / one["artifacts"]["page"]["sha256"]).is_file() for one in made)
    ran = sites.run("runs", "replay", str(bundle), "-v")
    assert "  equal    //:pages" in ran.out, ran


def test_verify_compares_what_the_items_come_to(sites: Sites) -> None:
    sites.write("BUILD.yaml", sites.read("BUILD.yaml").replace("    handler:", "    remember: true\n    handler:"))
    sites.write("pages.py", PAGES.replace("{io.now_millis()} {io.random_bytes(4).hex()}", "same"))
    assert sites.run("//:loud").code == 0
    sites.called()
    ran = sites.run("--policy", "verify", "//:loud")
    assert ran.code == 0 and "verified: 2 equal" in ran.out, ran
    assert len(sites.called()) == 6


def test_two_runs_are_told_apart_by_item(sites: Sites) -> None:
    assert sites.run("//:report").code == 0
    first = sites.bundle.name
    sites.sites("ada", "dan", "cay")
    assert sites.run("//:report").code == 0
    ran = sites.run("runs", "diff", first, sites.bundle.name)
    assert "items[dan]" in ran.out and "items[bob]" in ran.out, ran


def test_a_run_shows_its_items(sites: Sites) -> None:
    sites.sites("ada", "bad", "cay")
    assert sites.run("//:pages", "-j", "1", "--continue", "always").code == 1
    run_id = next((sites.root / ".flowbuild/runs").iterdir()).name
    said = sites.run("runs", "show", run_id, "-v").out
    assert "item bad  ValueError: bad does not answer" in said, said
    (doc,) = (json.loads(line) for line in sites.run("runs", "show", run_id, "--json").out.splitlines())
    (state,) = doc["states"]["failed"]
    assert [(one["item"], one["how"]) for one in state["items"]] == [
        ("ada", "performed"),
        ("bad", "failed"),
        ("cay", "performed"),
    ]


DEED = """
def do(n, out, log):
    with open(log, "a") as file:
        file.write(f"{n}\\n")
    out.write_text("done")
    if n == 2 and not __import__("os").path.exists(f"{log}.go"):
        raise ValueError("not yet")
"""


def test_a_deed_is_done_once_for_each_item_and_key(sites: Sites) -> None:
    sites.write("deed.py", DEED)
    sites.write("items.json", "[1, 2, 3]")
    sites.write("BUILD.yaml", f"""
        targets:
          deeds:
            rule: python
            handler: deed.py:do
            each: {{n: items.json}}
            with: {{log: "{sites.log}"}}
            outputs: {{out: out/*}}
            side_effects: apply_side_effect
            idempotency_key: "deed-${{{{ n }}}}"
    """)  # fmt: skip
    assert sites.run("//:deeds", "-j", "1", "--continue", "always").code == 1
    assert sites.called() == ["1", "2", "3"]
    Path(f"{sites.log}.go").touch()
    assert sites.run("//:deeds", "-j", "1").code == 0
    assert sites.called() == ["2"]
    sites.write("items.json", "[3, 4, 1]")
    assert sites.run("//:deeds", "-j", "1").code == 0
    assert sites.called() == ["4"]


def test_every_item_is_confined_in_clean(space: Space) -> None:
    space.write("items.json", '["a.txt", "b.txt"]')
    space.write("a.txt", "a\n")
    space.write("b.txt", "b\n")
    space.write("BUILD.yaml", """
        targets:
          seen: {rule: exec, script: "cat ${{ n }} > ${{ outputs.o }}", each: {n: items.json}, inputs: {a: a.txt}, outputs: {o: o/*}}
    """)  # fmt: skip
    ran = space.run("--channel", "clean", "//:seen")
    if "can't hold" in ran.err or "channel_refused" in ran.out or ran.code == 3:
        pytest.skip(f"this host can't confine: {ran.err or ran.out}")
    assert ran.code == 1 and "item 1 (b.txt)" in ran.out, ran


def test_what_an_item_made_while_its_input_moved_is_joined_and_not_remembered(sites: Sites) -> None:
    sites.write("n.json", "[1, 2]")
    sites.write("a.txt", "a\n")
    sites.write("BUILD.yaml", f"""
        targets:
          t:
            rule: exec
            script: |
              echo ${{{{ n }}}} >> {sites.log}
              [ ${{{{ n }}}} = 1 ] || echo more >> {sites.root}/a.txt
              cp ${{{{ inputs.a }}}} ${{{{ outputs.o }}}}
            each: {{n: n.json}}
            inputs: {{a: a.txt}}
            outputs: {{o: o/*}}
    """)  # fmt: skip
    ran = sites.run("//:t", "-j", "1")
    assert ran.code == 0 and "its result is not remembered" in ran.out, ran
    sites.called()
    sites.write("a.txt", "a\n")
    assert sites.run("//:t", "-j", "1").code == 0
    assert sites.called() == ["2"]


def test_every_item_reads_the_context_that_its_state_begins_with(space: Space) -> None:
    space.write("items.json", '["a", "b"]')
    space.write(
        "c.py",
        """
        def write(out, context):
            context.write("unit", "km")
            out.write_text("")

        def read(it, out, context):
            out.write_text(it + context.read("unit"))
    """,
    )
    space.write("BUILD.yaml", """
        targets:
          unit: {rule: python, handler: "c.py:write", outputs: {out: out}, writes: [unit]}
          said: {rule: python, handler: "c.py:read", each: {it: items.json}, outputs: {out: out/*}, after: [":unit"], reads: [unit]}
          report: {rule: run, targets: [":said"]}
    """)  # fmt: skip
    assert space.run("//:report").code == 0
    ran = space.run("runs", "replay", "//:report", "-v")
    assert ran.code == 0 and "equal    //:said" in ran.out, ran
    space.build("//:said")
    assert [path.read_text() for path in sorted((space.root / "out/bin/said/out").iterdir())] == ["akm", "bkm"]


def test_items_write_no_context(space: Space) -> None:
    space.write("items.json", "[]")
    space.write("c.py", "def write(it, out, context): context.write('unit', it)\n")
    space.write("BUILD.yaml", """
        targets:
          t: {rule: python, handler: "c.py:write", each: {it: items.json}, outputs: {out: out/*}, writes: [unit]}
    """)  # fmt: skip
    ran = space.run("//:t")
    assert ran.code == 2 and "a state with items writes no context keys" in ran.err, ran
