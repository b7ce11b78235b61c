"""`ariel submit PREDICTIONS`: the official submission CSV, a long form of it, and a manifest."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.run_record import write_json
from ariel_scripts.versions import git_commit, versions
from hf_dataset.digests import config_hash, file_hash
from hf_dataset.schema import N_CHANNELS
from modeling_ariel.predictions import read_predictions

logger = logging.getLogger(__name__)


def main(options: SubmitOptions) -> None:
    """Validate, and write all three files."""
    predictions, sample, out = options.predictions, options.sample, options.out
    found = read_predictions(predictions)
    columns, planets = read_sample(sample)
    place = {int(planet): row for row, planet in enumerate(found.planet_id)}
    if options.all_planets:
        planets = sorted(place)
    if not planets:
        raise ValueError(f"{sample}: expected planets, found none")
    missing = [planet for planet in planets if planet not in place]
    if missing:
        raise ValueError(f"{predictions}: expected the {len(planets)} planets of {sample}, missing {missing[:5]}")
    rows = [place[planet] for planet in planets]
    mu, sigma = found.mu[rows], np.maximum(found.sigma[rows], np.float32(1e-15))
    logger.info("%d planets, %d columns: valid", len(planets), len(columns))
    if options.dry_run:
        return
    long = out.with_suffix(".long.csv")
    write_wide(out, columns, planets, mu, sigma)
    write_long(long, planets, mu, sigma)
    config = {
        "predictions": str(predictions),
        "sample": str(sample),
        "all_planets": options.all_planets,
    }
    manifest = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "planets": len(planets),
        "config": config,
        "config_hash": config_hash(config),
        "git_commit": git_commit(),
        "versions": versions(),
        "sha256": {str(path): file_hash(path) for path in (predictions, sample, out, long)},
    }
    write_json(out.with_suffix(".manifest.json"), manifest)
    logger.info("%s, %s, %s", out, long, out.with_suffix(".manifest.json"))


def read_sample(path: Path) -> tuple[list[str], list[int]]:
    """Columns and planets of sample_submission.csv; ValueError where it is not planet_id, wl_1 …, sigma_1 …"""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a CSV table in UTF-8, found other bytes: is it compressed?") from None
    if not rows:
        raise ValueError(f"{path}: expected a header, found an empty file")
    header = rows[0]
    expected = ["planet_id", *(f"{kind}_{i + 1}" for kind in ("wl", "sigma") for i in range(N_CHANNELS))]
    if len(header) != len(expected):
        raise ValueError(f"{path}: expected planet_id, wl_1 … wl_283, sigma_1 … sigma_283, found {len(header)} columns")
    for place, (wanted, found) in enumerate(zip(expected, header, strict=True), start=1):
        if found != wanted:
            raise ValueError(f"{path}: expected {wanted} as column {place}, found {found!r}")
    planets = [int(float(row[0])) for row in rows[1:]]
    if twice := [planet for planet, times in Counter(planets).items() if times > 1]:
        raise ValueError(f"{path}: planet {twice[0]}: expected once, found {planets.count(twice[0])} times")
    return header, planets


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_wide(path: Path, columns: list[str], planets: list[int], mu: np.ndarray, sigma: np.ndarray) -> None:
    """One row a planet, the sample's columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for planet, m, s in zip(planets, mu, sigma, strict=True):
        writer.writerow([planet, *(f"{x:.9g}" for x in m), *(f"{x:.9g}" for x in s)])
    _write(path, text.getvalue())


def write_long(path: Path, planets: list[int], mu: np.ndarray, sigma: np.ndarray) -> None:
    """One row a planet and channel: planet_id, bin_id (1 … 283, as in wl_1), mu, sigma."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["planet_id", "bin_id", "mu", "sigma"])
    for planet, m, s in zip(planets, mu, sigma, strict=True):
        writer.writerows([planet, i + 1, f"{x:.9g}", f"{e:.9g}"] for i, (x, e) in enumerate(zip(m, s, strict=True)))
    _write(path, text.getvalue())
