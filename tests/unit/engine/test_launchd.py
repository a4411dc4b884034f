"""Children that launchd starts: what they inherit, how they end, and what is left in launchd.

Where there is no launchd, `fake_launchd` stands for it: it really starts what the description of a job says. On macOS
the same tests ask the real one.
"""

from __future__ import annotations

import json
import os
import plistlib
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_launchd
import hosts
import pytest
from seed_tree import SeedTree
from tiny_io import TinyIo, action, is_alive, perform, soon, step

from flowbuild.bundle.plan_run import run_plan
from flowbuild.bundle.promote import promotion_packet
from flowbuild.core.action import Outcome
from flowbuild.engine import isolation, launchd_carrier, preflight
from flowbuild.engine.capture import Capture
from flowbuild.engine.launchd import ByLaunchd, Jobs
from flowbuild.engine.process import Exit, attend, drive
from flowbuild.engine.python import PythonEngine
from flowbuild.engine.restrict import ENFORCED, UNAVAILABLE
from flowbuild.engine.spawn import Child, Start
from flowbuild.run import channel
from flowbuild.run.channel import ChannelName, ChannelSpec

ON_MACOS = sys.platform == "darwin"
HELD = pytest.mark.skipif(
    not ON_MACOS and (hosts.landlock_abi() < 6 or not hosts.has_filters()), reason="needs Landlock ABI 6 and seccomp"
)
FAKE_ONLY = pytest.mark.skipif(ON_MACOS, reason="asks the stand-in what it was told")


