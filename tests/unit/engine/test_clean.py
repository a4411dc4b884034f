"""The channel `clean`: commands and handlers reach what they declare, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hosts
import pytest
from tiny_io import TinyIo, action, perform

from flowbuild.core.action import Outcome
from flowbuild.engine import clean, confine, landlock, restrict
from flowbuild.engine.operations import OPERATIONS
from flowbuild.engine.place import Place
from flowbuild.engine.python import PythonEngine
from flowbuild.engine.seccomp import refuse

pytestmark = pytest.mark.skipif(
    hosts.landlock_abi() < 6 or not hosts.has_filters(), reason="needs Landlock ABI 6 and seccomp"
)
OUT = {"out": "out/bin/words/it/out.txt"}
WRITE = "../out/bin/words/it/out.txt"
OF_THE_C_LIBRARY = 1 << 31 | 1 << 32  # signals 32 and 33, which nobody sends
NO_LANDLOCK = [refuse(number, errno.ENOSYS) for number in (444, 445, 446)]


@pytest.fixture
def io(tmp_path: Path) -> TinyIo:
    return TinyIo(tmp_path)


@pytest.fixture
def engine() -> Iterator[PythonEngine]:
    engine = PythonEngine(is_clean=True)
    yield engine
    engine.close()


def run(engine: PythonEngine, io: TinyIo, script: str, **more: Any) -> Outcome:
    with_ = {"script": script} | {key: more.pop(key) for key in ("env", "stage") if key in more}
    return perform(engine.perform(action("exec", with_, **more), io))


def call(engine: PythonEngine, io: TinyIo, body: str, *, env: dict[str, str] | None = None) -> Outcome:
    """Call a handler `it(out)` with this body."""
    staged = io.write("words/it.py", "import os, sys, socket\nfrom pathlib import Path\n" + body)
    arguments = {"out": {"path": WRITE}}
    with_ = {
        **{"source": "words/it.py", "module": None, "function": "it"},
        **{"modules": {}, "arguments": arguments, "env": env or {}},
    }
    return perform(engine.perform(action("python", with_, (staged,), OUT), io))


def message(outcome: Outcome) -> str:
    assert outcome.error is not None
    return outcome.error.message


def test_a_command_makes_its_output_of_what_it_declares(engine: PythonEngine, io: TinyIo) -> None:
    names = io.write("words/names.txt", "b\na\n")
    outcome = run(engine, io, f"sort names.txt > {WRITE}; mktemp; touch $HOME/x", staged=(names,), outputs=OUT)
    assert outcome.ok and io.text(outcome, "out") == "a\nb\n"


def test_a_staged_program_runs_and_a_program_of_the_search_path_does(engine: PythonEngine, io: TinyIo) -> None:
    tool = io.write("words/tool", "#!/bin/sh\necho staged\n")
    (io.workspace / "words/tool").chmod(0o755)
    assert run(engine, io, "./tool", staged=(tool,)).stdout_tail == "staged\n"
    far = io.root / "far" / "mine"
    far.parent.mkdir()
    far.write_text("#!/bin/sh\necho far\n")
    far.chmod(0o755)
    io.search_path = (*io.search_path, str(far.parent))
    outcome = perform(engine.perform(action("exec", {"command": ["mine"]}), io))
    assert outcome.stdout_tail == "far\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("cat {root}/undeclared", "Permission denied"),
        ("cat {root}/ws/words/undeclared", "Permission denied"),
        ("ls {root}", "Permission denied"),
        ("echo x > {root}/undeclared", "ermission denied"),
        ("rm {root}/undeclared", "Permission denied"),
        ("mv {root}/undeclared here", "Permission denied"),
        ("ln {root}/undeclared here", "cross-device"),
        ("ln -s {root}/undeclared here; cat here", "Permission denied"),
        ("cat /proc/{parent}/environ", "Permission denied"),
        ("cat /proc/{parent}/cmdline", "Permission denied"),
        ("kill -TERM {parent}", "not permitted"),
        ("kill -0 1", "not permitted"),
    ],
)
def test_a_command_is_refused_what_it_does_not_declare(
    engine: PythonEngine, io: TinyIo, script: str, said: str
) -> None:
    (io.root / "undeclared").write_text("secret")
    io.write("words/undeclared", "secret")
    outcome = run(engine, io, script.format(root=io.root, parent=os.getpid()))
    assert said in outcome.stderr_tail and "secret" not in outcome.stdout_tail
    assert "it ran in channel clean" in message(outcome)
    assert (io.root / "undeclared").read_text() == "secret"


SOCKETS = """
import errno, socket, sys
for kind in [(socket.AF_INET, 1), (socket.AF_INET, 2), (socket.AF_INET6, 1), (socket.AF_UNIX, 1), (socket.AF_NETLINK, 3)]:
    try:
        socket.socket(*kind)
        sys.exit(f"{kind} came to be")
    except OSError as error:
        assert error.errno == errno.EACCES, error
