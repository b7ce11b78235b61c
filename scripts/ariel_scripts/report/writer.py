"""The report from its options: predictions, sections, the page, and what is recorded of the run."""

from __future__ import annotations

import logging
import time
import webbrowser
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ariel_scripts.config_files import config_text
from ariel_scripts.opening.hub import Located, locate_dataset
from ariel_scripts.options.fields import values_of
from ariel_scripts.options.report import SECTIONS, ReportOptions
from ariel_scripts.plugins import REPORT_SECTIONS, distribution, plugins
from ariel_scripts.report import network, rules
from ariel_scripts.report import planets as single
from ariel_scripts.report import sections as kinds
from ariel_scripts.report.attributions import example_attributions
from ariel_scripts.report.data import Study, add_entries, read_study
from ariel_scripts.report.export import export
from ariel_scripts.report.links import config_of, links
from ariel_scripts.report.own import own_key, own_section
from ariel_scripts.report.page import NO_PLANETS, Section, page, stamp_of, without_folders
from ariel_scripts.report.planets import planet_data
from ariel_scripts.report.predictions import all_predictions
from ariel_scripts.report.verdict import verdict
from ariel_scripts.run_record import Run
from ariel_scripts.versions import git_commit, versions
from hf_dataset import folders
from hf_dataset.digests import config_hash
from hf_dataset.words import number_of

logger = logging.getLogger(__name__)


def write_report(options: ReportOptions, run: Run) -> None:
    """Write the page of ``options``; metrics go into the ``run`` record."""
    penalties = rules.asked(options)
    where = locate_dataset(options.dataset, options.dataset_revision)
    with run.timed("dataset"):
        study = read_study(where, options.split, options.limit)
    with run.timed("predictions"):
        predictions = all_predictions(options, where)
    add_entries(study, predictions)
    study.listed = "planets" not in options.skipped
    with run.timed("sections"):
        sections, failed = make_sections(study, options, where, penalties)
    own = {name: distribution(entry) for name, entry in own_sections(options).items()}
    run.metrics.update(
        planets=len(study.planets),
        labelled=len(study.labelled),
        left_out=study.left_out,
        failed=failed,
        own_sections=own,
    )
    shown = {section.key for section in sections}
    absent = [name for name in SECTIONS if name not in shown] + [name for name in own if own_key(name) not in shown]
    known = _known(study, options, where, run, absent)
    with run.timed("page"):
        planets = planet_data(study) if study.listed else NO_PLANETS
        name = where.name if where.commit else Path(where.name).name
        about = _about(study)
        around = links(options.out, where, known["predictions"])
        text = page(f"Spectra of {name}", about, sections, planets, without_folders(known), around)
        folders.write_bytes(config_of(options.out), config_text(values_of(options)).encode())
        folders.write_bytes(options.out, text.encode())
    if options.export is not None:
        with run.timed("export"):
            run.metrics["exported"] = export(options.export, sections, stamp_of(known))
    if options.open:
        webbrowser.open(options.out.resolve().as_uri())
    size = len(text.encode())
    run.metrics["bytes"] = size
    run.status = "incomplete" if failed else "done"
    logger.info("%s: %s, %.1f MB", options.out, number_of(len(study.planets), "planet"), size / 1e6)


def _known(study: Study, options: ReportOptions, where: Located, run: Run, absent: Sequence[str]) -> dict[str, Any]:
    """Provenance, shown at the page's end."""
    commit = f", commit {where.commit}" if where.commit else ""
    return {
        "not shown": ", ".join(absent),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "dataset": f"{where.name}, split {options.split}{commit}",
        "git commit": git_commit() or "not a checkout",
        "config hash": config_hash(options.record()),
        "seed": options.seed,
        "command": options.record(),
        "predictions": [{"name": entry.name, "source": entry.source, **entry.facts} for entry in study.entries],
        "versions": {**versions(), "plotly": version("plotly")},
        **({"own sections": own} if (own := run.metrics["own_sections"]) else {}),
        "seconds": {name: round(seconds, 1) for name, seconds in run.durations.items()},
    }


