"""The docs and the code say the same: commands, links, names, tables, examples."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest
import yaml

import flowbuild.core.errors as errors
from flowbuild.bundle.index import read_index, write_index
from flowbuild.core.canonical import Digest
from flowbuild.core.event import KERNEL, LIFECYCLE, from_doc
from flowbuild.load.rulefile import load_rule
from flowbuild.load.types import TYPES
from flowbuild.load.workspace import RuleFile
from flowbuild.run.policy import TABLE
from flowbuild.store.journal import Journal, read
from flowbuild.store.memo import Memo

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("front", "bundle", "run", "graph", "engine", "load", "store", "core")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
# Names of other classes would tell nothing of what they are. `ErrorInfo` is a word of an older system's documents.
BANNED = re.compile(r"(Manager|Helper|Util|Utils|Base|Data|Info)$")

RUN = (
    "python3 -m venv .venv && .venv/bin/pip install -q . && "
    ".venv/bin/flowbuild -C examples //experiments/hardened-runtime:run"
)
TEST = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/pytest -n auto --dist worksteal"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first column has this heading; none has a bar in its code."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            break
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def fence(name: str, language: str) -> bytes:
    """The last fenced block of a page."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", page(f"docs/formats/{name}.md"), re.M | re.S)
    return str(found[-1]).encode()


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# The two commands


@pytest.mark.parametrize("command", [RUN, TEST])
def test_the_readme_has_the_command_on_a_line(command: str) -> None:
    assert command in page("README.md").splitlines()


def test_ci_runs_what_the_readme_says() -> None:
    assert TEST in page(".ci/run").splitlines()


def test_every_hosted_job_runs_both_commands() -> None:
    jobs = yaml.safe_load(page(".github/workflows/ci.yaml"))["jobs"]
    jobs.pop("action")  # it runs the action alone, on a checkout that is not installed
    for name, job in jobs.items():
        lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
        ran = [shlex.split(line) for line in lines]  # a shell doesn't see which quotes were used
        assert [command in ran for command in (shlex.split(RUN), shlex.split(TEST))] == [True, True], name


# Links and names


def links(path: Path) -> Iterator[str]:
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "#")):
            yield target.partition("#")[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not (path.parent / link).exists()] == []


def names(text: str) -> set[str]:
    """Every `module:name` of ours that a page mentions."""
    inner = "|".join(FLOORS)
    return set(re.findall(rf"`((?:__main__|(?:{inner})\.[a-z_]+):[A-Za-z_.]+)`", text))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_named_things_exist(path: Path) -> None:
    for name in sorted(names(path.read_text(encoding="utf-8"))):
        module, _, attribute = name.partition(":")
        assert reduce(getattr, attribute.split("."), importlib.import_module(f"flowbuild.{module}")) is not None


def test_every_decision_has_a_number_of_its_own() -> None:
    names = sorted(path.name for path in (ROOT / "docs/adr").glob("*.md"))
    assert len({name[:4] for name in names}) == len(names)
    for name in names:
        assert page(f"docs/adr/{name}").startswith(f"# {name[:4]} ")


def test_the_main_road_has_ten_stops_and_each_names_code() -> None:
    stops = re.split(r"^## \d+\. ", page("docs/main-road.md"), flags=re.M)[1:]
    assert len(stops) == 10
    assert [stop.splitlines()[0] for stop in stops if not names(stop)] == []


def test_classes_say_what_they_are() -> None:
    found = {
        name
        for path in (ROOT / "flowbuild").rglob("*.py")
        for name in re.findall(r"^\s*class (\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert {name for name in found if BANNED.search(name)} == {"ErrorInfo"}


# Tables


def test_the_policy_table_is_the_code() -> None:
    told = {row[0].strip("`"): row[1:] for row in rows(page("docs/design.md"), "policy")}
    known = {
        str(policy): [str(row.none), str(row.apply), str(row.io), "yes" if row.moves_latest else "no"]
        for policy, row in TABLE.items()
    }
    assert told == known


def test_the_lifecycle_table_is_the_code() -> None:
    told = {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in rows(page("docs/design.md"), "status")}
    assert told == {str(status): set(map(str, after)) for status, after in LIFECYCLE.items()}


def test_the_step_kinds_are_the_engine_s() -> None:
    from flowbuild.engine.python import CAPABILITIES

    told = {row[0].strip("`") for row in rows(page("docs/design.md"), "step kind")}
    assert told == set(CAPABILITIES.step_kinds)


def test_every_error_is_told_with_its_code_and_exit() -> None:
    told = {row[0].strip("`"): int(row[1]) for row in rows(page("docs/errors.md"), "code")}
    tree, seen = [errors.FlowError], {}
    while tree:
        kind = tree.pop()
        seen[kind("x").code] = kind.exit_code
        tree += [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    assert told == seen


def test_the_kernel_events_are_told_with_their_fields() -> None:
    told = {row[0].strip("`"): row[1] for row in rows(page("docs/formats/journal.md"), "Kernel variant")}
    assert set(told) == set(KERNEL)
    for name, kind in KERNEL.items():
        assert [field for field in kind._fields if f"`{field}`" not in told[name]] == []


def test_the_types_of_attributes_are_told() -> None:
    told = next(part for part in page("docs/formats/rule.md").split("\n\n") if part.startswith("Types: "))
    assert set(re.findall(r"`(\w+)`", told)) == set(TYPES)


# Examples of formats, read by the real readers


def test_the_journal_s_example(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(fence("journal", "jsonl"))
    envelopes = list(read(path))
    times = [envelope["ts_millis"] for envelope in envelopes]
    with Journal.create(tmp_path / "again", envelopes[0]["run_id"], clock=lambda: times.pop(0)) as journal:
        for envelope in envelopes:
            journal.append([envelope["event"]])
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    kinds = [type(from_doc(envelope["event"])).__name__ for envelope in envelopes]
    assert kinds == ["RunStarted", "StateEntered", "Domain", "Domain", "Domain", "StateCompleted", "RunCompleted"]


def test_the_memo_s_example(tmp_path: Path) -> None:
    path = tmp_path / "memo"
    path.write_bytes(fence("memo", ""))
    (record,) = Memo(path)
    again = Memo(tmp_path / "again")
    again.append([record])
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert Memo(path).lookup(Digest(record.action)) == record


def test_the_index_s_example() -> None:
    data = fence("artifact-index", "json")
    assert write_index(read_index(data)) == data


def test_the_rule_s_example(tmp_path: Path) -> None:
    path = tmp_path / "sections.rule.yaml"
    path.write_bytes(fence("rule", "yaml"))
    assert set(load_rule(RuleFile(path, path.name, False)).states) == {"section", "banner", "page"}
    assert path.read_bytes() == (ROOT / "examples/rules/sections.rule.yaml").read_bytes()


def test_the_readme_quotes_the_words_example() -> None:
    (quoted,) = re.findall(r"^```yaml\n(.*?)^```$", page("README.md"), re.M | re.S)
    real = yaml.safe_load(page("examples/words/BUILD.yaml"))["targets"]
    told = yaml.safe_load(quoted)["targets"]
    assert told == {name: real[name] for name in told}


# Nothing of one machine


def test_no_file_names_a_place_of_one_machine() -> None:
    places = re.compile(
        rb"(?<![A-Za-z0-9_./$}-])/(?:" + rb"|".join((b"wo" + b"rk", b"ro" + b"ot", b"tmp/fl" + b"ow")) + rb")\b"
    )
    found = {path.relative_to(ROOT).as_posix() for path in tracked() if places.search(path.read_bytes())}
    assert found == set()
