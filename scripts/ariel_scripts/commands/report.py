"""`ariel report DATASET --model MODEL --out report.html`: one HTML page, for whoever must trust predicted spectra."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ariel_scripts.commands.predict import Job
from ariel_scripts.opening.hub import Located, locate_dataset
from ariel_scripts.options.report import SECTIONS, ReportOptions
from ariel_scripts.prediction.predictor import choose_device, code_digest, load_member
from ariel_scripts.report import network
from ariel_scripts.report import planets as single
from ariel_scripts.report import sections as kinds
from ariel_scripts.report.attributions import Attribution, attribute, rows_of
from ariel_scripts.report.data import (
    Entry,
    NamedPredictions,
    Study,
    add_entries,
    names_of,
    read_file,
    read_study,
)
from ariel_scripts.report.page import Section, page, without_folders
from ariel_scripts.report.planets import planet_data
from ariel_scripts.report.predictions import predicted
from ariel_scripts.report.statistics import planet_scores, score_terms
from ariel_scripts.run_record import Run, run_record
from ariel_scripts.versions import git_commit, versions
from hf_dataset import folders
from hf_dataset.digests import config_hash
from modeling_ariel.pipeline_ariel import torch_threads

logger = logging.getLogger(__name__)


def main(options: ReportOptions) -> None:
    """Write the page, and a record of the run beside it."""
    out, config = options.out, options.record()
    name = f"{out.stem}.run.json"
    with run_record(out.parent, "report", config, options.seed, name=name) as run:
        write_report(options, run)


def write_report(options: ReportOptions, run: Run) -> None:
    """Write the page of ``options``; what was found out goes into the ``run`` record."""
    _check_plotly()
    where = locate_dataset(options.dataset, options.dataset_revision)
    with run.timed("dataset"):
        study = read_study(where, options.split, options.limit)
    with run.timed("predictions"):
        given = _predictions(options, where)
    add_entries(study, given)
    study.listed = "planets" not in options.skipped
    with run.timed("sections"):
        sections, failed = make_sections(study, options, where)
    run.metrics.update(
        planets=len(study.planets),
        labelled=len(study.labelled),
        left_out=study.left_out,
        failed=failed,
    )
    known = _known(study, options, where, run)
    with run.timed("page"):
        shown = planet_data(study) if study.listed else {"ids": [], "entries": []}
        name = where.name if where.commit else Path(where.name).name
        about = _about(study)
        text = page(f"Spectra of {name}", about, sections, shown, without_folders(known))
        folders.write_bytes(options.out, text.encode())
    size = len(text.encode())
    run.metrics["bytes"] = size
    run.status = "incomplete" if failed else "done"
    logger.info("%s: %d planets, %.1f MB", options.out, len(study.planets), size / 1e6)


def _check_plotly() -> None:
    """The figures' library is of an extra, which not everybody installs."""
    if find_spec("plotly") is None:
        raise RuntimeError("ariel report: expected Plotly, found none: pip install 'ariel-hf[report]'")


def _known(study: Study, options: ReportOptions, where: Located, run: Run) -> dict[str, Any]:
    """What made the page, for its end."""
    commit = f", commit {where.commit}" if where.commit else ""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": f"{where.name}, split {options.split}{commit}",
        "git commit": git_commit() or "not a checkout",
        "config hash": config_hash(options.record()),
        "seed": options.seed,
        "command": options.record(),
        "predictions": [{"name": entry.name, "source": entry.source, **entry.facts} for entry in study.entries],
        "versions": {**versions(), "plotly": version("plotly")},
        "seconds": {name: round(seconds, 1) for name, seconds in run.durations.items()},
    }


def _about(study: Study) -> str:
    names = ", ".join(entry.name for entry in study.entries)
    known = len(study.labelled)
    truth = "all with known spectra" if known == len(study.planets) else f"{known} with known spectra"
    lost = "".join(
        f" {name} has no prediction for {len(missing)} planets, which are left out."
        for name, missing in study.left_out.items()
    )
    return (
        f"{len(study.planets)} planets of split {study.split}, {truth}, {int(study.visits.sum())} visits. "
        f"Predictions: {names}.{lost}"
    )


