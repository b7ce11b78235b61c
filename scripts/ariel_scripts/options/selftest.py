"""Options of `ariel selftest`: none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SelftestOptions:
    """Check the installation: libraries, transit model, score, and one planet from raw frames to its depth.

    Example: ariel selftest
    """
