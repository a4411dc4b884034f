"""Whatever a param says, a file of a template lies in the directory that was asked for, or nothing is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowbuild.core.errors import Faults, FlowError
from flowbuild.load.scaffold import scaffold, values
from flowbuild.load.template import Template, TemplateParam

PIECES = st.sampled_from(["..", ".", "/", "\\", "\0", "\n", ".git", "a", "${{ new.b }}", "{{", "~", "é", "\ud800", " "])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    path = tmp_path_factory.mktemp("t")
    for name in ("${{ new.a }}/${{ new.b }}/x", "p${{ new.a }}/${{ new.b }}s", "${{ new.a ~ new.b }}"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("${{ new.a }} ${{ inputs.x }}")
    params = {name: TemplateParam(name, "string", None, "", (), None) for name in "ab"}
    return Template("t", "A template.", "package", params, (), path, "templates/t")


@given(st.text() | st.lists(PIECES).map("".join), st.text() | st.lists(PIECES).map("".join))
@example("..", "x")
@example("/", "etc")
@example("a", ".GIT")
@example(".", ".")  # together they are a name of their own, and it is `..`
def test_no_value_leads_out(template: Template, a: str, b: str) -> None:
    try:
        files = scaffold(template, values(template, [f"a={a}", f"b={b}"], {"directory": "d", "label": "//d"}))
    except (FlowError, Faults) as refused:
        assert refused.exit_code == 2
        return
    root = Path("/somewhere/d")
    for file in files:
        place = Path(os.path.normpath(root / file.path))
        assert place.is_relative_to(root) and place != root
        assert not {".git", ".."} & {part.casefold() for part in place.relative_to(root).parts}
        assert file.data == f"{a} ${{{{ inputs.x }}}}".encode()