@pytest.fixture(autouse=True)
def launchd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A launchctl that comes first on PATH, and the place of its daemon. macOS has its own."""
    monkeypatch.setenv("SAID", str(tmp_path))
    if ON_MACOS:
        yield tmp_path
        return
    with fake_launchd.installed(tmp_path / "launchd") as place:
        monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
        yield place


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    """Where jobs have their directories."""
    (tmp_path / "homes").mkdir()
    return tmp_path / "homes"


@pytest.fixture
def reaper(homes: Path, launchd: Path) -> Iterator[ByLaunchd]:
    reaper = ByLaunchd(Jobs("flowbuild.test", homes))
    yield reaper
    reaper.close()


def streams() -> tuple[Capture, Capture]:
    place = Path(tempfile.mkdtemp(dir=os.environ["SAID"]))
    return Capture(place / "out"), Capture(place / "err")


def begin(reaper: ByLaunchd, script: str, cwd: Path = Path("/"), **more: Any) -> Child:
    variables = {"PATH": "/usr/bin:/bin", **more.pop("variables", {})}
    return reaper.start(Start("/bin/sh", ("sh", "-c", script), cwd, variables, **more))


def run(reaper: ByLaunchd, script: str, cwd: Path = Path("/"), **more: Any) -> tuple[Exit, str, str]:
    captures = streams()
    ended = drive(attend(reaper, begin(reaper, script, cwd, **more), captures))
    return ended, captures[0].tail, captures[1].tail


def is_clear(launchd: Path, homes: Path) -> bool:
    """Whether every job is out of launchd, and nothing of it is left."""
    told = fake_launchd.jobs(launchd)
    return {j["service"] for j in told if "service" in j} == {
        j["removed"] for j in told if "removed" in j
    } and not list(homes.iterdir())


def test_it_runs_where_and_with_what_is_said_and_ends_as_it_ends(
    reaper: ByLaunchd, tmp_path: Path, launchd: Path, homes: Path
) -> None:
    (tmp_path / "in").write_text("asked\n")
    old = os.umask(0o027)
    try:
        ended, out, err = run(
            reaper,
            'pwd -P; cat; umask; echo "$ODD" >&2; exit 7',
            tmp_path,
            stdin=tmp_path / "in",
            variables={"ODD": "a\nb"},
        )
    finally:
        os.umask(old)
    assert (ended.code, ended.signal) == (7, None)
    assert (out, err) == (f"{tmp_path.resolve()}\nasked\n0027\n", "a\nb\n")
    assert soon(lambda: is_clear(launchd, homes))


def test_a_signal_that_ended_it_is_told(reaper: ByLaunchd) -> None:
    assert run(reaper, "kill -TERM $$")[0][:2] == (None, signal.SIGTERM)
    assert run(reaper, "kill -KILL $$")[0][:2] == (None, signal.SIGKILL)


def test_it_is_born_of_launchd_with_nothing_of_ours(reaper: ByLaunchd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "secret")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        script = f"env | grep -v -e ^PWD= -e ^SHLVL= -e ^_=; (echo x >&{writing}) 2>&-; ps -o ppid= -p $PPID || cat /proc/$PPID/stat"
        _, out, _ = run(reaper, script)
    finally:
        os.close(writing)
    assert os.read(reading, 1) == b"", "a descriptor of ours came along"
    os.close(reading)
    path, parents = out.splitlines()
    assert path == "PATH=/usr/bin:/bin"
    above = int(parents.split(")")[-1].split()[1] if ")" in parents else parents)
    assert above not in (os.getpid(), *reaper._children), "the job is a child of ours"
    assert not ON_MACOS or above == 1


def test_named_descriptors_reach_it(reaper: ByLaunchd) -> None:
    reading, writing = os.pipe()
    ended, _, _ = run(reaper, "echo far >&9", descriptors={9: writing})
    os.close(writing)
    assert ended.code == 0 and os.read(reading, 10) == b"far\n"
    os.close(reading)


def test_a_stream_ends_with_the_program_though_the_job_stays(reaper: ByLaunchd) -> None:
    child = begin(reaper, "exec >&-; sleep 60")
    os.set_blocking(child.stdout, True)
    assert os.read(child.stdout, 1) == b""
    child.terminate()
    drive(attend(reaper, child, streams()))


def test_it_is_asked_to_end_and_may_clean_up(reaper: ByLaunchd, tmp_path: Path) -> None:
    child = begin(reaper, f"trap 'echo gone > {tmp_path}/trap; exit 3' TERM; echo on; while :; do sleep 0.05; done")
    os.set_blocking(child.stdout, True)
    assert os.read(child.stdout, 3) == b"on\n"
    child.terminate()
    ended = drive(attend(reaper, child, streams()))
    assert ended.code == 3 and (tmp_path / "trap").read_text() == "gone\n"


def test_what_ends_the_carrier_ends_the_program_and_the_job(reaper: ByLaunchd, launchd: Path, homes: Path) -> None:
    child = begin(reaper, "trap '' TERM; sleep 60 & echo $$ $!; wait")
    os.set_blocking(child.stdout, True)
    pids = [int(pid) for pid in os.read(child.stdout, 100).split()]
    reaper.finish(child)  # by SIGKILL
    assert child.refused is None
    assert soon(lambda: not any(map(is_alive, pids)) if not ON_MACOS else True)
    assert soon(lambda: is_clear(launchd, homes), 5)


@pytest.mark.parametrize("moment_ms", [0, 40, 80, 120])
def test_whenever_the_carrier_is_killed_nothing_stays(
    reaper: ByLaunchd, launchd: Path, homes: Path, moment_ms: int
) -> None:
    """From its start to its end: the program's own time is short."""
    child = begin(reaper, "exit 0")
    time.sleep(moment_ms / 1000)
    reaper.finish(child)
    assert soon(lambda: is_clear(launchd, homes) or not fake_launchd.jobs(launchd), 5)


@FAKE_ONLY
def test_a_job_that_somebody_ends_takes_its_program_along(reaper: ByLaunchd, launchd: Path, homes: Path) -> None:
    child = begin(reaper, "sleep 0.3; echo $$; sleep 60")
    os.set_blocking(child.stdout, True)
    pid = int(os.read(child.stdout, 100))
    os.kill(fake_launchd.jobs(launchd)[0]["pid"], signal.SIGKILL)
    ended = drive(attend(reaper, child, streams()))
    assert ended.signal == signal.SIGKILL and soon(lambda: not is_alive(pid))
    assert soon(lambda: is_clear(launchd, homes))


