"""What tests of several floors share. Its place makes `workshop` importable."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from workshop import Workshop

# Whoever starts the tests in the background may have had SIGINT ignored, and every program under test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A build of a test is no step of the workflow that runs the tests.
os.environ.pop("GITHUB_ACTIONS", None)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty workspace whose builds happen in this process, with a scripted engine."""
    return Workshop(tmp_path / "workspace")
