"""Fan-out over what an earlier state left: each item is one action, done once, and joined in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowbuild.testing import Ran, Space

BUILD = """
targets:
  cities: {rule: exec, command: "cp ${{ inputs.list }} ${{ outputs.cities }}", inputs: {list: list.json}, outputs: {cities: cities.json}}
  greetings:
    rule: python
    handler: greet.py:greet
    each: {city: ":cities"}
    with: {log: LOG}
    outputs: {greeting: greetings/*.txt}
  loud:
    rule: exec
    script: |
      echo loud >> LOG
      tr a-z A-Z < ${{ greeting }} > ${{ outputs.loud }}
    each: {greeting: ":greetings"}
    stage: true
    outputs: {loud: loud/*.txt}
"""  # fmt: skip
GREET = """
import os

def greet(city, greeting, log):
    with open(log, "a") as file:
        file.write(f"{city}\\n")
    if os.path.exists(f"{log}.bad") and city in open(f"{log}.bad").read():
        raise ValueError(f"{city} does not answer")
    greeting.write_text(f"hello {city}\\n")
"""


class Counted(Space):
    """A workspace whose handlers say in a file that they were called."""

    @property
    def log(self) -> Path:
        return self.root.parent / "log"

    def called(self) -> list[str]:
        """Who was called since this was asked last."""
        said = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return said

    def list(self, *cities: Any) -> None:
        self.write("list.json", json.dumps(cities))

    def made(self, directory: str = "out/bin/greetings/greetings") -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted((self.root / directory).iterdir())}


@pytest.fixture
def cities(tmp_path: Path) -> Counted:
    space = Counted(tmp_path / "workspace")
    space.write("BUILD.yaml", BUILD.replace("LOG", str(space.log)))
    space.write("greet.py", GREET)
    space.list("paris", "rome", "oslo")
    return space


def failed(ran: Ran, *words: str) -> None:
    assert ran.code == 1, ran
    assert all(word in ran.out for word in words), ran.out


def test_every_item_is_done_and_joined_in_order(cities: Counted) -> None:
    assert cities.build("//:greetings").performed == 2
    assert sorted(cities.called()) == ["oslo", "paris", "rome"]
    assert cities.made() == {"00000.txt": "hello paris\n", "00001.txt": "hello rome\n", "00002.txt": "hello oslo\n"}


def test_only_a_new_item_is_done(cities: Counted) -> None:
    cities.build("//:greetings")
    cities.called()
    cities.list("bonn", "oslo", "paris")
    ran = cities.build("//:greetings")
    assert cities.called() == ["bonn"]
    assert "item bonn is new" in ran.out and "1 of 3 items" in ran.out
    assert list(cities.made().values()) == ["hello bonn\n", "hello oslo\n", "hello paris\n"]


def test_another_order_is_only_joined(cities: Counted) -> None:
    cities.build("//:greetings")
    cities.called()
    cities.list("oslo", "rome", "paris")
    cities.build("//:greetings")
    assert cities.called() == []
    assert list(cities.made().values()) == ["hello oslo\n", "hello rome\n", "hello paris\n"]


def test_items_of_one_content_are_done_once(cities: Counted) -> None:
    cities.list("oslo", "oslo", "oslo")
    cities.build("//:greetings")
    assert cities.called() == ["oslo"]
    assert list(cities.made()) == ["00000.txt", "00001.txt", "00002.txt"]


def test_no_items_make_an_empty_directory(cities: Counted) -> None:
    cities.list()
    cities.build("//:greetings")
    assert cities.called() == [] and cities.made() == {}


def test_a_file_that_moves_from_one_fan_out_to_the_next_is_the_same_item(cities: Counted) -> None:
    cities.build("//:loud")
    assert sorted(cities.called()) == ["loud", "loud", "loud", "oslo", "paris", "rome"]
    cities.list("bonn", "rome", "paris", "oslo")
    cities.build("//:loud")
    assert cities.called() == ["bonn", "loud"]
    assert list(cities.made("out/bin/loud/loud").values()) == [
        f"HELLO {city}\n" for city in ("BONN", "ROME", "PARIS", "OSLO")
    ]


def test_a_failed_item_fails_its_state_and_the_others_are_remembered(cities: Counted) -> None:
    bad = cities.write("../log.bad", "rome")
    failed(cities.run("//:greetings", "-j", "1", "--continue", "always"), "item 1 (rome): ValueError: rome does not")
    assert cities.called() == ["paris", "rome", "oslo"]
    bad.unlink()
    cities.build("//:greetings")
    assert cities.called() == ["rome"]


def test_after_a_failed_item_no_other_is_begun(cities: Counted) -> None:
    cities.write("../log.bad", "paris")
    failed(cities.run("//:greetings", "-j", "1"), "item 0 (paris): ValueError")
    assert cities.called() == ["paris"]


def test_several_failed_items_are_counted(cities: Counted) -> None:
    cities.write("../log.bad", "paris oslo")
    failed(cities.run("//:greetings", "--continue", "always"), "item 0 (paris)", "(and 1 more items failed)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "out/bin/cities/cities.json is no list of items: it is a mapping"),
        ("[1,", "out/bin/cities/cities.json:"),
        ('["a", {"b": 1, "b": 2}]', "'b'"),
        ("", "out/bin/cities/cities.json"),
        ("\udcff", "out/bin/cities/cities.json"),
    ],
)
def test_what_is_no_list_names_its_file(cities: Counted, text: str, said: str) -> None:
    cities.write("list.json", text.encode("utf-8", "surrogateescape"))
    failed(cities.run("//:greetings"), "failed  //:greetings", said)
    assert cities.called() == []


def test_too_many_items_are_refused(cities: Counted) -> None:
    cities.write("flowbuild.yaml", "fanout: {max_items: 2}\n")
    failed(cities.run("//:greetings"), "out/bin/cities/cities.json has 3 items, and 2 are the most", "max_items")
    assert cities.called() == []


def test_an_item_that_lacks_what_a_command_asks_is_named(cities: Counted) -> None:
    cities.write("BUILD.yaml", BUILD.replace("${{ greeting }}", "${{ greeting.nme }}").replace("LOG", "/dev/null"))
    failed(cities.run("//:loud"), "item 0 (", "nme")


def test_json_items_keep_their_types(space: Space) -> None:
    space.write("items.json", '[{"name": "a b", "n": 1}, [1, "two"], 2.5, null, true, "t"]')
    space.write("BUILD.yaml", """
        targets:
          said: {rule: python, handler: say.py:say, each: {it: items.json}, outputs: {out: said/*.json}}
          shell: {rule: exec, script: "echo ${{ it.name }} > ${{ outputs.out }}", each: {it: named.json}, outputs: {out: shell/*}}
    """)  # fmt: skip
    space.write("named.json", '[{"name": "a  $HOME"}]')
    space.write("say.py", "import json\ndef say(it, out):\n    out.write_text(json.dumps(it))\n")
    space.build("//...")
    assert [json.loads(space.read(f"out/bin/said/said/0000{n}.json")) for n in range(6)] == [
        {"name": "a b", "n": 1}, [1, "two"], 2.5, None, True, "t"
    ]  # fmt: skip
    assert space.read("out/bin/shell/shell/00000") == "a  $HOME\n"


def test_the_files_of_a_directory_and_of_a_filegroup_are_items(space: Space) -> None:
    space.write("BUILD.yaml", """
        targets:
          texts: {rule: filegroup, files: {glob: "*.txt"}}
          split: {rule: exec, script: "mkdir -p ${{ outputs.d }}/x && echo 1 > ${{ outputs.d }}/a && echo 2 > ${{ outputs.d }}/x/b", outputs: {d: d/}}
          one: {rule: exec, command: "cp ${{ file }} ${{ outputs.o }}", each: {file: ":split"}, outputs: {o: o/*.out}}
          two: {rule: exec, script: "echo ${{ file.name }} > ${{ outputs.o }}", each: {file: ":texts"}, outputs: {o: o/*.out}}
          dirs: {rule: exec, script: "mkdir ${{ outputs.o }} && cp ${{ file }} ${{ outputs.o }}/in", each: {file: ":texts"}, outputs: {o: o/*/}}
    """)  # fmt: skip
    space.write("p.txt", "p\n")
    space.write("q.txt", "q\n")
    space.build("//...")
    assert [space.read(f"out/bin/one/o/0000{n}.out") for n in range(2)] == ["1\n", "2\n"]
    assert [space.read(f"out/bin/two/o/0000{n}.out") for n in range(2)] == ["p\n", "q\n"]
    assert [space.read(f"out/bin/dirs/o/0000{n}/in") for n in range(2)] == ["p\n", "q\n"]
    space.write("p.txt", "new\n")
    events = space.events("//:two")
    names = [row["event"]["Domain"]["payload"]["item"] for row in events if "item_bound" in json.dumps(row)]
    assert names == ["p.txt"]


def test_a_rule_of_the_workspace_fans_out_over_its_own_state(cities: Counted) -> None:
    cities.write("rules/split.rule.yaml", """
        rule: split
        attributes: {text: {type: file, required: true}}
        outputs: {counts: "${{ states.count.outputs.count }}"}
        states:
          lines:
            kind: exec
            with: {script: "mkdir ${{ outputs.lines }} && split -l 1 ${{ inputs.text }} ${{ outputs.lines }}/"}
            inputs: {text: "${{ attr.text }}"}
            outputs: {lines: lines/}
          count:
            each: {line: "${{ states.lines.outputs.lines }}"}
            kind: exec
            with: {script: "wc -c < ${{ line }} > ${{ outputs.count }}"}
            outputs: {count: counts/*.txt}
    """)  # fmt: skip
    cities.write("BUILD.yaml", "targets:\n  counted: {rule: split, text: t.txt}\n")
    cities.write("t.txt", "one\nthree\n")
    cities.build("//:counted")
    assert [text.strip() for text in cities.made("out/bin/counted/counts").values()] == ["4", "6"]


def test_its_pool_and_its_jobs_hold_for_items(space: Space) -> None:
    space.write("flowbuild.yaml", "pools: {gpu: 1}\n")
    space.write("items.json", "[1, 2, 3, 4]")
    place = space.root.parent / "alone"
    alone = f"mkdir {place} && sleep 0.05 && rmdir {place} && echo > ${{{{ outputs.o }}}} ${{{{ n }}}}"
    for more, jobs in (("pool: gpu", "4"), ("", "1")):
        space.write("BUILD.yaml", f"""
            targets:
              a: {{rule: exec, script: "{alone}", each: {{n: items.json}}, outputs: {{o: o/*}}, {more}}}
        """)  # fmt: skip
        assert space.run("//:a", "-j", jobs, "--force", "//:a").code == 0


def test_a_retry_is_an_items_own(cities: Counted) -> None:
    cities.write("BUILD.yaml", f"""
        targets:
          a:
            rule: exec
            script: |
              echo ${{{{ n }}}} >> {cities.log}
              if [ ${{{{ n }}}} = 2 ] && [ `grep -c 2 {cities.log}` -lt 3 ]; then exit 75; fi
              echo > ${{{{ outputs.o }}}}
            each: {{n: items.json}}
            outputs: {{o: o/*}}
            retry: {{attempts: 3}}
    """)  # fmt: skip
    cities.write("items.json", "[1, 2, 3]")
    ran = cities.build("//:a", "-j", "1")
    assert ran.out.count("item 2, attempt") == 2
    assert cities.called() == ["1", "2", "2", "2", "3"]


def test_a_time_out_is_an_items_own(space: Space) -> None:
    space.write("items.json", "[0, 30]")
    space.write("BUILD.yaml", """
        targets:
          a: {rule: exec, script: "sleep ${{ n }}; echo > ${{ outputs.o }}", each: {n: items.json}, outputs: {o: o/*}, timeout: 0.5}
    """)  # fmt: skip
    failed(space.run("//:a"), "item 1 (30): timed out after")


def test_explain_tells_each_item_when_they_are_known(cities: Counted) -> None:
    assert "its items are known after //:cities" in cities.run("explain", "//:greetings").out
    cities.build("//:greetings")
    cities.list("bonn", "rome")
    cities.build("//:cities")
    assert "1 of 2 items would run (bonn)" in cities.run("explain", "//:greetings").out
    rows = [json.loads(line) for line in cities.run("explain", "//:greetings", "--json").out.splitlines()]
    assert rows[-1]["items"] == [
        {"item": "bonn", "would": "would run"},
        {"item": "rome", "would": "would be reused"},
    ]


def test_why_names_the_item(cities: Counted) -> None:
    cities.build("//:greetings")
    cities.list("paris", "oslo", "lima")
    cities.build("//:greetings")
    said = cities.run("why", "//:greetings").out
    assert "items[lima]" in said and "items[rome]" in said and "items[oslo]" not in said
    assert "list.json" in said  # the root of it
    cities.write("greet.py", GREET + "\n# another\n")
    cities.build("//:greetings")
    said = cities.run("why", "//:greetings").out
    assert "handler.source" in said and "items[" not in said  # what all have in common is told once


def test_a_lost_memo_is_folded_from_the_items_of_journals(cities: Counted) -> None:
    cities.write("../log.bad", "oslo")
    assert cities.run("//:greetings", "--continue", "always").code == 1
    cities.remove("../log.bad")
    cities.remove(".flowbuild/memo")
    cities.called()
    cities.build("//:greetings")
    assert cities.called() == ["oslo"]


def test_what_looks_like_a_secret_is_no_item(space: Space) -> None:
    space.write("made.py", 'def made(list): list.write_text(\'["fine", "the api_key of it"]\')\n')
    space.write("BUILD.yaml", """
        targets:
          list: {rule: python, handler: made.py:made, outputs: {list: list.json}}
          said: {rule: exec, script: "echo ${{ it }} > ${{ outputs.o }}", each: {it: ":list"}, outputs: {o: o/*}}
    """)  # fmt: skip
    failed(space.run("//:said"), "item 1 of out/bin/list/list.json is a secret, or looks like one")
    text = space.read("BUILD.yaml").replace("{rule: exec", "{tags: [allow:secret-words], rule: exec")
    space.write("BUILD.yaml", text)
    assert space.run("//:said").code == 0


def test_a_secret_that_is_known_is_no_item(space: Space) -> None:
    space.write("items.json", '["hunter2hunter2", "b"]')
    space.write("BUILD.yaml", """
        targets:
          said: {rule: exec, script: "echo > ${{ outputs.o }}", each: {it: items.json}, outputs: {o: o/*}, secrets: [WORD]}
    """)  # fmt: skip
    ran = space.run("//:said", WORD="hunter2hunter2")
    failed(ran, "item 0 of items.json is a secret")
    journals = [path.read_bytes() for path in (space.root / ".flowbuild").rglob("journal.jsonl")]
    assert journals and not any(b"hunter2hunter2" in data for data in journals)


def test_the_planets_of_the_examples(tmp_path: Path) -> None:
    space = Space(tmp_path / "examples")
    for path in (Path(__file__).parents[2] / "examples/planets").iterdir():
        space.write(f"planets/{path.name}", path.read_bytes())
    space.build("//planets")
    space.write("planets/planets.csv", space.read("planets/planets.csv").replace("Mars,3389.5", "Mars,3389.9"))
    assert "item Mars changed" in space.build("//planets").out
    assert "## Mars\n\n- 3,389.9 km" in space.read("out/bin/planets/page/planets.md")