@FAKE_ONLY
def test_the_description_holds_nothing_of_the_program(reaper: ByLaunchd, launchd: Path, homes: Path) -> None:
    run(reaper, ": word-of-argv", variables={"TOKEN": "value-of-variable"})
    (job,) = [job for job in fake_launchd.jobs(launchd) if "told" in job]
    text = json.dumps(job)
    assert "value-of-variable" not in text and "word-of-argv" not in text
    told = job["told"]
    assert told["Label"].startswith("flowbuild.test.") and job["service"] == f"gui/{os.getuid()}/{told['Label']}"
    assert told["WorkingDirectory"].startswith(str(homes))
    assert told["ProgramArguments"][0] == sys.executable and told["ProgramArguments"][-1] == job["service"]
    assert set(told) == {
        *("Label", "ProgramArguments", "WorkingDirectory", "StandardErrorPath"),
        *("RunAtLoad", "ProcessType", "LimitLoadToSessionType"),
    }
    assert "KeepAlive" not in told and told["RunAtLoad"] is True


def test_a_description_is_a_property_list() -> None:
    told = launchd_carrier.description("a.b", "/p", "/bin/launchctl", "gui/1/a.b")
    assert plistlib.loads(plistlib.dumps(told)) == told


@FAKE_ONLY
def test_without_a_screen_the_user_s_own_domain_takes_it(reaper: ByLaunchd, launchd: Path) -> None:
    (launchd / "refused").write_text("gui")
    assert run(reaper, "exit 0")[0].code == 0
    assert fake_launchd.jobs(launchd)[0]["service"].startswith(f"user/{os.getuid()}/")


@FAKE_ONLY
def test_what_launchd_refuses_is_not_begun_and_its_words_are_told(
    reaper: ByLaunchd, launchd: Path, homes: Path, tmp_path: Path
) -> None:
    (launchd / "refused").write_text("gui user")
    child = begin(reaper, f"touch {tmp_path}/begun")
    drive(attend(reaper, child, streams()))
    assert child.refused == "launchd takes no job: Bootstrap failed: 5: Input/output error"
    assert not (tmp_path / "begun").exists() and list(homes.iterdir()) == []


@FAKE_ONLY
def test_without_launchctl_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, homes: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    reaper = ByLaunchd(Jobs(None, homes))
    child = begin(reaper, "exit 0")
    drive(attend(reaper, child, streams()))
    reaper.close()
    assert child.refused is not None and "launchctl" in child.refused


def test_a_program_that_is_not_there_is_refused(reaper: ByLaunchd) -> None:
    child = reaper.start(Start("/nowhere", ("nowhere",), Path("/"), {}))
    drive(attend(reaper, child, streams()))
    assert child.refused == "/nowhere: No such file or directory"


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture
def engine(reaper: ByLaunchd) -> Iterator[PythonEngine]:
    engine = PythonEngine(reaper, is_clean=True)
    yield engine
    engine.close()