one, other = socket.socketpair()
"""


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a python of the system")
def test_a_command_has_no_socket_but_a_pair_that_leads_nowhere(engine: PythonEngine, io: TinyIo) -> None:
    script = io.write("words/sockets.py", SOCKETS)
    outcome = run(engine, io, "/usr/bin/python3 sockets.py", staged=(script,))
    assert outcome.ok, outcome.stderr_tail


def test_a_command_sees_declared_variables_and_no_others(
    engine: PythonEngine, io: TinyIo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDECLARED", "1")
    outcome = run(engine, io, "env", env={"LC_ALL": "C", "PYTHONPATH": "/x", "ODD": "a\nb"})
    names = {line.split("=", 1)[0] for line in outcome.stdout_tail.splitlines()}
    assert names == {"HOME", "LANG", "LC_ALL", "ODD", "PATH", "PWD", "PYTHONPATH", "TMPDIR", "TZ", "b"}


def test_a_command_without_a_locale_gets_no_locale_from_the_launcher(engine: PythonEngine, io: TinyIo) -> None:
    assert "LC_CTYPE" not in run(engine, io, "env", env={"LANG": "C"}).stdout_tail


def test_a_command_inherits_no_descriptor_and_no_ignored_signal(engine: PythonEngine, io: TinyIo) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        outcome = run(engine, io, "for n in 3 4 5 6 7 8 9; do (: >&$n) 2>&- && echo $n; done; true")
        assert outcome.stdout_tail == ""
        status = run(engine, io, "exec cat /proc/self/status").stdout_tail
    finally:
        os.close(reading)
        os.close(writing)
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert int(fields["SigIgn"], 16) & ~OF_THE_C_LIBRARY == int(fields["SigBlk"], 16) == 0
    assert fields["NoNewPrivs"] == "1" and int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0


def test_a_command_that_runs_in_place_is_refused(engine: PythonEngine, io: TinyIo) -> None:
    outcome = run(engine, io, "true", stage=False)
    assert outcome.error is not None and outcome.error.code == "channel_refused"
    assert "channel clean" in message(outcome)


def test_a_program_that_does_not_start_is_told_as_ever(engine: PythonEngine, io: TinyIo) -> None:
    tool = io.write("words/tool", "#!/nowhere/sh\n")
    (io.workspace / "words/tool").chmod(0o755)
    outcome = perform(engine.perform(action("exec", {"command": ["./tool"]}, (tool,)), io))
    assert outcome.error is not None and outcome.error.code == "program_refused"
    assert "interpreter in its first line is not there" in message(outcome)
    assert perform(engine.perform(action("exec", {"command": ["nope"]}), io)).error.code == "program_not_found"  # type: ignore[union-attr]


def test_a_program_that_ends_like_a_launcher_is_not_taken_for_one(engine: PythonEngine, io: TinyIo) -> None:
    outcome = run(engine, io, "exit 126")
    assert outcome.error is not None and (outcome.error.code, outcome.error.details["exit_code"]) == ("exit", 126)


def test_a_handler_makes_its_output(engine: PythonEngine, io: TinyIo) -> None:
    body = "import json, sqlite3, tempfile, subprocess\nfrom flowbuild.engine import golden\ndef it(out):\n"
    body += (
        "    tempfile.mkstemp()\n    said = subprocess.run([sys.executable, '-c', 'print(7)'], capture_output=True)\n"
    )
    body += "    out.write_bytes(said.stdout + said.stderr)\n"
    outcome = call(engine, io, body)
    assert outcome.ok, outcome.error
    assert io.text(outcome, "out") == "7\n"


@pytest.mark.parametrize(
    "act",
    [
        "open({root!r} + '/undeclared').read()",
        "os.listdir({workspace!r})",
        "open({workspace!r} + '/words/other.py').read()",
        "open({root!r} + '/new', 'w')",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "os.kill({parent}, 15)",
        "open('/proc/{parent}/environ').read()",
    ],
)
def test_a_handler_is_refused_what_it_does_not_declare(engine: PythonEngine, io: TinyIo, act: str) -> None:
    (io.root / "undeclared").write_text("secret")
    io.write("words/other.py", "")
    body = f"def it(out):\n    {act}\n".format(root=str(io.root), workspace=str(io.workspace), parent=os.getpid())
    outcome = call(engine, io, body)
    assert outcome.error is not None and outcome.error.code == "handler_raised"
    assert "PermissionError" in message(outcome) and "channel clean" in message(outcome)


def test_every_handler_has_a_worker_of_its_own(engine: PythonEngine, io: TinyIo) -> None:
    body = "def it(out):\n    out.write_text(str(os.getpid()))\n"
    first, second = (io.text(call(engine, io, body), "out") for _ in range(2))
    assert first != second


def test_a_handler_does_not_see_the_scratch_of_another(engine: PythonEngine, io: TinyIo) -> None:
    assert call(engine, io, "def it(out):\n    out.write_text('mine')\n").ok
    (source,) = io.workspace.glob(".flowbuild/scratch/1/tree/**/*.py")
    body = f"def it(out):\n    open({str(source)!r})\n"
    assert "PermissionError" in message(call(engine, io, body))


@pytest.mark.parametrize("kind", ["exec", "python"])
def test_without_landlock_nothing_is_begun(tmp_path: Path, kind: str) -> None:
    said = json.loads(hosts.raw([sys.executable, "-c", _PERFORM, str(tmp_path), kind], outer=NO_LANDLOCK))
    assert said["code"] == "channel_refused" and "outputs" not in said
    assert "channel clean can't be held on this host: files:declared (landlock: ENOSYS)" in said["message"]


_PERFORM = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from tiny_io import TinyIo, action, perform
from flowbuild.engine.python import PythonEngine
io, engine = TinyIo(Path(sys.argv[1])), PythonEngine(is_clean=True)
staged = io.write("words/it.py", "def it(): raise SystemExit('begun')")
handler = {{"source": "words/it.py", "module": None, "function": "it", "modules": {{}}, "arguments": {{}}, "env": {{}}}}
with_ = {{"script": "echo begun"}} if sys.argv[2] == "exec" else handler
print(json.dumps(perform(engine.perform(action(sys.argv[2], with_, (staged,)), io)).error.doc()))
engine.close()
"""


