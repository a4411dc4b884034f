"""The oracle: after any edits, an incremental build makes what a clean one makes, and `explain` foretells it.

The engine really reads its inputs. Its sums are small, so that outputs are often equal though inputs changed.
Source: Build Systems à la Carte, `correctBuild`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from workshop import AddingEngine, Workshop, declare, target

from flowbuild.core.action import ErrorInfo
from flowbuild.run.explain import Would
from flowbuild.testing import ScriptedEngine


@dataclass
class Model:
    """What a workspace says: for each target its constant, sources and needs; and the sources' numbers."""

    constants: list[int]
    reads: list[list[int]]
    needs: list[list[int]]
    sources: list[int] = field(default_factory=lambda: [0, 0, 0])

    def write(self, space: Workshop) -> None:
        for number, value in enumerate(self.sources):
            path = space.root / f"f{number}.txt"
            if not path.exists() or path.read_text() != f"{value}\n":
                space.write(path.name, f"{value}\n")
        targets = {}
        for number, constant in enumerate(self.constants):
            inputs = [f"f{one}.txt" for one in self.reads[number]] + [f"//:t{one}" for one in self.needs[number]]
            targets[f"t{number}"] = target(
                f"add {constant} ${{{{ inputs.all }}}} ${{{{ outputs.o }}}}", inputs={"all": inputs}
            )
        space.write("BUILD.yaml", declare(targets))

    def value(self, number: int) -> int:
        """What a target should come to, without any build system."""
        needs = sum(self.value(one) for one in self.needs[number])
        return (self.constants[number] + sum(self.sources[one] for one in self.reads[number]) + needs) % 3


@st.composite
def models(draw: st.DrawFn) -> Model:
    size = draw(st.integers(1, 5))
    few = st.lists(st.integers(0, 2), unique=True, max_size=2)
    needs = [draw(st.lists(st.integers(0, n - 1), unique=True, max_size=2)) if n else [] for n in range(size)]
    return Model(draw(st.lists(st.integers(0, 5), min_size=size, max_size=size)), [draw(few) for _ in needs], needs)


Edit = Callable[[Model, Workshop], None]


def set_source(which: int, value: int) -> Edit:
    def edit(model: Model, space: Workshop) -> None:
        model.sources[which] = value

    return edit


def set_constant(which: int, value: int) -> Edit:
    def edit(model: Model, space: Workshop) -> None:
        model.constants[which % len(model.constants)] = value

    return edit


def set_need(which: int, need: int) -> Edit:
    def edit(model: Model, space: Workshop) -> None:
        number = which % len(model.needs)
        model.needs[number] = [need % number] if number and need % number not in model.needs[number] else []

    return edit


def lose(path: str) -> Edit:
    def edit(model: Model, space: Workshop) -> None:
        if (space.root / path).exists():
            space.remove(path)

    return edit


def damage(model: Model, space: Workshop) -> None:
    shown = space.root / "out/bin/t0/o"
    if shown.exists():
        shown.write_text("9\n")


EDITS = st.one_of(
    st.builds(set_source, st.integers(0, 2), st.integers(0, 5)),
    st.builds(set_constant, st.integers(0, 4), st.integers(0, 5)),
    st.builds(set_need, st.integers(0, 4), st.integers(0, 4)),
    st.sampled_from([lose(".flowbuild/memo"), lose(".flowbuild/stamps"), lose(".flowbuild/cas"), lose("out"), damage]),
)


def shown(space: Workshop) -> dict[str, str]:
    out = space.root / "out/bin"
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}


@settings(max_examples=25, deadline=None)
@given(models(), st.lists(EDITS, max_size=5), st.integers(1, 3))
def test_incremental_is_clean(model: Model, edits: list[Edit], jobs: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        space = Workshop(Path(place) / "kept", AddingEngine)
        for edit in [lambda model, space: None, *edits]:
            edit(model, space)
            model.write(space)
            foretold = {str(one.state.label): one.would for one in space.verdicts("//...")}
            made = space.make("//...", "-j", str(jobs))
            assert made.code == 0
            assert len(set(made.performed)) == len(made.performed)
            for label, would in foretold.items():
                assert would is Would.MAY or (label in made.performed) == (would is Would.RUN), (label, would)
            assert shown(space) == {f"t{n}/o": f"{model.value(n)}\n" for n in range(len(model.constants))}
            assert space.make("//...").performed == []
        clean = Workshop(Path(place) / "clean", AddingEngine)
        model.write(clean)
        clean.make("//...")
        assert shown(clean) == shown(space)


@settings(max_examples=25, deadline=None)
@given(models(), st.sets(st.integers(0, 4)), st.sets(st.integers(0, 4)))
def test_explain_agrees_after_failures_and_with_force(model: Model, failing: set[int], forced: set[int]) -> None:
    """What failed would run again; what is forced would run; nothing else is foretold wrongly."""
    size = len(model.constants)
    with tempfile.TemporaryDirectory() as place:
        space = Workshop(Path(place))
        model.write(space)
        broken = ScriptedEngine({f"//:t{n}": ErrorInfo("x", "m") for n in failing})
        space.engine = lambda: broken
        space.make("//...", "--continue", "always")
        space.engine = ScriptedEngine
        words = ["//...", *(word for n in forced if n < size for word in ("--force", f"//:t{n}"))]
        foretold = {str(one.state.label): one.would for one in space.verdicts(*words)}
        performed = space.make(*words).performed
        assert set(performed) >= {label for label, would in foretold.items() if would is Would.RUN}
        assert not set(performed) & {label for label, would in foretold.items() if would is Would.REUSE}
        assert set(performed) >= {f"//:t{n}" for n in forced if n < size}
