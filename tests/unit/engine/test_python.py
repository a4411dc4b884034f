"""The engine's table, and the two small kinds: `write` and `probe`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_io import TinyIo, action, perform

from flowbuild.core.action import Outcome
from flowbuild.engine import harness
from flowbuild.engine.python import PythonEngine
from flowbuild.engine.reaper import Reaper


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture
def engine() -> Iterator[PythonEngine]:
    engine = PythonEngine()
    yield engine
    engine.close()


def test_the_table_is_total(engine: PythonEngine) -> None:
    assert sorted(engine._table) == sorted(engine.capabilities.step_kinds)


def test_write_keeps_the_bytes(engine: PythonEngine, io: TinyIo) -> None:
    asked = action("write", {"content": "a\r\né\n"}, outputs={"text": "out/bin/x"})
    assert io.text(perform(engine.perform(asked, io)), "text") == "a\r\né\n"


def test_exec_goes_through_the_table(engine: PythonEngine, io: TinyIo) -> None:
    assert perform(engine.perform(action("exec", {"command": ["echo", "hi"]}), io)).stdout_tail == "hi\n"


def probe(io: TinyIo, program: str, timeout_ms: int | None = None) -> Outcome:
    reaper = Reaper()
    asked = action("probe", {"lane": "baseline", "probe": "exec-true"}, outputs={"row": "row"}, timeout_ms=timeout_ms)
    try:
        return perform(harness.perform(asked, io, reaper, lambda: [sys.executable, "-c", program]))
    finally:
        reaper.close()


def test_a_probe_answers_with_its_row(io: TinyIo) -> None:
    outcome = probe(io, "import json; r = json.loads(input()); print(json.dumps({'z': 1, 'lane': r['lane']}))")
    assert io.text(outcome, "row") == '{"lane":"baseline","z":1}'


@pytest.mark.parametrize(
    "program", ["print()", "print('[1]')", "print('{}\\n{}')", "print('{\"a\": NaN}')", "raise SystemExit(3)", "pass"]
)
def test_anything_else_means_that_the_harness_broke(io: TinyIo, program: str) -> None:
    outcome = probe(io, program)
    assert outcome.error is not None and outcome.error.code == "probe_broke" and not outcome.outputs


def test_a_probe_has_its_time(io: TinyIo) -> None:
    outcome = probe(io, "import time; time.sleep(60)", timeout_ms=200)
    assert outcome.error is not None and outcome.error.code == "timeout"
