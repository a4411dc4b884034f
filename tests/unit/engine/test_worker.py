"""Step kind `python`, with real workers.

Seed 001: 001-14.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_io import TinyIo, action, is_alive, perform, soon, step

import flowbuild.engine
from flowbuild.core.action import Action, Outcome, Staged
from flowbuild.engine import inline
from flowbuild.engine.reaper import Reaper
from flowbuild.engine.worker import Workers
from flowbuild.load.imports import import_name

OUT = "out/bin/words/it/out.txt"
ROOT = str(Path(flowbuild.engine.__path__[0]).parent.parent)


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture
def workers() -> Iterator[Workers]:
    reaper = Reaper()
    workers = Workers(reaper)
    yield workers
    workers.close()
    reaper.close()


def task(io: TinyIo, source: str, package: str = "words", modules: dict[str, str] | None = None, **more: Any) -> Action:
    """An action for the function `it` of a source. `modules` maps a workspace path to its package."""
    modules = modules or {}
    staged = [io.write(f"{package}/top.py", source), *(Staged(path, None) for path in modules)]
    with_: dict[str, Any] = {
        "source": f"{package}/top.py",
        "module": None,
        "function": "it",
        "modules": {import_name(path, owner): path for path, owner in modules.items()},
        "arguments": {name: more.pop(name) for name in list(more) if isinstance(more[name], dict) and name != "env"},
        "env": more.pop("env", {}),
    }
    outputs = {}
    if "out" in source.partition("\n")[0]:
        with_["arguments"]["out"], outputs = {"path": f"../{OUT}"}, {"out": OUT}
    return action("python", with_, (*staged, *more.pop("staged", ())), outputs, package=package, **more)


def run(io: TinyIo, workers: Workers, source: str, **more: Any) -> Outcome:
    return perform(workers.perform(task(io, source, **more), io))


def message(outcome: Outcome) -> str:
    assert outcome.error is not None
    return f"{outcome.error.code}: {outcome.error.message}"


def test_arguments_are_bound_by_name(io: TinyIo, workers: Workers) -> None:
    source = """def it(out, one, many, limit, none):
        from pathlib import Path
        assert isinstance(one, Path) and not one.is_absolute() and none is None
        out.write_text(one.read_text() + "".join(path.read_text() for path in many) + str(limit))
    """
    staged = tuple(io.write(f"words/{name}", name) for name in "abc")
    many = {"paths": ["b", "c"]}
    arguments = {"one": {"path": "a"}, "many": many, "limit": {"value": 10}, "none": {"value": None}}
    assert io.text(run(io, workers, source, staged=staged, **arguments), "out") == "abc10"


def test_a_worker_serves_again_and_begins_anew(io: TinyIo, workers: Workers) -> None:
    source = """
import os, sys
seen = []
def it():
    seen.append(1)
    print(os.getpid(), len(seen), os.environ.get("LEFT"), len(sys.path) == len(set(sys.path)))
    os.environ["LEFT"] = "x"
    sys.path.append("/left")
