"""`ariel submit PREDICTIONS`: the official submission, zipped and in a long form too, and a manifest; or a check."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer

from ariel_scripts.opening.hub import checkpoint_path
from ariel_scripts.options.submit import SubmitOptions
from ariel_scripts.prediction.conformal import KEY as APPLIED
from ariel_scripts.run_record import Run, write_json
from ariel_scripts.submission.sheet import COLUMNS, problems, read_sample, write_long, write_wide
from ariel_scripts.versions import git_commit, lock_hash, versions
from hf_dataset.digests import config_hash, file_hash
from hf_dataset.folders import read_json
from hf_dataset.words import number_of
from modeling_ariel.predictions import Predictions, read_predictions, read_run
from modeling_ariel.status import OK, count_statuses

logger = logging.getLogger(__name__)


def main(options: SubmitOptions) -> None:
    """Check a submission, or validate predictions and write all files."""
    if options.check is not None:
        _check(options.check, options.sample)
        return
    if options.predictions is None or options.sample is None:
        raise ValueError("expected PREDICTIONS and --sample, or --check FILE.csv")
    if options.out.suffix != ".csv":
        raise ValueError(f"--out {options.out}: expected a name that ends in .csv")
    run = Run("submit", _config(options))
    found = read_predictions(options.predictions)
    record = read_run(options.predictions) or read_json(_beside(options.predictions, "run")) or {}
    planets = _planets(options, found, record)
    place = {int(planet): row for row, planet in enumerate(found.planet_id)}
    rows = [place[planet] for planet in planets]
    mu, sigma = found.mu[rows], np.maximum(found.sigma[rows], np.float32(1e-15))
    doubted = _doubted(found, rows)
    for status, some in doubted.items():
        logger.warning("%s of the fit: %d of %d planets: %s", status, len(some), len(planets), some[:5])
    logger.info("%s, %d columns: valid", number_of(len(planets), "planet"), len(COLUMNS))
    if options.dry_run:
        return
    out = options.out
    files = [out, out.with_suffix(".zip"), out.with_suffix(".long.csv")]
    write_wide(out, planets, mu, sigma)
    write_long(files[2], planets, mu, sigma)
    hashed = [options.predictions, options.sample, *files]
    run.metrics.update(planets=len(planets), not_ok=sum(map(len, doubted.values())))
    manifest = _manifest(options, record, planets, doubted) | {
        "sha256": {str(path): file_hash(path) for path in hashed},
        "run": run.record() | {"outputs": run.outputs()},
    }
    write_json(out.with_suffix(".manifest.json"), manifest)
    logger.info("%s", ", ".join(map(str, [*files, out.with_suffix(".manifest.json")])))


def _check(path: Path, sample: Path | None) -> None:
    """Print what is wrong with a submission; exit code 1 where anything is."""
    found = problems(path, sample)
    for problem in found:
        typer.echo(f"{path}: {problem}")
    if found:
        raise typer.Exit(1)
    typer.echo(f"{path}: valid" + ("" if sample is None else f", with the planets of {sample}"))


def _planets(options: SubmitOptions, found: Predictions, record: dict[str, Any]) -> list[int]:
    """Planets to submit: those of the sample, or all; ValueError where one of the sample's has no prediction."""
    predicted = found.planet_id.tolist()
    planets = read_sample(Path(str(options.sample))).planets
    if options.all_planets:
        return sorted(predicted)
    refused = record.get("metrics", {}).get("refused") or {}
    if missing := [planet for planet in planets if planet not in set(predicted)]:
        why = refused.get(str(missing[0]))
        raise ValueError(
            f"{options.predictions}: expected the {number_of(len(planets), 'planet')} of {options.sample}, missing "
            f"{len(missing)}: {missing[:5]}" + (f"; planet {missing[0]} was refused: {why}" if why else "")
        )
    if extra := sorted(set(predicted) - set(planets)):
        logger.warning("%s not in %s and left out: %s", number_of(len(extra), "planet"), options.sample, extra[:5])
    return planets


def _config(options: SubmitOptions) -> dict[str, Any]:
    """What decides what is submitted."""
    names = ("predictions", "sample")
    return {name: str(getattr(options, name)) for name in names} | {"all_planets": options.all_planets}


def _doubted(found: Predictions, rows: list[int]) -> dict[str, list[int]]:
    """Planets by the status of their fit, where it is not ok."""
    status = found.extra.get("status") or [OK] * len(found.planet_id)
    kinds = count_statuses(status[row] for row in rows if status[row] != OK)
    return {kind: [int(found.planet_id[row]) for row in rows if status[row] == kind] for kind in kinds}


def _manifest(
    options: SubmitOptions, record: dict[str, Any], planets: list[int], doubted: dict[str, list[int]]
) -> dict[str, Any]:
    """What was submitted, by which code, and what is known of the predictions."""
    config = _config(options)
    metrics = record.get("metrics", {})
    known = ("command", "config_hash", "seeds", "git_commit", "lock_hash")
    predictions = Path(str(options.predictions))
    evaluation = read_json(_beside(predictions, "evaluation")) or {}
    if evaluation.get("predictions_sha256") != file_hash(predictions):  # of earlier predictions
        evaluation = {}
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "planets": len(planets),
        "not_ok": doubted,
        "config": config,
        "config_hash": config_hash(config),
        "git_commit": git_commit(),
        "lock_hash": lock_hash(),
        "versions": versions(),
        "predictions": {name: record[name] for name in known if name in record}
        | {name: metrics[name] for name in ("models", "sources") if name in metrics},
        **_calibration(metrics),
        "scores": {name: value for name, value in evaluation.items() if name.startswith("score_")},
        "report": options.report,
        "dataset": options.dataset or metrics.get("dataset"),
    }


def _calibration(metrics: dict[str, Any]) -> dict[str, Any]:
    """How sigma was calibrated, null where it was not or is not known.

    `temperature`: factors on sigma by group, of the only model. `alpha`: 1 - level of the intervals of that model, or
    the one whose q sigma is submitted; then `conformal` says how, with q (C,).
    """
    sources = metrics.get("sources") or []
    local = len(sources) == 1 and "commit" not in sources[0]
    record = (read_json(Path(checkpoint_path(sources[0]["name"])) / "calibration.json") if local else None) or {}
    factors = {name: group.get("factor") for name, group in record.get("groups", {}).items()}
    alpha = [round(1 - level, 6) for level in record.get("levels", [])]
    applied = metrics.get(APPLIED)
    if applied is not None:
        alpha = [applied["alpha"]]
    return {"temperature": factors or None, "alpha": alpha or None, "conformal": applied}


def _beside(path: Path, kind: str) -> Path:
    """The file of a kind beside predictions: NAME.run.json, NAME.evaluation.json."""
    return path.with_name(f"{path.stem}.{kind}.json")
