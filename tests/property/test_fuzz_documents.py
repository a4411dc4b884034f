"""Every kind of document that we read, damaged in every way: only our own errors come out, soon, and memory stays.

`FLOWBUILD_FUZZ=100000` damages so many documents; the usual fifth of them is what each change is tested with.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash
from lab import LAB
from seed_tree import SeedTree

from flowbuild.bundle.index import read_index
from flowbuild.bundle.layout import latest
from flowbuild.bundle.read import intact, load_bundle
from flowbuild.bundle.trust import load_trust
from flowbuild.core.errors import Faults, FlowError, raise_all
from flowbuild.graph.flow_ir import read_flow, read_manifest
from flowbuild.graph.plans import lint_plan
from flowbuild.graph.registries import lint_registry
from flowbuild.load.package import load_package
from flowbuild.load.rulefile import load_rule, load_rules
from flowbuild.load.template import load_template
from flowbuild.load.workspace import RuleFile, Workspace, find
from flowbuild.run.last import LastTable
from flowbuild.run.parsed import ParsedTable
from flowbuild.store import journal, null
from flowbuild.store.memo import Memo
from flowbuild.store.stamps import Stamps
from flowbuild.testing import Space

ROUNDS = int(os.environ.get("FLOWBUILD_FUZZ", "20000"))
MOST_MIB = 512
RULE = "rule: r\ndoc: A rule.\nattributes:\n  text: {type: string, required: true}\nstates:\n  one: {rule: exec}\n"
FLOW = """
targets:
  f:
    rule: flow
    inputs: {a: {type: string, default: x}}
    steps:
      one: {type: switch, key: $input.a, cases: {x: two}, default: three}
      two: {type: dsl.emit, with: {a: $input.a}, next: three, retry: {max: 2, backoff_ms: 100}}
      three: {type: finish}
"""
TEMPLATE = "doc: A template.\nparams:\n  name: {default: x, pattern: '[a-z]+', doc: A name.}\nnext: ['flowbuild ${{ new.label }}']\n"
SETTINGS = (
    "name: n\nruntime: {engine: python}\ncache: {dir: .flowbuild}\npath: [/bin]\nignore: ['*.o']\npools: {g: 1}\n"
)
PIECES = [
    b"", b"\0", b"\n", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"-1", b"0", b"1e999", b"NaN",
    b"Infinity", b"9" * 400, b'"\\ud800"', b'"' + b"a" * 3000 + b'"', b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"..",
    b"../../x", b"/", b"[" * 5000, b'{"a":' * 5000, b"- " * 300, b"&a [*a]", b"*a", b"<<: ", b"!!binary ", b"---\n",
    b"${{", b"}}", b'"seq":0', b'"version":2', b'{"a":1,"a":2}', b"\r\n", b"\xe2\x80\xa8", b"\x80" * 9, b"\xdf" * 5,
]  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A document with a few cuts, pieces put in, repetitions, swapped lines and turned bits."""
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice([0, 1, 1, 2, 4, 16, 200]))
        act = chance.randrange(6)
        if act == 0:
            data = data[:start] + chance.choice(PIECES) + data[end:]
        elif act == 1:
            data = data[:start] + data[start:end] * chance.choice([0, 2, 50]) + data[end:]
        elif act == 2:
            data = data[:start]
        elif act == 3 and data:
            place = chance.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        elif act == 4:
            lines = data.split(b"\n")
            chance.shuffle(lines)
            data = b"\n".join(lines)
        else:
            data = data[:start] + chance.randbytes(end - start) + data[end:]
    return data


def sealed(kind: str, data: bytes) -> bytes:
    """With the right checksum, so that what stands behind it is read."""
    if kind == "memo":
        return b"\n".join(b"%08x" % zlib.crc32(line[9:]) + line[8:] for line in data.split(b"\n"))
    if kind == "stamps":
        magic, _, rest = data.partition(b"\n")
        return magic + b"\n" + xxhash.xxh3_64_digest(rest[8:]) + rest[8:]
    return data


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Space:
    space = Space(tmp_path_factory.mktemp("fuzz") / "workspace")
    space.write("lab/BUILD.yaml", LAB)
    space.write("flowbuild.yaml", SETTINGS)
    assert space.run("//lab:run").code == 0
    space.run("//lab:run")
    return space