def _predictions(options: ReportOptions, where: Located) -> list[NamedPredictions]:
    """What models and files predict."""
    names = names_of([*options.models, *map(str, options.files)])
    files = [read_file(path) for path in options.files]  # what is wrong with them is said before the long part
    given = []
    for name, source in zip(names, options.models, strict=False):
        folder = options.out.with_name(f"{options.out.stem}.predictions")
        path = folder / f"{name.replace('/', '-')}.parquet"
        job = Job(
            options.dataset,
            (source,),
            path,
            revision=options.revision,
            split=options.split,
            device=options.device,
            workers=options.workers,
            limit=options.limit,
            dataset_revision=where.commit if where.revision else None,
        )
        latents = predicted(job)
        found, facts = read_file(path)
        given.append(NamedPredictions(name, source, found, latents, {**facts, "code": code_digest()}))
    for name, path, (found, facts) in zip(names[len(options.models) :], options.files, files, strict=True):
        given.append(NamedPredictions(name, str(path), found, {}, facts))
    return given


def make_sections(study: Study, options: ReportOptions, where: Located) -> tuple[list[Section], dict[str, str]]:
    """The sections of the page, and why some could not be made; those that were left out by option are not there."""
    truth = bool(len(study.labelled))
    seed = options.seed
    makers: dict[str, Callable[[], Section]] = {
        "summary": lambda: kinds.summary(study, seed),
        "planets": lambda: single.planets(study),
        "wavelengths": lambda: kinds.wavelengths(study, seed),
        "shapes": lambda: kinds.shapes(study),
        "embeddings": lambda: network.embeddings(study, options.embeddings, seed),
        "attributions": lambda: network.attributions(study, _attributed(study, options, where)),
        "calibration": lambda: single.calibration(study),
    }
    if truth:
        makers |= {
            "coverage": lambda: kinds.honesty(study),
            "likelihood": lambda: kinds.likelihood(study),
        }
        if len(study.entries) > 1:
            makers["comparison"] = lambda: kinds.comparison(study, seed)
    dropped = set(options.skipped)
    dropped |= {"attributions"} if not options.attributions else set()
    dropped |= {"embeddings"} if not options.embeddings else set()
    wanted = [name for name in SECTIONS if name in makers and name not in dropped]
    sections, failed = [], {}
    with tqdm(wanted, unit="section", desc="report") as bar:
        for name in bar:
            bar.set_postfix_str(name)
            began = time.perf_counter()
            section = _made(name, makers[name])
            for text in section.warnings:
                logger.warning("%s: %s", name, text)
                failed[name] = text
            logger.debug("%s: %.1f s", name, time.perf_counter() - began)
            sections.append(section)
    return sections, failed


def _made(name: str, maker: Callable[[], Section]) -> Section:
    """A section, or one that says why it could not be made: the others are not lost with it."""
    try:
        return maker()
    except Exception as error:
        logger.debug("%s", name, exc_info=True)
        text = f"This part could not be made: {type(error).__name__}: {error}"
        return Section(name, warnings=[text])


def _attributed(study: Study, options: ReportOptions, where: Located) -> list[tuple[Entry, Attribution]]:
    """Attributions of a few planets to the light curves that each model read."""
    if not options.models:
        return []
    chosen = _telling_planets(study, options.attributions)
    rows = rows_of(where, options.split, chosen)
    found = []
    with (
        tqdm(total=len(chosen) * len(options.models), unit="planet", desc="attributions") as bar,
        torch_threads(1),
    ):
        for entry, source in zip(study.entries, options.models, strict=False):
            member = load_member(source, options.revision, choose_device(options.device))
            for planet in chosen:
                found.append((entry, attribute(member, planet, rows[planet])))
                bar.update()
    return found


def _telling_planets(study: Study, count: int) -> list[int]:
    """Planets of the lowest, the highest and scores between; the first ones where no truth is known."""
    order: Sequence[int] = range(len(study.planets))
    if len(study.labelled):
        score = planet_scores(score_terms(*study.judged(study.entries[0]), "2024"))
        order = study.labelled[np.argsort(score, kind="stable")].tolist()
        places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
        order = [order[place] for place in places]
    return [int(study.planets[place]) for place in list(order)[:count]]
