"""The end of a build: the card, and a report of every visit in JSON and Markdown."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import numpy as np

from hf_dataset.build import report_text
from hf_dataset.build.plan import Plan
from hf_dataset.build.progress import PROGRESS_DIR
from hf_dataset.build.resume import read_manifests
from hf_dataset.build.summary import BuildSummary
from hf_dataset.digests import config_hash
from hf_dataset.folders import remove_tree, write_bytes, write_json
from hf_dataset.store import card
from hf_dataset.store.lineage import STATE_DIR

logger = logging.getLogger(__name__)


class NothingBuiltError(RuntimeError):
    """No dataset can be made: shards are missing, or no visit gave a row."""


def finish(plan: Plan, wavelengths: np.ndarray, whole: bool = True) -> BuildSummary:
    """Write card and report of the finished shards; NothingBuiltError where all are empty, or one of a `whole` build
    is missing.
    """
    finished = list(read_manifests(plan))
    if (missing := len(plan.shards) - len(finished)) and whole:
        raise NothingBuiltError(f"{plan.out}: expected {len(plan.shards)} shards, {missing} are missing: run it again")
    if not finished:
        raise NothingBuiltError(f"{plan.out}: expected finished shards, found none")
    entries = [
        {**entry, "split": shard.name.split, "shard": str(shard.name)}
        for shard, manifest in finished
        for entry in manifest["visits"]
    ]
    rows: dict[str, int] = {}
    for shard, manifest in finished:
        rows[shard.name.split] = rows.get(shard.name.split, 0) + manifest["rows"]
    summary = BuildSummary(
        out=str(plan.out),
        config_hash=config_hash(plan.settings),
        shards=len(plan.shards),
        rows=rows,
        failures=[entry for entry in entries if "error" in entry],
        seconds=round(sum(entry["seconds"] for entry in entries), 3),
        missing=missing,
    )
    write_json(plan.out / "report.json", {**asdict(summary), **report_text.run_figures(entries), "visits": entries})
    write_bytes(plan.out / "report.md", report_text.markdown(summary, entries).encode())
    if not any(rows.values()):
        first = f"see report.md. The first: {summary.failures[0]['error']}"
        raise NothingBuiltError(f"{plan.out}: none of {len(entries)} visits gave a row; {first}")
    card.write_card(plan.out, wavelengths, provenance=_provenance(plan, summary))
    remove_tree(plan.out / STATE_DIR / PROGRESS_DIR)
    return summary


def _provenance(plan: Plan, summary: BuildSummary) -> dict[str, Any]:
    """The card's provenance, without paths or times of this machine, so that equal builds have equal cards."""
    return {
        "command": card.BUILD_COMMAND,
        "raw folder": {"layout": plan.layout, "files in it": list(plan.tables)},
        "settings": plan.settings,
        "config_hash": summary.config_hash,
        "code": plan.code,
        "left out": [
            {"planet_id": entry["planet_id"], "visit": entry["visit"], "reason": entry["error"]}
            for entry in summary.failures
        ],
        "lineage": "manifest/*.json: input files, settings and code of every shard",
    } | ({"unfinished": f"{summary.missing} of {summary.shards} shards are missing"} if summary.missing else {})