"""
    first, second = (run(io, workers, source).stdout_tail.split() for _ in range(2))
    assert first == second and first[1:] == ["1", "None", "True"]


def test_an_edited_source_is_read_anew(io: TinyIo, workers: Workers) -> None:
    assert [run(io, workers, f"def it(): print({n})").stdout_tail for n in (1, 2)] == ["1\n", "2\n"]


def test_prints_are_captured_in_full(io: TinyIo, workers: Workers) -> None:
    source = "import sys\ndef it():\n    print('x' * 300_000)\n    print('end')\n    print('err', file=sys.stderr)"
    outcome = run(io, workers, source)
    assert (outcome.stdout_tail[-5:], outcome.stderr_tail) == ("\nend\n", "err\n")
    assert outcome.log is None or outcome.log.endswith(".stderr")
    assert run(io, workers, "def it(): print('next')").stdout_tail == "next\n"


def test_the_environment_is_exact(io: TinyIo, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDECLARED", "1")
    source = "import os, tempfile\ndef it(): print(sorted(os.environ), hash('a'), tempfile.gettempdir())"
    first, second = (run(io, workers, source, env={"A": "1"}).stdout_tail for _ in range(2))
    assert "['A', 'HOME', 'LANG', 'PATH', 'PYTHONHASHSEED', 'TMPDIR', 'TZ']" in first
    assert first.replace("scratch/1", "scratch/2") == second  # equal hashes, temporary files of its own


def test_the_text_encoding_does_not_follow_the_locale(io: TinyIo, workers: Workers) -> None:
    assert run(io, workers, "def it(out): out.write_text('é')", env={"LANG": "C"}).ok


def test_an_exception_is_told_from_the_handler_on(io: TinyIo, workers: Workers) -> None:
    outcome = run(io, workers, "def it():\n    deeper()\ndef deeper():\n    raise ValueError('text')")
    assert message(outcome) == "handler_raised: ValueError: text"
    lines = outcome.stderr_tail.splitlines()
    assert lines[1] == '  File "words/top.py", line 2, in it' and lines[-1] == "ValueError: text"
    assert not any("worker_main" in line or "importlib" in line for line in lines)


@pytest.mark.parametrize(
    ("said", "code", "category", "is_retryable"),
    [
        ("", "handler_failed", "Unknown", False),
        ("code='busy', category='OffChain', retryable=True", "busy", "OffChain", True),
        ("details={1, 2}", "handler_failed", "Unknown", False),
        ("code=5, category='Weather', retryable='no'", "handler_failed", "Unknown", False),
        ("code='', category=['Rpc'], retryable=1", "handler_failed", "Unknown", False),
    ],
)
def test_a_failure_is_told_in_words_that_others_know(
    io: TinyIo, workers: Workers, said: str, code: str, category: str, is_retryable: bool
) -> None:
    raising = f"raise HandlerFailed('no', {said})"
    error = run(io, workers, f"def it():\n    from flowbuild.io import HandlerFailed\n    {raising}\n").error
    assert error is not None
    assert (error.message, error.details) == ("no", None)
    assert (error.code, error.category, error.retryable) == (code, category, is_retryable)


def test_a_fault_of_syntax_is_told(io: TinyIo, workers: Workers) -> None:
    outcome = run(io, workers, "def it(:")
    assert message(outcome) == "handler_raised: SyntaxError: invalid syntax (words/top.py:1)"


def test_a_message_for_people_comes_without_noise(io: TinyIo, workers: Workers) -> None:
    source = "class Said(Exception): __flowbuild_message__ = True\ndef it(): raise Said('two\\nlines')"
    outcome = run(io, workers, source)
    assert (message(outcome), outcome.stderr_tail) == ("handler_raised: two\nlines", "")
    assert outcome.log is not None and (io.workspace / outcome.log).read_text() == "two\nlines\n"


def test_the_log_of_a_failed_handler_holds_what_it_printed_and_its_traceback(io: TinyIo, workers: Workers) -> None:
    outcome = run(
        io, workers, "import sys\ndef it():\n    print('so far', file=sys.stderr)\n    raise ValueError('no')"
    )
    assert outcome.log is not None
    log = (io.workspace / outcome.log).read_text()
    assert log.startswith("so far\nTraceback") and log.endswith("ValueError: no\n")


def test_a_handler_returns_nothing(io: TinyIo, workers: Workers) -> None:
    expected = "handler_returned: it() returned 3; a handler returns None"
    assert message(run(io, workers, "def it(): return 3")) == expected


def test_a_missing_output_is_named(io: TinyIo, workers: Workers) -> None:
    assert message(run(io, workers, "def it(out): pass")).startswith("output_missing: output 'out'")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("sys.exit(3)", "worker_lost: the handler called sys.exit(3)"),
        ("os._exit(3)", "worker_lost: the handler ended its worker: exit 3 after "),
        ("os.kill(os.getpid(), 11)", "worker_lost: the handler ended its worker: killed by SIGSEGV after "),
        ("os.kill(os.getpid(), 9)", "worker_lost: the handler ended its worker: killed by SIGKILL after "),
        ("os.write(4, b'x\\n')", "worker_lost: the handler wrote into its worker's pipe"),
        ("os.write(4, b'[]\\n')", "worker_lost: the handler wrote into its worker's pipe"),
        ("os.write(4, b'{}\\n')", "worker_lost: the handler wrote into its worker's pipe"),
        ("os.closerange(3, 99); os.system('sleep 0.1')", "worker_lost: the handler ended its worker: "),
    ],
)
def test_a_lost_worker_is_told_and_replaced(io: TinyIo, workers: Workers, statement: str, expected: str) -> None:
    assert message(run(io, workers, f"import os, sys\ndef it(): {statement}")).startswith(expected)
    assert run(io, workers, "def it(): pass").ok


def test_the_child_of_a_handler_that_forks_does_not_answer(io: TinyIo, workers: Workers) -> None:
    outcome = run(
        io, workers, "import os, time\ndef it():\n    if os.fork(): time.sleep(0.2); raise ValueError('first')"
    )
    assert message(outcome) == "handler_raised: ValueError: first"
    assert run(io, workers, "def it(): pass").ok


def test_who_was_killed_while_it_waited_is_replaced(io: TinyIo, workers: Workers) -> None:
    source = "import os\ndef it(): print(os.getpid())"
    pid = int(run(io, workers, source).stdout_tail)
    os.kill(pid, 9)
    assert soon(lambda: not is_alive(pid))
    assert int(run(io, workers, source).stdout_tail) != pid


def test_a_time_out_ends_the_worker(io: TinyIo, workers: Workers) -> None:
    source = "import os, time\ndef it():\n    print(os.getpid(), flush=True)\n    time.sleep(60)"
    outcome = run(io, workers, source, timeout_ms=300)
    assert message(outcome).startswith("timeout: timed out after 0.3")
    assert not is_alive(int(outcome.stdout_tail))


def test_a_cancelled_handler_ends(io: TinyIo, workers: Workers) -> None:
    source = "import os, time\ndef it():\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(60)"
    performance = workers.perform(task(io, source), io)
    step(performance, 0.4)
    pid = int((io.workspace / ".flowbuild/scratch/1/tree/words/pid").read_text())
    performance.close()
    assert not is_alive(pid)


@pytest.mark.parametrize(
    "leaving",
    [
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "print(subprocess.Popen(['sleep', '60']).pid)",
        "print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid)",
        "os.system('sleep 60 & echo $!')",
    ],
)
def test_what_a_handler_leaves_running_ends(io: TinyIo, workers: Workers, leaving: str) -> None:
    source = "import os, subprocess, threading, time\ndef it():\n    " + leaving
    outcome = run(io, workers, source)
    assert outcome.ok
    assert all(soon(lambda pid=pid: not is_alive(int(pid))) for pid in outcome.stdout_tail.split())


def test_declared_modules_are_found_by_their_names(io: TinyIo, workers: Workers) -> None:
    io.write("words/tokens.py", "VALUE = 1")
    io.write("words/deep/er.py", "VALUE = 2")
    io.write("lib/text.py", "VALUE = 3")
    io.write("words/pack/__init__.py", "from .inner import VALUE")
    io.write("words/pack/inner.py", "VALUE = 4")
    owned = ["words/tokens.py", "words/deep/er.py", "words/pack/__init__.py", "words/pack/inner.py"]
    source = """
