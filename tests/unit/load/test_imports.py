"""What a handler imports, from its source."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flowbuild.core.errors import Location
from flowbuild.load.imports import Import, Module, Resolved, import_name, imports, locate, resolve


@pytest.mark.parametrize(
    ("path", "package", "name"),
    [
        ("words/tokens.py", "words", "tokens"),
        ("words/deep/er.py", "words", "deep.er"),
        ("words/pack/__init__.py", "words", "pack"),
        ("top.py", "", "top"),
    ],
)
def test_a_module_is_imported_by_its_path_in_its_package(path: str, package: str, name: str) -> None:
    assert import_name(path, package) == name


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a, b.c as d\nif 1:\n    from e.f import g, h\ndef f():\n    import i\n"
    found, faults = imports(source, "top.py")
    assert not faults
    assert [(one.name, str(one.at), one.at.text, one.taken) for one in sorted(found)] == [
        ("a", "top.py:1:8", "import a, b.c as d", ()),
        ("b.c", "top.py:1:11", "import a, b.c as d", ()),
        ("e.f", "top.py:3:5", "    from e.f import g, h", ("g", "h")),
        ("i", "top.py:5:12", "    import i", ()),
    ]


@pytest.mark.parametrize(
    ("path", "name", "statement", "expected"),
    [
        ("pack/__init__.py", "pack", "from . import x", "pack"),
        ("pack/inner.py", "pack.inner", "from .other import x", "pack.other"),
        ("pack/a/b.py", "pack.a.b", "from ..c import x", "pack.c"),
    ],
)
def test_relative_imports_stay_in_their_package(path: str, name: str, statement: str, expected: str) -> None:
    assert imports(statement, path, name) == ([Import(expected, Location(path, 1, 1, statement), ("x",))], [])


@pytest.mark.parametrize("statement", ["from . import x", "from .x import y", "from .. import x"])
def test_a_handler_has_no_relative_imports(statement: str) -> None:
    found, (fault,) = imports("\n" + statement, "words/top.py", "top")
    assert not found and str(fault).startswith("words/top.py:2:1: a relative import") and statement in str(fault)


def resolved(tmp_path: Path, source: str, *declared: str) -> Resolved:
    """With a small workspace; `declared` are paths, the package of each is its directory, but for words' own."""
    texts = {"words/tokens.py": "import re", "words/util.py": "", "words/pack/__init__.py": "from .inner import x"}
    texts |= {"words/pack/inner.py": "", "lib/text.py": "import help_", "lib/help_.py": "", "shared/__init__.py": ""}
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    modules = [Module(path, path.split("/")[0], texts[path]) for path in declared]
    return resolve(Module("words/top.py", "words", source), modules, tmp_path, lambda name: name in ("numpy", "yaml"))


@pytest.mark.parametrize(
    ("source", "declared"),
    [
        ("import json, os.path\nfrom collections import abc", ()),
        ("import tokens", ("words/tokens.py",)),
        ("from text import split", ("lib/text.py", "lib/help_.py")),
        ("import pack.inner\nfrom pack import inner, x", ("words/pack/__init__.py", "words/pack/inner.py")),
        ("import top", ()),
        ("try:\n    import not_there\nexcept ImportError: ...", ()),
        ("from flowbuild.engine import golden", ()),
    ],
)
def test_what_is_declared_or_installed_is_no_fault(tmp_path: Path, source: str, declared: tuple[str, ...]) -> None:
    assert resolved(tmp_path, source, *declared) == Resolved((), ())


def test_distributions_are_named_by_their_top(tmp_path: Path) -> None:
    assert resolved(tmp_path, "import yaml, numpy.linalg\nfrom numpy import array").distributions == ("numpy", "yaml")


@pytest.mark.parametrize(
    ("source", "declared", "said"),
    [
        ("import util", (), "words/top.py:1:8: imports workspace module 'util' (words/util.py), which is not declared; "
         "add util.py to modules:"),
        ("import pack.inner", ("words/pack/__init__.py",), "'pack.inner' (words/pack/inner.py)"),
        ("from pack import inner", ("words/pack/__init__.py",), "'pack.inner' (words/pack/inner.py)"),
        ("import pack.inner", ("words/pack/inner.py",), "'pack' (words/pack/__init__.py)"),
        ("import shared", (), "add a target of //shared with __init__.py to modules:"),
        ("from lib import text", (), "'lib.text' (lib/text.py)"),
    ],
)  # fmt: skip
def test_an_undeclared_module_is_a_fault(tmp_path: Path, source: str, declared: tuple[str, ...], said: str) -> None:
    found = [str(fault) for fault in resolved(tmp_path, source, *declared).faults]
    assert any(said in fault for fault in found), found


def test_declared_modules_are_read_too(tmp_path: Path) -> None:
    (fault,) = resolved(tmp_path, "import text", "lib/text.py").faults
    assert str(fault).startswith("lib/text.py:1:8: imports workspace module 'help_' (lib/help_.py)")


def test_names_that_hide_each_other_are_faults(tmp_path: Path) -> None:
    modules = [Module("words/a.py", "words", ""), Module("lib/a.py", "lib", ""), Module("words/json.py", "words", "")]
    found = resolve(Module("words/top.py", "words", ""), modules, tmp_path, lambda name: False).faults
    assert [str(fault) for fault in found] == [
        "words/a.py and lib/a.py would both be imported as 'a'",
        "words/json.py has the name of Python's own module 'json'; rename the file",
    ]


def test_an_installed_module_is_located_without_import() -> None:
    before = set(sys.modules)
    found = locate("flowbuild.engine.golden")
    assert found is not None and found.name == "golden.py"
    assert locate("xml.dom") == Path(sys.modules["os"].__file__ or "").parent / "xml/dom/__init__.py"
    assert locate("flowbuild.no_such") is None and locate("no_such.thing") is None
    assert "flowbuild.engine.golden" not in set(sys.modules) - before
