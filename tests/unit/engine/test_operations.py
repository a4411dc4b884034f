"""The table of operations: what each does unrestricted, and which targets it takes."""

from __future__ import annotations

import os
import subprocess
import sys

import hosts
import pytest

from flowbuild.engine import operations, preflight
from flowbuild.engine.operations import OPERATIONS


def test_every_operation_is_allowed_in_the_baseline() -> None:
    found = hosts.rows([hosts.request(operation) for operation in OPERATIONS])
    answers = {row["operation"]: (row["actual"], row["runtime_result"]["status"], row["exit_code"]) for row in found}
    assert answers == dict.fromkeys(OPERATIONS, ("allow", "success", 0))


def test_a_missing_file_is_refused_with_its_errno() -> None:
    row = hosts.row(hosts.request("file-read-data", target="outside/absent"))
    assert (row["actual"], row["runtime_result"]["errno_name"], row["exit_code"]) == ("deny", "ENOENT", 1)


def test_a_missing_program_is_refused_by_execve() -> None:
    row = hosts.row(hosts.request("process-exec", target="/absent/program"))
    assert (row["actual"], row["runtime_result"]["errno_name"]) == ("deny", "ENOENT")
    assert row["probe_details"] == {"call": "execve"}


@pytest.mark.parametrize(
    ("operation", "target"),
    [
        ("file-read-data", "/etc/hosts"),
        ("file-read-data", "staged/file"),
        ("file-read-directory", "staged"),
        ("file-write-create", "outside/directory/new"),
        ("process-exec", "/bin/sh"),
        ("network-bind", "127.0.0.1:0"),
        ("signal", "victim"),
        ("environment-read", "HOME"),
    ],
)
def test_targets_that_fit(operation: str, target: str) -> None:
    assert operations.check(operation, target) == []


@pytest.mark.parametrize(
    ("operation", "target"),
    [
        ("file-write-data", "/etc/hosts"),
        ("file-write-unlink", "staged"),
        ("file-write-create", "outside/../../new"),
        ("file-read-data", "elsewhere/file"),
        ("file-read-data", "staged//file"),
        ("process-exec", "sh"),
        ("network-outbound", "127.0.0.1:80"),
        ("network-outbound", "192.0.2.1:0"),
        ("signal", "1"),
        ("environment-read", "A=B"),
    ],
)
def test_targets_that_do_not_fit(operation: str, target: str) -> None:
    assert f"target {target!r} of {operation} is not " in operations.check(operation, target)[0]


def test_an_unknown_operation_is_named() -> None:
    assert operations.check("file-reed", "x")[0].startswith("unknown operation 'file-reed'")


def test_every_row_says_what_it_does_and_has_a_target_that_fits() -> None:
    for name, row in OPERATIONS.items():
        assert row.doc.endswith(".")
        assert operations.check(name, preflight.CANARIES.get(name, "outside/file")) == []


def test_the_table_is_light_enough_for_the_loader() -> None:
    heavy = "{'ctypes', 'socket', 'subprocess', 'json'} & set(sys.modules)"
    code = f"import sys; sys.path.append({os.getcwd()!r}); import flowbuild.engine.operations; print({heavy})"
    assert subprocess.check_output([sys.executable, "-I", "-S", "-c", code]) == b"set()\n"
