"""The leaderboard of an ablation: one row a variant, as Markdown, HTML, CSV and JSON, and the best as a zip."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ariel_scripts.run_record import write_json
from ariel_scripts.training.ablation import Trained, slug
from modeling_ariel.objective import violations
from modeling_ariel.penalties import fft_power, in_units
from modeling_ariel.predictions import read_predictions
from modeling_ariel.scoring import align, summary

COLUMNS = {  # of a row: title, format
    "folds": ("folds", "d"),
    "score_2024": ("2024 score", ".3f"),
    "score_spread": ("± over folds", ".3f"),
    "over_physics": ("over physics", "+.3f"),
    "score_2025": ("2025 score", ".3f"),
    "log_likelihood": ("mean ln likelihood", ".3f"),
    "rmse_ppm": ("RMSE ppm", ".1f"),
    "mae_ppm": ("MAE ppm", ".1f"),
    "coverage_90": ("in 90", ".1%"),
    "coverage_change": ("its change", "+.1%"),
    "z_spread": ("z spread", ".2f"),
    "entropy": ("entropy of σ", ".2f"),
    "violation_norm": ("rules broken by", ".2f"),
    "fft_power": ("FFT power", ".3f"),
    "validation": ("validation", ".3f"),
    "steps": ("steps", "d"),
    "best_step": ("best at", ".0f"),
    "parameters": ("weights", "d"),
    "train_seconds": ("CPU s to train", ".0f"),
    "predict_seconds": ("ms a planet", ".1f"),
}
NOTE = (
    "Over physics: the 2024 score less that of the classical posterior, mean over folds. Its change: of the share in "
    "90 % bands, from the first row. Entropy in nats, σ in ppm. Rules broken by: in limits. FFT power above 0.1 "
    "cycles a channel, in (100 ppm)². Validation: what models and variants were picked by. Best at: the step of the "
    "model that was kept; at 0 training gained nothing."
)
FAST = 0.1  # cycles a channel, from which power counts
_HALF_LOG = 0.5 * np.log(2.0 * np.pi * np.e)
Row = dict[str, Any]


@dataclass(frozen=True)
class Judges:
    """What held-out spectra are judged by: ``truths`` (C,) by planet, and ``rules`` of physics, if any.

    ``wavelength`` (C,) [um] of the channels.
    """

    truths: Mapping[int, NDArray[np.float64]]
    wavelength: Sequence[float] = ()
    rules: Mapping[str, Any] | None = None


def rows_of(trained: Sequence[Trained], judges: Judges) -> list[Row]:
    """A row for each variant, by its held-out planets; coverage changes against the first variant of the list."""
    rows = [_row(one, judges) for one in trained]
    for row in rows:
        row["coverage_change"] = row["coverage_90"] - rows[0]["coverage_90"]
    return rows


def _row(one: Trained, judges: Judges) -> Row:
    parts = [read_predictions(folder / "predictions.parquet") for folder in one.folders.values()]
    ids = np.concatenate([part.planet_id for part in parts])
    mu, sigma = (np.concatenate([getattr(part, name) for part in parts]) for name in ("mu", "sigma"))
    _, y, mean, width = align({planet: judges.truths[planet] for planet in ids.tolist()}, ids, mu, sigma)
    records = list(one.folds.values())
    scores = [record["held out"]["score_2024"] for record in records]
    classical = [record.get("classical on held out", {}).get("score_2024", np.nan) for record in records]
    cost = [record["cpu_seconds"] for record in records]
    return {
        "variant": one.variant.name,
        "options": dict(one.variant.options),
        "folder": str(next(iter(one.folders.values()))),
        "folds": len(records),
        **summary(y, mean, width),
        "score_spread": float(np.std(scores, ddof=1)) if len(scores) > 1 else float("nan"),
        "over_physics": float(np.mean(np.subtract(scores, classical))),
        "entropy": float(_HALF_LOG + np.log(1e6 * width).mean()),  # nats, of σ in ppm
        **_physics(mean, width, judges),
        "validation": one.validation,
        "steps": max(record["steps"] for record in records),
        "best_step": float(np.mean([record["best"]["step"] for record in records])),
        "parameters": records[0]["parameters"],
        "train_seconds": float(np.mean([part["training"] for part in cost])),
        "predict_seconds": 1e3 * sum(part["prediction"] for part in cost) / len(ids),
    }


def _physics(mean: NDArray[np.float64], sigma: NDArray[np.float64], judges: Judges) -> Row:
    """How far spectra (P, C) break rules, on average over planets, and their power at high frequencies.

    ``violation_norms`` of each rule [limits], and ``violation_norm`` of all: the root of their summed squares.
    """
    mu, width = (torch.from_numpy(np.asarray(one, np.float64)) for one in (mean, sigma))
    x = in_units(mu)[:, 1:]
    row: Row = {"fft_power": float(fft_power(x, FAST, torch.ones(x.shape[1])).mean())}  # in (100 ppm)^2
    if judges.rules is None:
        return {**row, "violation_norm": float("nan"), "violation_norms": {}}
    found = violations(mu, width, judges.wavelength, judges.rules)
    norms = found.excess.mean(0).tolist()
    row["violation_norms"] = dict(zip(found.names, norms, strict=True))
    return {**row, "violation_norm": float(found.excess.square().sum(1).sqrt().mean())}


def write_leaderboard(out: Path, rows: Sequence[Row]) -> str:
    """Write leaderboard.md, .html, .csv and .json; the Markdown."""
    cells = [_cells(row) for row in rows]
    heads = ["variant", *(title for title, _ in COLUMNS.values())]
    text = "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *cells)) + "\n"
    (out / "leaderboard.md").write_text(text, encoding="utf-8")
    (out / "leaderboard.html").write_text(_page(heads, cells), encoding="utf-8")
    with (out / "leaderboard.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", *COLUMNS])
        writer.writerows([row["variant"], *(row[name] for name in COLUMNS)] for row in rows)
    write_json(out / "leaderboard.json", list(rows))
    return text


def _cells(row: Row) -> list[str]:
    values = (format(row[name], shown) for name, (_, shown) in COLUMNS.items())
    return [row["variant"], *("–" if value.endswith("nan") else value for value in values)]


def _page(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A page by itself."""
    style = "body{font:15px system-ui;margin:2em}p{max-width:50em}div{overflow-x:auto}"
    style += "table{border-collapse:collapse;font-size:13px}"
    style += "td,th{padding:.3em .5em;text-align:right;vertical-align:baseline;border-bottom:1px solid #ccc}"
    style += "td{white-space:nowrap}td:first-child,th:first-child{text-align:left;white-space:normal;min-width:12em}"
    style += "td:first-child,th:first-child{position:sticky;left:0;background:#fff}"
    lines = [f"<tr>{''.join(f'<th scope=col>{html.escape(head)}</th>' for head in heads)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in cells]
    title = "Ablation: held-out planets, best on validation first"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f"<h1>{title}</h1><div><table>{''.join(lines)}</table></div><p>{NOTE}</p></html>\n"
    )


def write_top(out: Path, trained: Sequence[Trained], count: int) -> Path | None:
    """The first ``count`` variants in top.zip: a model for each fold, and manifest.json with every file's SHA-256."""
    if not count:
        return None
    path, manifest = out / "top.zip", dict[str, Any]()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, one in enumerate(trained[:count], 1):
            base, files = f"{place}-{slug(one.variant.name)}", dict[str, str]()
            for fold, folder in sorted(one.folders.items()):
                for file in sorted((folder / "model").iterdir()):
                    name = f"{base}/fold-{fold}/{file.name}"
                    content = file.read_bytes()
                    archive.writestr(name, content)
                    files[name] = hashlib.sha256(content).hexdigest()
            manifest[base] = {"variant": one.variant.name, "options": dict(one.variant.options), "files": files}
        stream = io.StringIO()
        json.dump(manifest, stream, indent=2, default=str)
        archive.writestr("manifest.json", stream.getvalue())
    return path
