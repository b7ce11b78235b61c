"""`ariel report DATASET --model MODEL --out report.html`: one HTML page, for whoever must trust predicted spectra."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ariel_scripts.command_line import Run, run_record, run_script
from ariel_scripts.opening.datasets import DatasetRevision, ModelRevision

if TYPE_CHECKING:
    from ariel_scripts.opening.hub import Located
    from ariel_scripts.report.data import NamedPredictions, Study
    from ariel_scripts.report.text import Section

logger = logging.getLogger(__name__)

SECTIONS = ("summary", "comparison", "planets", "wavelengths", "coverage", "likelihood", "shapes", "embeddings",
            "attributions", "calibration")  # fmt: skip
METHODS = ("pca", "umap", "tsne")


def main(
    dataset: Annotated[str, typer.Argument(help="Dataset folder or Hub id of light curves.")],
    out: Annotated[Path, typer.Option(help="The page, HTML; predictions and run record are kept beside it.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Model folder or Hub id, or released; several times to compare. Default: released."),
    ] = None,
    predictions: Annotated[
        list[Path] | None, typer.Option(help="Predictions to report on as they are, Parquet; several times to compare.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the dataset.")] = "train",
    revision: ModelRevision = None,
    dataset_revision: DatasetRevision = None,
    limit: Annotated[int | None, typer.Option(help="At most this many planets.", min=1)] = None,
    skip: Annotated[list[str] | None, typer.Option(help=f"Section to leave out: {', '.join(SECTIONS)}.")] = None,
    embed: Annotated[str, typer.Option(help="Pictures of the latents, with commas: pca, umap, tsne.")] = "pca",
    attributions: Annotated[int, typer.Option(help="Planets with attributions for each model; 0 for none.", min=0)] = 3,
    workers: Annotated[int, typer.Option(help="Processes for the classical fits; 0: one a core.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the bootstrap and the embeddings.", min=0)] = 0,
) -> None:
    """Write a page about predicted spectra: scores, errors, honesty, planets, what the network looks at, and why.

    Predictions that are not given are made, as by ariel predict, and kept in OUT's folder: a second report reads them,
    an interrupted one goes on. The page is one file that opens from disk.

    Example: ariel report light-curves --split test --out run/report.html

    Example: ariel report light-curves --model fold0 --predictions run/classical.parquet --out run/report.html
    """
    options = Options(
        dataset, out, tuple(model or ([] if predictions else ["released"])), tuple(predictions or ()), split, revision,
        dataset_revision, limit, frozenset(skip or ()), _methods(embed), attributions, workers, device, seed,
    )  # fmt: skip
    if unknown := sorted(options.skip - set(SECTIONS)):
        raise typer.BadParameter(f"--skip: expected {', '.join(SECTIONS)}, found {', '.join(unknown)}")
    with run_record(out.parent, "report", options.record(), seed, name=f"{out.stem}.run.json") as run:
        write_report(options, run)


def _methods(text: str) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := sorted(set(methods) - set(METHODS)):
        raise typer.BadParameter(f"--embed: expected some of {', '.join(METHODS)}, found {', '.join(unknown)}")
    return methods


@dataclass(frozen=True)
class Options:
    """What is asked for; see the options of the command."""

    dataset: str
    out: Path
    models: tuple[str, ...] = ("released",)
    predictions: tuple[Path, ...] = ()
    split: str = "train"
    revision: str | None = None
    dataset_revision: str | None = None
    limit: int | None = None
    skip: frozenset[str] = frozenset()
    embed: tuple[str, ...] = ("pca",)
    attributions: int = 3
    workers: int = 0
    device: str = "auto"
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in vars(self).items()}


def write_report(options: Options, run: Run) -> None:
    """Write the page of ``options``; what was found out goes into the ``run`` record."""
    try:
        import plotly
    except ImportError as error:
        raise RuntimeError("ariel report: expected Plotly, found none: pip install 'ariel-hf[report]'") from error

    from ariel_scripts.command_line import config_hash, git_commit, versions
    from ariel_scripts.opening.hub import locate_dataset
    from ariel_scripts.report.data import add_entries, read_study
    from ariel_scripts.report.page import page, without_folders
    from ariel_scripts.report.planets import planet_data
    from hf_dataset import folders

    where = locate_dataset(options.dataset, options.dataset_revision)
    with run.timed("dataset"):
        study = read_study(where, options.split, options.limit)
    with run.timed("predictions"):
        given = _predictions(options, where)
    add_entries(study, given)
    study.listed = "planets" not in options.skip
    with run.timed("sections"):
        sections, failed = make_sections(study, options, where)
    run.metrics.update(planets=len(study.planets), labelled=len(study.labelled), left_out=study.left_out, failed=failed)
    known = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": f"{where.name}, split {options.split}" + (f", commit {where.commit}" if where.commit else ""),
        "git commit": git_commit() or "not a checkout",
        "config hash": config_hash(options.record()),
        "seed": options.seed,
        "command": options.record(),
        "predictions": [{"name": entry.name, "source": entry.source, **entry.facts} for entry in study.entries],
        "versions": {**versions(), "plotly": plotly.__version__},
        "seconds": {name: round(seconds, 1) for name, seconds in run.durations.items()},
    }
    with run.timed("page"):
        shown = planet_data(study) if study.listed else {"ids": [], "entries": []}
        name = where.name if where.commit else Path(where.name).name
        text = page(f"Spectra of {name}", _about(study), sections, shown, without_folders(known))
        folders.write_bytes(options.out, text.encode())
    run.metrics["bytes"] = len(text.encode())
    run.status = "incomplete" if failed else "done"
    logger.info("%s: %d planets, %.1f MB", options.out, len(study.planets), len(text.encode()) / 1e6)


def _about(study: Study) -> str:
    names = ", ".join(entry.name for entry in study.entries)
    known = len(study.labelled)
    truth = "all with known spectra" if known == len(study.planets) else f"{known} with known spectra"
    lost = "".join(f" {name} has no prediction for {len(missing)} planets, which are left out."
                   for name, missing in study.left_out.items())  # fmt: skip
    return (
        f"{len(study.planets)} planets of split {study.split}, {truth}, {int(study.visits.sum())} visits. "
        f"Predictions: {names}.{lost}"
    )


def _predictions(options: Options, where: Located) -> list[NamedPredictions]:
    """What models and files predict."""
    from ariel_scripts.prediction.job import Job
    from ariel_scripts.prediction.predictor import code_digest
    from ariel_scripts.report.data import NamedPredictions, names_of, read_file
    from ariel_scripts.report.predictions import predicted

    names = names_of([*options.models, *map(str, options.predictions)])
    files = [read_file(path) for path in options.predictions]  # what is wrong with them is said before the long part
    given = []
    for name, source in zip(names, options.models, strict=False):
        folder = options.out.with_name(f"{options.out.stem}.predictions")
        path = folder / f"{name.replace('/', '-')}.parquet"
        job = Job(
            options.dataset, (source,), path, revision=options.revision, split=options.split, device=options.device,
            workers=options.workers, limit=options.limit, dataset_revision=where.commit if where.revision else None,
        )  # fmt: skip
        latents = predicted(job)
        found, facts = read_file(path)
        given.append(NamedPredictions(name, source, found, latents, {**facts, "code": code_digest()}))
    for name, path, (found, facts) in zip(names[len(options.models) :], options.predictions, files, strict=True):
        given.append(NamedPredictions(name, str(path), found, {}, facts))
    return given


def make_sections(study: Study, options: Options, where: Located) -> tuple[list[Section], dict[str, str]]:
    """The sections of the page, and why some could not be made; those that were left out by option are not there."""
    from tqdm import tqdm

    from ariel_scripts.report import network
    from ariel_scripts.report import planets as single
    from ariel_scripts.report import sections as kinds

    truth = bool(len(study.labelled))
    seed = options.seed
    makers: dict[str, Callable[[], Section]] = {
        "summary": lambda: kinds.summary(study, seed),
        "planets": lambda: single.planets(study),
        "wavelengths": lambda: kinds.wavelengths(study, seed),
        "shapes": lambda: kinds.shapes(study),
        "embeddings": lambda: network.embeddings(study, options.embed, seed),
        "attributions": lambda: network.attributions(study, _attributed(study, options, where)),
        "calibration": lambda: single.calibration(study),
    }
    if truth:
        makers |= {"coverage": lambda: kinds.honesty(study), "likelihood": lambda: kinds.likelihood(study)}
        if len(study.entries) > 1:
            makers["comparison"] = lambda: kinds.comparison(study, seed)
    dropped = set(options.skip)
    dropped |= {"attributions"} if not options.attributions else set()
    dropped |= {"embeddings"} if not options.embed else set()
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
    from ariel_scripts.report.text import Section

    try:
        return maker()
    except Exception as error:
        logger.debug("%s", name, exc_info=True)
        text = f"This part could not be made: {type(error).__name__}: {error}"
        return Section(name, name.capitalize(), "", warnings=[text])


def _attributed(study: Study, options: Options, where: Located) -> list[tuple[Any, Any]]:
    """Attributions of a few planets to the light curves that each model read."""
    from tqdm import tqdm

    from ariel_scripts.opening.models import one_thread
    from ariel_scripts.prediction.predictor import choose_device, load_member
    from ariel_scripts.report.attributions import attribute, rows_of

    if not options.models:
        return []
    chosen = _telling_planets(study, options.attributions)
    rows = rows_of(where, options.split, chosen)
    found = []
    with tqdm(total=len(chosen) * len(options.models), unit="planet", desc="attributions") as bar, one_thread():
        for entry, source in zip(study.entries, options.models, strict=False):
            member = load_member(source, options.revision, choose_device(options.device))
            for planet in chosen:
                found.append((entry, attribute(member, planet, rows[planet])))
                bar.update()
    return found


def _telling_planets(study: Study, count: int) -> list[int]:
    """Planets of the lowest, the highest and scores between; the first ones where no truth is known."""
    import numpy as np

    from ariel_scripts.report.statistics import planet_scores, score_terms

    order: Sequence[int] = range(len(study.planets))
    if len(study.labelled):
        score = planet_scores(score_terms(*study.judged(study.entries[0]), "2024"))
        order = study.labelled[np.argsort(score, kind="stable")].tolist()
        places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
        order = [order[place] for place in places]
    return [int(study.planets[place]) for place in list(order)[:count]]


if __name__ == "__main__":
    run_script(main)