def readers(space: Space) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Each kind of document: one file of it, and what reads it."""
    root, state = space.root, space.root / ".flowbuild"
    out = root / "out/lab/run"
    bundle = out / (out / "LATEST").read_text().strip()
    workspace = find(root)
    rules = load_rules(workspace, lambda directory: None)
    rule = space.write("r.rule.yaml", RULE)
    index = bundle / "artifact_index.json"
    stamps = Stamps(root / "none", {})
    table = next((state / "null").iterdir()) if (state / "null").exists() and any((state / "null").iterdir()) else None
    kinds: dict[str, tuple[Path, Callable[[], object]]] = {
        "BUILD.yaml": (root / "lab/BUILD.yaml", lambda: load_package(workspace, "lab", rules)),
        "flowbuild.yaml": (root / "flowbuild.yaml", lambda: find(root)),
        "rule": (rule, lambda: load_rule(RuleFile(rule, "r", False))),
        "journal": (bundle / "journal.jsonl", lambda: list(journal.read(bundle / "journal.jsonl"))),
        "memo": (workspace.config.cache_dir / "memo", lambda: list(Memo(workspace.config.cache_dir / "memo"))),
        "index": (index, lambda: (read_index(index.read_bytes()), load_bundle(bundle))),
        "run status": (bundle / "run_status.json", lambda: (intact(bundle), load_bundle(bundle))),
        "stamps": (state / "stamps", lambda: Stamps.load(state / "stamps").save()),
        "packages": (state / "packages", lambda: ParsedTable(state / "packages", stamps).get(str(root / "lab/BUILD.yaml"))),
        "last": (state / "last", lambda: [LastTable(state / "last").get(key) for key in ("", "a")]),
        "LATEST": (out / "LATEST", lambda: (latest(out), load_bundle(out))),
    }  # fmt: skip
    if table is not None:
        kinds["null"] = (table, lambda: null.check(str(root), table.name))
    return kinds | documents(space, workspace)


def documents(space: Space, workspace: Workspace) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Those that a person hands over, or another program."""
    tree = SeedTree(Path(tempfile.mkdtemp(dir=space.root.parent)))
    compiled = space.root.parent / "compiled"
    if not compiled.exists():
        space.write("flows/BUILD.yaml", FLOW)
        assert space.run("compile", "//flows:f", "--emit-ir", "--out", str(compiled)).code == 0
    manifest = compiled / "manifest.json"
    (entry,) = read_manifest(manifest)
    name, trust = entry["name"], space.write("trust.yaml", "predicates: [provenance]\nkeys: null\nchannels: [clean]\n")
    return {
        "template": (space.write("templates/t/template.yaml", TEMPLATE), lambda: load_template("t", workspace)),
        "verify policy": (trust, lambda: load_trust(trust)),
        "flow manifest": (manifest, lambda: read_flow(manifest, name)),
        "Flow IR": (manifest.parent / entry["ir_path"], lambda: read_flow(manifest, name)),
        "plan document": (tree.plan, lambda: raise_all(lint_plan(tree.plan).errors)),
        "probes document": (
            tree.root / "registry/probes.json",
            lambda: raise_all(lint_registry(None, tree.root).errors),
        ),
    }


KINDS = [
    "BUILD.yaml", "flowbuild.yaml", "rule", "journal", "memo", "index", "run status", "stamps", "packages", "last", "LATEST",
    "null", "template", "verify policy", "flow manifest", "Flow IR", "plan document", "probes document",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_documents(built: Space, kind: str) -> None:
    found = readers(built)
    if kind not in found:
        pytest.skip(f"this host made no {kind} table")
    file, read = found[kind]
    whole, chance = file.read_bytes(), random.Random(kind)
    slowest = refused = 0.0
    try:
        for number in range(ROUNDS // len(KINDS)):
            data = mutated(whole, chance)
            if chance.random() < 0.5:
                data = sealed(kind, data)
            file.write_bytes(data)
            start = time.process_time()
            try:
                read()
            except (FlowError, Faults) as error:
                refused += 1
                codes = {one.exit_code for one in (error.exceptions if isinstance(error, Faults) else (error,))}
                assert codes <= {2, 5}, (number, error)
            except Exception as error:
                raise AssertionError(f"round {number} of {kind}: {data[:2000]!r}") from error
            slowest = max(slowest, time.process_time() - start)
    finally:
        file.write_bytes(whole)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    assert slowest < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit < MOST_MIB
    assert refused or kind in ("memo", "stamps", "packages", "last", "null")  # these are derived: damage is absence
