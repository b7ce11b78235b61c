"""What only tests of transients use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def mallorn(real: Path) -> Path:
    """Raw folder of the MALLORN challenge, which the project may not ship."""
    if not (real / "mallorn").is_dir():
        pytest.skip(f"the tables of the MALLORN challenge (no licence, not shipped) are not at {real / 'mallorn'}")
    return real / "mallorn"
