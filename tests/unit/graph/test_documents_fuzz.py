"""Documents with anything anywhere: a linter always answers, and what it lets pass can be lowered."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seed_tree import FILES, SeedTree

from flowbuild.core.errors import FlowError
from flowbuild.graph.documented import lower_documents
from flowbuild.graph.library import library_of
from flowbuild.graph.plans import lint_plan, list_plans
from flowbuild.graph.registries import lint_registry

ODD = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "x",
        "../../x",
        "/",
        "\0",
        "a" * 5000,
        "é",
        [],
        {},
        [[]],
        [None],
        [{}],
        {"": {}},
        {"x": []},
    ]
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield from places(one, (*at, key))


EVERY = [(name, at) for name, doc in FILES.items() for at in places(doc)]


def changed(doc: Any, at: tuple[Any, ...], odd: Any) -> Any:
    if not at:
        return odd
    made = copy.deepcopy(doc)
    here = made
    for key in at[:-1]:
        here = here[key]
    here[at[-1]] = odd
    return made


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SeedTree:
    return SeedTree(tmp_path_factory.mktemp("fuzz") / "tree")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(EVERY), ODD)
def test_anything_anywhere_is_answered(tree: SeedTree, place: tuple[str, tuple[Any, ...]], odd: Any) -> None:
    name, at = place
    try:
        tree.write(name, json.dumps(changed(FILES[name], at, odd)))
        answer(tree)
    finally:
        tree.write(name)


def answer(tree: SeedTree) -> None:
    plan, registry = lint_plan(tree.plan), lint_registry(None, tree.root)
    assert all(
        isinstance(one, FlowError) and one.exit_code == 2 and str(one) for one in (*plan.errors, *registry.errors)
    )
    list_plans(tree.root)
    if not plan.errors:
        library = library_of(tree.plan)
        document = library.plan(tree.plan)
        graph, _ = lower_documents(document, library.registry_of(document)(document.value["registry_id"]), library.root)
        assert graph.states


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_torn_and_scrambled_files_are_answered(tree: SeedTree, name: str, data: st.DataObject) -> None:
    text = json.dumps(FILES[name]).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    junk = data.draw(st.binary(max_size=4))
    try:
        (tree.root / name).write_bytes(text[:cut] + junk + text[cut + data.draw(st.integers(0, 4)) :])
        answer(tree)
    finally:
        tree.write(name)


# Without its index a pair of documents is a registry all the same.
@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("registry_index.json")])
def test_a_directory_in_a_file_s_place_is_answered(tmp_path: Path, name: str) -> None:
    tree = SeedTree(tmp_path / "tree")
    (tree.root / name).unlink()
    (tree.root / name).mkdir()
    assert lint_plan(tree.plan).errors
