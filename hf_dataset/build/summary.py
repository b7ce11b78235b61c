"""The result of a build, for the caller and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hf_dataset.build.plan import Plan
from hf_dataset.digests import config_hash


@dataclass(frozen=True)
class BuildSummary:
    """What a build made: rows by split, the entries of failed visits, and where."""

    out: str
    config_hash: str
    shards: int
    rows: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0  # of the workers together
    missing: int = 0  # shards that are still to be made
    waiting: bool = False  # submitted to a cluster, not finished

    @classmethod
    def submitted(cls, plan: Plan) -> BuildSummary:
        """The summary of a build that runs elsewhere."""
        return cls(str(plan.out), config_hash(plan.settings), len(plan.shards), waiting=True)
