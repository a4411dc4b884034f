"""The world: documented, deterministic, cheap, and other where the kernel is other."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowbuild.core import world
from flowbuild.engine import seccomp, syscalls

ROOT = Path(__file__).parents[3]


def _has_filters() -> bool:
    try:
        seccomp.require()
    except (OSError, seccomp.Unsupported):
        return False
    return True


def elsewhere(code: str, *outer: seccomp.Rule) -> str:
    """What a fresh interpreter prints, under an outer filter."""

    def install() -> None:
        syscalls.forbid_new_privileges()
        seccomp.install(outer)

    code = f"import sys; sys.path.append({str(ROOT)!r}); from flowbuild.core import world; {code}"
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.check_output(command, text=True, preexec_fn=install if outer else None).strip()


def test_the_id_is_the_same_in_every_process() -> None:
    assert {elsewhere("print(world.world_id())") for _ in range(2)} == {world.world_id()}


def test_the_id_has_its_form() -> None:
    assert re.fullmatch(rf"(linux|darwin)-{os.uname().machine}-[0-9a-f]{{16}}", world.world_id())


def test_the_id_is_that_of_the_facts_in_sorted_compact_json() -> None:
    known = world.facts() | {"release": 'a "strange\\" réléase', "lsm": ["landlock", "yama"], "is_root": True}
    text = json.dumps(known, sort_keys=True, separators=(",", ":"))
    assert world.world_id(known).endswith("-" + hashlib.sha256(text.encode()).hexdigest()[:16])


@pytest.mark.parametrize("fact", world.facts())
def test_every_fact_counts(fact: str) -> None:
    known = world.facts()
    other = {"Linux": "Darwin"}.get(str(known[fact]), "other")
    assert world.world_id(known | {fact: other}) != world.world_id(known)


def test_every_fact_is_documented() -> None:
    for fact in world.facts():
        assert fact in str(world.__doc__)


def test_the_machine_id_is_not_shown(tmp_path: Path) -> None:
    said = str(world.facts())
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if Path(path).exists() and Path(path).read_text().strip():
            assert Path(path).read_text().strip() not in said
    assert world.facts()["machine_id_source"] in (
        "/etc/machine-id",
        "/var/lib/dbus/machine-id",
        "gethostuuid",
        "hostname",
    )


def test_a_host_without_a_machine_id_says_what_stands_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "machine-id").write_text("uninitialized\n")
    monkeypatch.setattr(world, "_MACHINE_ID_FILES", (str(tmp_path / "machine-id"), str(tmp_path / "absent")))
    monkeypatch.setattr(world.sys, "platform", "linux")
    assert world.facts()["machine_id_source"] == "hostname"


@pytest.mark.skipif(not sys.platform.startswith("linux") or not _has_filters(), reason="needs seccomp filters")
def test_a_kernel_without_landlock_is_another_world() -> None:
    off = [seccomp.refuse(444, 38)]
    assert elsewhere("print(world.facts()['landlock_abi'])", *off) == "None"
    other = elsewhere("print(world.world_id())", *off)
    assert other != elsewhere("print(world.world_id())", seccomp.refuse(9999)) != world.world_id()


def test_asking_imports_little() -> None:
    heavy = "{'json', 're', 'typing', 'socket', 'subprocess', 'dataclasses'} & set(sys.modules)"
    assert elsewhere(f"world.world_id(); print({heavy})") == "set()"