@pytest.mark.parametrize(
    ("target", "operation"), [("staged/file", "file-read-data"), ("127.0.0.1:0", "network-outbound")]
)
def test_without_landlock_a_probe_is_blocked_before_it_is_asked(target: str, operation: str) -> None:
    what = confine.Confinement("/tmp").text
    row = hosts.row(hosts.request(operation, None, target), NO_LANDLOCK, [*hosts.probe.command(), what])
    result = row["runtime_result"]
    assert (row["actual"], result["status"], result["failure_stage"]) == (None, "blocked", "preflight")
    assert result["failure_kind"] == "channel_unavailable"


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"environment-read"}))
def test_the_channel_answers_nothing_that_a_probe_asks(engine: PythonEngine, io: TinyIo, operation: str) -> None:
    """The baseline allows all of it without a channel; so it does in one."""
    outcome = perform(engine.perform(action("probe", hosts.request(operation), (), {}), io))
    assert outcome.error is None
    row = json.loads(io.kept[outcome.outputs["row"]["sha256"]])
    assert (row["actual"], row["runtime_result"]["failure_kind"]) == ("allow", None)


WITHOUT_SCOPE = """
import sys
sys.path.append(sys.argv[1])
from flowbuild.engine import landlock, probe
landlock.SCOPE_SINCE = 99  # as before Linux 6.12
sys.exit(probe.main())
"""


