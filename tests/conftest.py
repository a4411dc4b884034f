"""What tests of several floors share. Its place makes `workshop` importable."""

from __future__ import annotations

from pathlib import Path

import pytest
from workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty workspace whose builds happen in this process, with a scripted engine."""
    return Workshop(tmp_path / "workspace")
