"""The code behind a state: found without importing it, and every fault with its place."""

from __future__ import annotations

import os
from typing import Any

import pytest
from workshop import Workshop, declare, lowered

from flowbuild.core.errors import BadAttribute, BadPath, FlowError, UndeclaredModule, UnknownName
from flowbuild.graph.state import Code


def code(space: Workshop, source: str | bytes = "def f(o): ...\n", **attrs: Any) -> Code:
    space.write("p/h.py", source)
    spec = {"rule": "python", "handler": "h.py:f", "outputs": {"o": "o"}, **attrs}
    space.write("p/BUILD.yaml", declare({"t": spec}))
    found = lowered(space, "//p:t").states[-1].code
    assert found is not None
    return found


def test_a_handler_of_the_package(workshop: Workshop) -> None:
    assert code(workshop) == Code("p/h.py", None, "f")


def test_modules_are_found_by_their_names(workshop: Workshop) -> None:
    workshop.write("p/util.py", "")
    workshop.write("lib/BUILD.yaml", declare({"text": {"rule": "filegroup", "files": ["text.py"]}}))
    workshop.write("lib/text.py", "")
    found = code(workshop, "import util, text\ndef f(o): ...\n", modules=["util.py", "//lib:text"])
    assert found.modules == {"util": "p/util.py", "text": "lib/text.py"}


def test_distributions_are_found_by_themselves(workshop: Workshop) -> None:
    assert code(workshop, "import os, xxhash\ndef f(o):\n    import yaml.nodes\n").distributions == ("xxhash", "yaml")


def test_a_module_brings_its_distributions(workshop: Workshop) -> None:
    workshop.write("p/util.py", "import xxhash\n")
    assert code(workshop, "import util\ndef f(o): ...\n", modules=["util.py"]).distributions == ("xxhash",)


def test_nothing_is_imported(workshop: Workshop) -> None:
    assert code(workshop, "raise SystemExit\ndef f(o): ...\n").function == "f"


def test_an_installed_handler_stands_for_its_distribution(workshop: Workshop) -> None:
    installed = code(workshop, handler="textwrap:dedent", outputs={"text": "o"})
    assert installed == Code(None, "textwrap", "dedent", {}, ("textwrap",))


def test_our_own_handlers_have_no_distribution(workshop: Workshop) -> None:
    given = {name: 0 for name in ("actual", "expected", "volatile", "label", "golden")}
    found = code(workshop, handler="flowbuild.engine.golden:compare", outputs={"verdict": "v"}, **{"with": given})
    assert found.distributions == ()


@pytest.mark.parametrize(
    ("source", "attrs", "kind", "message"),
    [
        ("def ff(o): ...\n", {}, UnknownName, "did you mean 'ff'?"),
        ("def f(out): ...\n", {}, FlowError, "'o'"),
        ("def f(o:\n", {}, FlowError, "h.py"),
        (b"\xff", {}, BadPath, "p/h.py is not UTF-8"),
        ("import other\ndef f(o): ...\n", {}, UndeclaredModule, "other"),
        ("def f(o): ...\n", {"handler": "no.such.module:f"}, BadAttribute, "no module 'no.such.module' is installed"),
        ("def f(o): ...\n", {"modules": ["data.txt"]}, BadAttribute, "data.txt is no Python source"),
    ],
)
def test_what_is_wrong_has_a_place(
    workshop: Workshop, source: str | bytes, attrs: dict[str, Any], kind: type[FlowError], message: str
) -> None:
    workshop.write("p/other.py", "")
    workshop.write("p/data.txt", "")
    with pytest.raises((FlowError, ExceptionGroup)) as caught:
        code(workshop, source, **attrs)
    errors = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert any(isinstance(error, kind) and message in str(error) for error in errors), errors
    assert all(isinstance(error, FlowError) and error.location is not None for error in errors)


def test_a_pipe_is_no_handler(workshop: Workshop) -> None:
    code(workshop)
    workshop.remove("p/h.py")
    os.mkfifo(workshop.root / "p/h.py")
    with pytest.raises((FlowError, ExceptionGroup), match="not a file|sub-exception"):
        lowered(workshop, "//p:t")