@pytest.mark.parametrize("operation", ["signal", "file-read-data", "process-exec"])
def test_before_landlock_knew_signals_a_harness_still_ends_its_children(
    io: TinyIo, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(landlock, "SCOPE_SINCE", 99)
    asked = hosts.request(operation)
    what = clean.for_probe(_place(io), io, operation, asked["probe"]["target"])
    assert what.leaves == ("signals:deny",)
    (io.root / "scratch/tmp").mkdir(parents=True)
    argv = [*hosts.PYTHON, "-c", WITHOUT_SCOPE, hosts.ROOT, what.text]
    environment = {**os.environ, "TMPDIR": str(io.root / "scratch/tmp")}
    done = subprocess.run(argv, input=json.dumps(asked), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["actual"] == "allow"
    assert list((io.root / "scratch/tmp").iterdir()) == []


def test_the_harness_itself_is_held(engine: PythonEngine, io: TinyIo) -> None:
    """A probe of one thing reaches no other: the profile has nothing to do with it."""
    (io.root / "undeclared").write_text("secret")
    what = clean.for_probe(_place(io), io, "signal", "victim")
    for path in (io.root / "undeclared", io.workspace):
        assert not any(str(path).startswith(read + "/") or str(path) == read for read in what.reads)
    assert what.leaves == ()
    assert clean.for_probe(_place(io), io, "network-bind", "127.0.0.1:0").leaves == ("network:none",)


def _place(io: TinyIo) -> Place:
    scratch = io.root / "scratch"
    return Place(scratch, scratch / "tree", scratch / "tree", True)


def test_a_workspace_below_a_system_directory_stays_hidden(tmp_path: Path) -> None:
    for name in ("a/x", "a/ws/secret", "b"):
        (tmp_path / name).mkdir(parents=True)
    found = list(clean.around([str(tmp_path), str(tmp_path / "gone"), str(tmp_path / "b")], str(tmp_path / "a/ws")))
    assert found == [str(tmp_path / "a/x"), str(tmp_path / "b")]
    assert list(clean.around([str(tmp_path / "a/ws/secret")], str(tmp_path / "a/ws"))) == []


def test_a_program_has_the_libraries_beside_it_and_a_home_keeps_its_own(io: TinyIo) -> None:
    prefix = io.root / "home/.local"
    for name in ("bin", "lib", "share"):
        (prefix / name).mkdir(parents=True)
    (prefix / "bin/tool").write_text("")
    reads = clean.for_program(_place(io), io, str(prefix / "bin/tool")).reads
    assert {str(prefix / "bin"), str(prefix / "lib"), str(prefix / "bin/tool")} <= set(reads)
    assert str(prefix / "share") not in reads and str(prefix) not in reads


def test_what_is_installed_is_there_and_what_a_person_adds_is_not(io: TinyIo) -> None:
    installed, project, added = (io.root / name for name in ("e/site-packages", "project", "added"))
    for directory in (installed, project, added):
        directory.mkdir(parents=True)
    (installed / "project.pth").write_text(f"import sys\n{project}\n/nowhere\n")
    reads = clean.for_python(_place(io), io, [str(installed), str(project), str(added), "", "relative"]).reads
    assert {str(installed), str(project)} <= set(reads) and str(added) not in reads
    own = io.workspace / ".venv/lib/site-packages"
    own.mkdir(parents=True)
    assert str(own) in clean.for_python(_place(io), io, [str(own)]).reads


def test_tables_are_total() -> None:
    assert {name for covered in confine.COVERS.values() for name in covered} <= set(OPERATIONS)
    assert set(confine.COVERS) & set(restrict.COVERS) == {"signals:deny"}
    from flowbuild.engine import seatbelt

    for name in confine.COVERS:
        assert seatbelt.policy([name], "/s", ["/usr"]) != seatbelt.policy([], "/s")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_an_ordinary_user_is_held_as_well() -> None:
    """The same program, as nobody: it has nothing but what every user has."""
    with tempfile.TemporaryDirectory() as root:
        _hold_nobody(Path(root))


def _hold_nobody(root: Path) -> None:
    root.chmod(0o755)
    (root / "undeclared").write_text("secret")
    place = root / "place"
    place.mkdir()
    os.chown(place, 65534, 65534)
    what = confine.Confinement(str(place), ("/usr", "/bin", "/lib", "/lib64"))
    script = f"""
        touch mine || echo touch
        cat {root}/undeclared 2>&- && echo read
        kill -0 {os.getpid()} 2>&- && echo signal
        /usr/bin/setpriv --reuid 0 true 2>&- && echo root
        exit 0"""
    code = _LAUNCH.format(root=hosts.ROOT, place=str(place), what=what.text, script=script)
    done = subprocess.run([*hosts.PYTHON, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


_LAUNCH = """
import os, sys
sys.path.append({root!r})
import socket, resource, ctypes  # nobody may be unable to read the interpreter that started as root
from flowbuild.engine import confine, enforcement
os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.chdir({place!r})
confine.enter(confine.Confinement.parse({what!r}))
try:
    socket.socket()
    print("socket")
except PermissionError:
    pass
os.execv("/bin/sh", ["sh", "-c", {script!r}])
"""


def test_a_listening_service_of_the_host_is_out_of_reach(engine: PythonEngine, io: TinyIo) -> None:
    with socket.socket(socket.AF_UNIX) as service:
        service.bind(str(io.root / "service"))
        service.listen()
        body = f"def it(out):\n    socket.socket(socket.AF_UNIX).connect({str(io.root / 'service')!r})\n"
        assert "PermissionError" in message(call(engine, io, body))
