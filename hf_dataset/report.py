"""The end of a build: the card, and a report of every visit in JSON and Markdown."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hf_dataset import lineage, publish
from hf_dataset.plan import Plan
from hf_dataset.progress import PROGRESS_DIR

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildSummary:
    """What a build made: rows by split, the entries of failed visits, and where."""

    out: str
    config_hash: str
    shards: int
    rows: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0  # of the workers together
    waiting: bool = False  # submitted to a cluster, not finished

    @classmethod
    def submitted(cls, plan: Plan) -> BuildSummary:
        """The summary of a build that runs elsewhere."""
        return cls(str(plan.out), lineage.digest(plan.settings), len(plan.shards), waiting=True)


def finish(plan: Plan, wavelengths: np.ndarray) -> BuildSummary:
    """Write card and report of the finished shards; RuntimeError where some are missing or no row could be made."""
    finished = list(lineage.read_manifests(plan))
    if missing := len(plan.shards) - len(finished):
        raise RuntimeError(f"{plan.out}: expected {len(plan.shards)} shards, {missing} are missing: run it again")
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
        config_hash=lineage.digest(plan.settings),
        shards=len(plan.shards),
        rows=rows,
        failures=[entry for entry in entries if "error" in entry],
        seconds=round(sum(entry["seconds"] for entry in entries), 3),
    )
    lineage.write_json(plan.out / "report.json", {**asdict(summary), "visits": entries})
    _write_text(plan, "report.md", _markdown(summary, entries))
    if not any(rows.values()):
        first = summary.failures[0]["error"]
        raise RuntimeError(f"{plan.out}: none of {len(entries)} visits gave a row; see report.md. The first: {first}")
    publish.write_card(plan.out, wavelengths, provenance=_provenance(plan, summary))
    for name in (PROGRESS_DIR, "logs", "logs_finish"):
        shutil.rmtree(plan.out / lineage.STATE_DIR / name, ignore_errors=True)
    return summary


def _provenance(plan: Plan, summary: BuildSummary) -> dict[str, Any]:
    """What the card says of the origin: no path or time of this machine, so that equal builds have equal cards."""
    return {
        "command": "ariel build-dataset",
        "raw folder": {"layout": plan.layout, "files in it": [path.name for path in lineage.tables(plan.root)]},
        "settings": plan.settings,
        "config_hash": summary.config_hash,
        "code": plan.code,
        "left out": [
            {"planet_id": entry["planet_id"], "visit": entry["visit"], "reason": entry["error"]}
            for entry in summary.failures
        ],
        "lineage": "manifest/*.json: input files, settings and code of every shard",
    }


def _markdown(summary: BuildSummary, entries: Sequence[Mapping[str, Any]]) -> str:
    """The report as tables: failures first, then figures of every visit."""
    lines = [
        "# Build report",
        "",
        f"Rows: {', '.join(f'{split} {count}' for split, count in summary.rows.items())}. "
        f"Left out: {len(summary.failures)}. Worker seconds: {summary.seconds:.0f}. Config {summary.config_hash}.",
    ]
    if summary.failures:
        lines += ["", "## Left out", "", "| planet | visit | split | reason |", "|--:|--:|---|---|"]
        for entry in summary.failures:
            reason = str(entry["error"]).replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {entry['planet_id']} | {entry['visit']} | {entry['split']} | {reason} |")
    good = [entry for entry in entries if "error" not in entry]
    figures = [(entry, _figures(entry.get("report", {}))) for entry in good]
    names = list(dict.fromkeys(name for _, values in figures for name in values))
    lines += ["", "## Visits", "", "| " + " | ".join(["planet", "visit", "split", "s", "peak MB", *names]) + " |"]
    lines.append("|--:|--:|---|" + "--:|" * (len(names) + 2))
    for visit, values in figures:
        cells = [visit["planet_id"], visit["visit"], visit["split"], f"{visit['seconds']:.1f}", visit["peak_mb"]]
        lines.append(
            "| " + " | ".join(str(cell) for cell in [*cells, *(values.get(name, "") for name in names)]) + " |"
        )
    return "\n".join(lines) + "\n"


def _figures(report: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The single numbers in a visit's report, by their path, without the seconds of its steps."""
    found: dict[str, str] = {}
    for name, value in report.items():
        if name in ("seconds", "planet_id", "visit"):
            continue
        if isinstance(value, Mapping):
            found |= _figures(value, prefix if name == "quality" else f"{prefix}{name} ")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[prefix + name] = f"{value:.4g}"
    return found


def _write_text(plan: Plan, name: str, text: str) -> None:
    temporary = plan.out / f".{name}.tmp"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, plan.out / name)