def message(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message


HANDLER = {
    **{"source": "words/it.py", "module": None, "function": "it", "modules": {}, "env": {}},
    "arguments": {"out": {"path": "../out/bin/words/it/out.txt"}},
}
OUT = {"out": "out/bin/words/it/out.txt"}


@HELD
def test_commands_handlers_and_probes_are_held_as_in_clean(engine: PythonEngine, io: TinyIo) -> None:
    (io.root / "undeclared").write_text("secret")
    with_ = {"script": f"echo made > ../out/bin/words/it/out.txt; cat {io.root}/undeclared", "env": {}}
    failed = perform(engine.perform(action("exec", with_, (), OUT), io))
    assert "it ran in channel clean" in message(failed) and "secret" not in failed.stdout_tail
    made = perform(engine.perform(action("exec", {"script": "echo made > ../out/bin/words/it/out.txt"}, (), OUT), io))
    assert made.ok and io.text(made, "out") == "made\n"

    staged = io.write("words/it.py", "def it(out):\n    out.write_text('called')\n")
    called = perform(engine.perform(action("python", HANDLER, (staged,), OUT), io))
    assert called.ok and io.text(called, "out") == "called"

    asked = hosts.request("signal")
    probed = perform(engine.perform(action("probe", asked, (), {}), io))
    row = json.loads(io.kept[probed.outputs["row"]["sha256"]])
    assert (row["actual"], row["runtime_result"]["failure_kind"]) == ("allow", None)


@FAKE_ONLY
def test_a_refusal_is_one_of_the_channel_s_and_a_probe_is_blocked(
    engine: PythonEngine, io: TinyIo, launchd: Path
) -> None:
    (launchd / "refused").write_text("gui user")
    staged = io.write("words/it.py", "def it(out):\n    out.write_text('called')\n")
    for kind, with_ in (("exec", {"script": "exit 0"}), ("python", HANDLER)):
        outcome = perform(engine.perform(action(kind, with_, (staged,), OUT), io))
        assert outcome.error is not None and outcome.error.code == "channel_refused"
        assert "launchd takes no job" in outcome.error.message
    probed = perform(engine.perform(action("probe", hosts.request("signal"), (), {}), io))
    row = json.loads(io.kept[probed.outputs["row"]["sha256"]])
    result = row["runtime_result"]
    assert (row["actual"], result["failure_stage"]) == (None, "preflight")
    assert result["failure_kind"] == "channel_unavailable" and not probed.remember


@HELD
def test_a_cancelled_action_is_gone_with_its_job(engine: PythonEngine, io: TinyIo, launchd: Path, homes: Path) -> None:
    running = engine.perform(action("exec", {"script": "sleep 60"}), io)
    step(running, 1.0)
    running.close()
    assert soon(lambda: is_clear(launchd, homes), 5)


@HELD
def test_the_preflight_says_launchd(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hosts.record(command=preflight.command("launchd_clean"))
    entries = found["isolation"]["operations"]
    assert found["channel"] == "launchd_clean" and found["isolation"]["works"]
    assert entries["environment:declared"]["mechanism"] == "launchd+fresh-environment"
    assert entries["descriptors:closed"]["mechanism"] == "launchd+close-range"
    assert {entry["status"] for entry in entries.values()} == {ENFORCED} and found["apply_ok"]
    clean = hosts.record(command=preflight.command("clean"))
    assert preflight.isolation_digest(found) != preflight.isolation_digest(clean)


@FAKE_ONLY
def test_a_preflight_that_launchd_refuses_is_no_pass(
    launchd: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (launchd / "refused").write_text("gui user")
    monkeypatch.delenv(isolation.VARIABLE, raising=False)
    monkeypatch.setenv(isolation.VARIABLE, "kept")  # put back at the end, whatever the check plants
    found = isolation.check("launchd_clean")
    assert {entry["status"] for entry in found["operations"].values()} == {UNAVAILABLE} and not found["works"]
    assert "launchd takes no job" in capfd.readouterr().err


@HELD
def test_a_plan_that_launchd_runs_is_promotable_and_its_jobs_are_named(
    launchd: Path, homes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way; but for the name's refusal elsewhere than on macOS, which is taken away here."""
    monkeypatch.setattr(channel, "resolve", ChannelName)
    tree = SeedTree(tmp_path / "tree")
    spec = ChannelSpec(ChannelName.LAUNCHD_CLEAN, require_clean=True, label_prefix="mine", staging_base=homes)
    bundle = run_plan(tree.plan, tree.root / "out", channel=spec)
    record, summary = bundle.document("apply_preflight.json"), bundle.document("summary.json")
    assert (record["channel"], summary["channel"], summary["status"]) == ("launchd_clean", "launchd_clean", "ok")
    assert record["isolation"]["operations"]["descriptors:closed"]["mechanism"] == "launchd+close-range"
    assert promotion_packet(bundle)["promotability"]["reasons"] == []
    told = [job["told"] for job in fake_launchd.jobs(launchd) if "told" in job]
    assert ON_MACOS or {job["Label"].split(".")[0] for job in told} == {"mine", "flowbuild"}  # the preflight's are ours
    assert soon(lambda: is_clear(launchd, homes))