import tokens, text, pack, deep.er
from deep import er
def it(): print(tokens.VALUE, er.VALUE, text.VALUE, pack.VALUE, deep.er.VALUE)
"""
    outcome = run(io, workers, source, modules={**dict.fromkeys(owned, "words"), "lib/text.py": "lib"})
    assert outcome.stdout_tail == "1 2 3 4 2\n"
    assert not list(io.workspace.rglob("__pycache__"))


def test_two_packages_may_each_have_their_util(io: TinyIo, workers: Workers) -> None:
    source = "import util\ndef it(): print(util.NAME)"
    for package in ("words", "lib", "words"):
        io.write(f"{package}/util.py", f"NAME = {package!r}")
        outcome = run(io, workers, source, package=package, modules={f"{package}/util.py": package})
        assert outcome.stdout_tail == f"{package}\n"


@pytest.mark.parametrize(
    ("path", "statement", "shown"),
    [
        ("words/util.py", "import util", "'util' (words/util.py)"),
        ("words/util.py", "import importlib; importlib.import_module('util')", "'util' (words/util.py)"),
        ("lib/util.py", "from lib import util", "'lib' (lib)"),
        ("lib/__init__.py", "import lib", "'lib' (lib/__init__.py)"),
        (
            "words/util.py",
            "import sys; sys.path.insert(0, WORKSPACE + '/words'); import util",
            "'util' (words/util.py)",
        ),
    ],
)
def test_an_undeclared_module_is_named(io: TinyIo, workers: Workers, path: str, statement: str, shown: str) -> None:
    io.write(path, "")
    outcome = run(io, workers, f"WORKSPACE = {str(io.workspace)!r}\ndef it():\n    {statement}")
    assert message(outcome) == (
        f"undeclared_module: words/top.py:3 imports workspace module {shown}, which is not declared; add it to modules:"
    )


def test_a_search_path_into_the_workspace_gets_around_nothing(
    io: TinyIo, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    io.write("src/mine/__init__.py", "")
    monkeypatch.syspath_prepend(str(io.workspace / "src"))
    assert "'mine' (src/mine/__init__.py)" in message(run(io, workers, "def it():\n    import mine"))


def test_who_asks_whether_a_module_is_there_hears_no(io: TinyIo, workers: Workers) -> None:
    io.write("words/util.py", "")
    source = "def it():\n    try:\n        import util\n    except ImportError:\n        print('none')"
    assert run(io, workers, source).stdout_tail == "none\n"


def test_distributions_and_own_temporary_modules_are_free(io: TinyIo, workers: Workers) -> None:
    source = """