def _about(study: Study) -> str:
    names = ", ".join(entry.name for entry in study.entries)
    known = len(study.labelled)
    truth = "all with known spectra" if known == len(study.planets) else f"{known} with known spectra"
    lost = "".join(
        f" {name} has no prediction for {number_of(len(missing), 'planet')}, left out here."
        for name, missing in study.left_out.items()
    )
    return (
        f"{number_of(len(study.planets), 'planet')} of split {study.split}, {truth}, "
        f"{number_of(int(study.visits.sum()), 'visit')}. "
        f"Predictions: {names}.{lost}"
    )


def make_sections(
    study: Study, options: ReportOptions, where: Located, penalties: dict[str, Any] | None = None
) -> tuple[list[Section], dict[str, str]]:
    """The sections of the page that options do not skip and that have something to show, and why some of them failed.

    ``penalties``: physics rules that the spectra are held to.
    """
    makers = _makers(study, options, where, penalties)
    order = (*SECTIONS, *(name for name in makers if name not in SECTIONS))
    wanted = [name for name in order if name in makers and name not in options.skipped]
    found: dict[str, Section] = {}
    failed = {}
    with tqdm(total=len(wanted), unit="section", desc="report") as bar:
        for name in sorted(wanted, key="verdict".__eq__):  # which is to know what the others are
            bar.set_postfix_str(name)
            began = time.perf_counter()
            section = _made(name, partial(makers[name], found))
            if section is not None:
                found[name] = section
                for text in section.warnings:
                    logger.warning("%s: %s", name, text)
                    failed[name] = text
            logger.debug("%s: %.1f s", name, time.perf_counter() - began)
            bar.update()
    return [found[name] for name in order if name in found], failed


def own_sections(options: ReportOptions) -> dict[str, EntryPoint]:
    """Sections of other packages, by name, that the options do not skip."""
    found = plugins(REPORT_SECTIONS, SECTIONS)
    return {name: entry for name, entry in found.items() if name not in options.skipped}


Maker = Callable[[Collection[str]], Section | None]  # from the sections that there are


def _makers(study: Study, options: ReportOptions, where: Located, penalties: dict[str, Any] | None) -> dict[str, Maker]:
    """What makes each section that the study and the options can have."""
    seed = options.seed
    judged = None if penalties is None else rules.judged_by(study, penalties)
    broken = rules.broken_by(study, judged)
    makers: dict[str, Maker] = {
        "verdict": lambda shown: verdict(study, broken, shown),
        "summary": lambda _: kinds.summary(study, seed),
        "planets": lambda _: single.planets(study),
        "wavelengths": lambda _: kinds.wavelengths(study, seed),
        "shapes": lambda _: kinds.shapes(study, broken, seed),
        "calibration": lambda _: single.calibration(study),
    }
    if options.embeddings:
        makers["embeddings"] = lambda _: network.embeddings(study, options.embeddings, seed, broken)
    if options.attributions or options.asked:
        makers["attributions"] = lambda _: network.attributions(study, example_attributions(study, options, where))
    if penalties is not None and judged is not None:
        makers["rules"] = lambda _: rules.section(study, penalties, judged)
    if len(study.labelled):
        makers |= {"coverage": lambda _: kinds.coverage(study), "likelihood": lambda _: kinds.likelihood(study)}
        if len(study.entries) > 1:
            makers["comparison"] = lambda _: kinds.comparison(study, seed)
    for name, entry in own_sections(options).items():
        makers[name] = partial(_own, entry, study, seed)
    return makers


def _own(entry: EntryPoint, study: Study, seed: int, _: Collection[str]) -> Section | None:
    return own_section(entry, study, seed)


def _made(name: str, maker: Callable[[], Section | None]) -> Section | None:
    """A section, or the error in its place, so that the other sections are not lost."""
    try:
        return maker()
    except Exception as error:
        logger.debug("%s", name, exc_info=True)
        text = f"This part could not be made: {type(error).__name__}: {error}"
        return Section(name, warnings=[text])
