"""TraceMind 1.2.0, in an environment of its own: made once, by pip, in FLOWBUILD_PEERS or in the session's directory."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from trace_mind_peer import TraceMind

VERSION = "1.2.0"
SCHEMA = "docs/ir/v0.1/schema.json"  # left out of the wheel, and there in the source distribution


@pytest.fixture(scope="session")
def trace_mind(tmp_path_factory: pytest.TempPathFactory) -> TraceMind:
    given = os.environ.get("FLOWBUILD_PEERS")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # by the workers of one session
    place = Path(given) if given else shared / "peers"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        venv = place / f"trace-mind-{VERSION}"
        if not (venv / "made").exists():
            refusal = _make(venv)
            if refusal:
                pytest.skip(f"trace-mind {VERSION} can't be installed here: {refusal}")
    (site,) = (venv / "lib").glob("python3*/site-packages")
    mock = site / "tm" / "executors" / "mock_process_engine.py"
    return TraceMind(venv / "bin" / "tm", venv / "bin" / "python", mock, site / SCHEMA)


def _make(venv: Path) -> str:
    """Why it can't be made; nothing when it is."""
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
    download = ["download", "--no-deps", "--no-binary", ":all:", "-d", str(venv), f"trace-mind=={VERSION}"]
    for argv in (
        [sys.executable, "-m", "venv", "--clear", str(venv)],
        [*pip, "install", f"trace-mind[yaml]=={VERSION}"],
        [*pip, *download],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            return (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
    (site,) = (venv / "lib").glob("python3*/site-packages")
    (source,) = venv.glob("*.tar.gz")
    with tarfile.open(source) as tar:
        (name,) = [name for name in tar.getnames() if name.endswith(SCHEMA)]
        found = tar.extractfile(name)
        assert found is not None
        (site / SCHEMA).parent.mkdir(parents=True, exist_ok=True)
        (site / SCHEMA).write_bytes(found.read())
    (venv / "made").touch()
    return ""