import os, sys, msgspec
def it():
    open(os.environ["TMPDIR"] + "/made.py", "w").write("X = 1")
    sys.path.append(os.environ["TMPDIR"])
    import made
    print(made.X)
"""
    assert run(io, workers, source).stdout_tail == "1\n"


def test_an_installed_function_is_a_handler_too(io: TinyIo, workers: Workers) -> None:
    with_ = {"source": None, "module": "msgspec.json", "function": "decode", "modules": {}, "arguments": {}}
    outcome = perform(workers.perform(action("python", with_), io))
    assert message(outcome).startswith("handler_raised: TypeError: ")


def test_a_failure_can_be_reproduced(io: TinyIo, workers: Workers) -> None:
    outcome = run(io, workers, "def it(text): raise ValueError(text)", text={"value": "again"})
    assert outcome.reproduce is not None
    command = outcome.reproduce.replace("env -i", f"env -i PYTHONPATH={shlex.quote(ROOT)}")
    again = subprocess.run(["sh", "-c", command], cwd=io.workspace, capture_output=True, text=True)
    assert again.returncode == 1 and again.stderr == outcome.stderr_tail


def test_no_value_of_a_variable_is_written_down(io: TinyIo, workers: Workers) -> None:
    io.variables = {"TOKEN": "s3cret"}
    outcome = run(io, workers, "import os\ndef it(): assert os.environ['TOKEN'] == 's3cret'; raise ValueError")
    assert message(outcome) == "handler_raised: ValueError"
    files = [path for path in io.workspace.rglob("*") if path.is_file() and path.name != "top.py"]
    assert files and not any("s3cret" in path.read_text() for path in files)
    assert "s3cret" not in str(outcome.reproduce)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
def test_a_handler_inherits_no_descriptor(io: TinyIo, workers: Workers) -> None:
    # 3 is the listing itself: the pipes of the worker are not passed on.
    assert run(io, workers, "import os\ndef it(): os.system('ls /proc/self/fd')").stdout_tail.split() == list("0123")


def test_few_workers_wait(io: TinyIo, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowbuild.engine.worker.IDLE", 1)
    pids = [int(run(io, workers, "import os\ndef it(): print(os.getpid())", package=p).stdout_tail) for p in "abc"]
    assert [is_alive(pid) for pid in pids] == [False, False, True]


def test_what_reproduces_a_failure_is_written_over_nothing_of_others(io: TinyIo, workers: Workers) -> None:
    victim = io.workspace / "victim"
    victim.write_text("whole")
    source = f"""def it():
        import os
        os.symlink({str(victim)!r}, "../../request.json")
        raise ValueError("no luck")
    """
    outcome = run(io, workers, source)
    assert message(outcome) == "handler_raised: ValueError: no luck"
    assert victim.read_text() == "whole"
    (request,) = io.workspace.glob(".flowbuild/scratch/*/request.json")
    assert not request.is_symlink() and json.loads(request.read_text())["function"] == "it"


def test_a_handler_that_removes_its_place_has_failed_as_it_says(io: TinyIo, workers: Workers) -> None:
    source = """def it():
        import os, shutil
        shutil.rmtree(os.path.realpath("../.."))
        raise ValueError("no luck")
    """
    assert message(run(io, workers, source)) == "handler_raised: ValueError: no luck"


@pytest.mark.parametrize("length", [10, 100_000])
def test_a_task_is_told_whatever_its_length(io: TinyIo, workers: Workers, length: int) -> None:
    outcome = run(io, workers, "def it(out, text): out.write_text(str(len(text)))", text={"value": "x" * length})
    assert outcome.ok and io.text(outcome, "out") == str(length)


def test_a_system_that_does_not_tell_of_children_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS with a Python before 3.13: nobody knows then whether an inline handler left somebody behind."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "waitid")
    assert inline._end_children(inline._children())
