"""A prediction job: the planets of a split, by one model or an ensemble, resumed where it stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from tqdm import tqdm

from ariel_scripts.determinism import deterministic
from ariel_scripts.opening.datasets import count_visits, load_arguments, open_split, wavelengths_of
from ariel_scripts.opening.hub import Located, locate_dataset
from ariel_scripts.prediction.fit_pool import FitPool
from ariel_scripts.prediction.predictor import (
    Member,
    PlanetRows,
    batch_size,
    choose_device,
    code_digest,
    load_members,
    predict_planets,
)
from ariel_scripts.prediction.resuming import Part, Parts
from ariel_scripts.run_record import run_record
from hf_dataset.digests import config_hash
from hf_dataset.words import number_of
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.predictions import check_name, write_predictions
from modeling_ariel.status import count_statuses, counts_text

logger = logging.getLogger(__name__)

# the true spectra are not even read
COLUMNS = ("planet_id", "visit", "time", "flux", "flux_err", "valid", "centroid", *STAR_COLUMNS)
AIRS_TOLERANCE_UM = 2e-3  # a quarter of a channel: a warning
OTHER_CHANNEL_UM = 5e-3  # the narrowest spacing: an error, as in training


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to predict, with which models; see the options of `ariel predict`."""

    dataset: str
    models: tuple[str, ...]
    out: Path
    revision: str | None = None
    split: str = "train"
    batch: str = "auto"
    device: str = "auto"
    samples: int = 0
    workers: int = 0
    limit: int | None = None
    seed: int = 0
    only: frozenset[int] | None = None  # planets to predict; None for all
    dataset_revision: str | None = None
    deterministic: bool = False
    architecture: str | None = None

    @property
    def parts_folder(self) -> Path:
        """Where finished batches are kept until the output is whole."""
        return self.out.with_name(f".{self.out.stem}.parts")

    def prepare(self, growing: str | None = None) -> Prepared:
        """Models and the list of planets; ValueError where something doesn't fit together. growing: see Prepared."""
        check_name(self.out)
        curves = locate_dataset(self.dataset, self.dataset_revision)
        index = count_visits(curves, self.split, self.limit if self.only is None else None)
        if self.only is not None:
            index = dict([item for item in index.items() if item[0] in self.only][: self.limit])
            if not index:
                raise ValueError(
                    f"{self.dataset}: split {self.split!r} has none of the {len(self.only)} planets wanted"
                )
        device = choose_device(self.device)
        members = load_members(self.models, self.revision, device, self.samples, self.architecture)
        row = next(iter(stream_rows(curves, self.split, ("layout", "time"))))
        _check_wavelengths(members[0].model.config.wavelength, wavelengths_of(curves, str(row["layout"])))
        visits = max(index.values())
        size = batch_size(self.batch, device, visits * len(row["time"]))
        return Prepared(self, curves, index, members, size, growing)


@dataclass
class Prepared:
    """A job with its ``curves`` found, its models loaded and ``index``, the number of visits of each planet.

    growing: of a dataset that is still being built, a hash of what makes it, in place of one of its files.
    """

    job: Job
    curves: Located
    index: dict[int, int]
    members: list[Member]
    batch: int
    growing: str | None = None

    def settings(self) -> dict[str, Any]:
        """All that decides the result: parts of a run with others are not continued."""
        return {
            "models": [member.digest for member in self.members],
            "dataset": self.growing or dataset_fingerprint(self.curves, self.job.split, self.index),
            "split": self.job.split,
            "limit": self.job.limit,
            "samples": self.job.samples,
            "seed": self.job.seed,
            "batch": self.batch,
            "device": str(self.members[0].device.type),
            "deterministic": self.job.deterministic,
            "code": code_digest(),
        }

    def parts(self, restart: bool = False) -> Parts:
        """What is predicted already, kept beside the job's output; its batch is taken over where any will do."""
        job, free = self.job, ("batch",) * (self.job.batch == "auto")
        parts = Parts.open(job.parts_folder, self.settings(), restart, free=free)
        self.batch = parts.settings["batch"]
        return parts

    def plan(self) -> str:
        """What a run would do."""
        job = self.job
        models = ", ".join(f"{member.source} ({member.digest[:8]})" for member in self.members)
        return (
            f"would predict {number_of(len(self.index), 'planet')}, {number_of(sum(self.index.values()), 'visit')} of "
            f"{job.dataset}, split {job.split}, {number_of(self.batch, 'planet')} at a time on "
            f"{self.members[0].device}, with {models}"
            + (f", {job.samples} dropout samples each" if job.samples else "")
            + f": {job.out}"
        )


def predict(job: Job, restart: bool = False, prepared: Prepared | None = None) -> dict[int, str]:
    """Write the predictions of ``job``; reasons of planets that were refused.

    prepared: the job's, where the caller has it; else it is prepared now.
    """
    config = {**job.__dict__, "models": list(job.models), "out": str(job.out)}
    config["only"] = None if job.only is None else sorted(job.only)
    with run_record(job.out.parent, "predict", config, job.seed, name=f"{job.out.stem}.run.json") as run:
        with run.timed("load"):
            prepared = prepared or job.prepare()
        parts = prepared.parts(restart)
        resumed = len(parts.planets)
        fits = FitPool(job.workers, sum(prepared.index.values()))
        with run.timed("predict"), deterministic(job.deterministic), fits as pool:
            start = time.perf_counter()
            for part in predict_parts(prepared, parts, pool):
                parts.add(part)
            seconds = time.perf_counter() - start
        predictions, refused = parts.finish()
        counts = count_statuses(predictions.extra["status"])
        new = len(prepared.index) - resumed
        run.metrics.update(
            planets=len(predictions.planet_id),
            status=counts,
            refused={str(planet): why for planet, why in refused.items()},
            resumed=resumed,
            batch=prepared.batch,
            planets_per_second=round(new / seconds, 3),
            models=parts.settings["models"],
            samples=job.samples,
            dataset=prepared.curves.record(),
            sources=[member.located.record() for member in prepared.members],
        )
        run.status = "done" if not refused else "incomplete"
        write_predictions(job.out, predictions, run.record())
        parts.remove()
    logger.info("%s: %s, %s", job.out, number_of(len(predictions.planet_id), "planet"), counts_text(counts))
    if refused:
        logger.warning("refused: %s: %s", number_of(len(refused), "planet"), sorted(refused)[:5])
    return refused


def predict_parts(prepared: Prepared, parts: Parts, pool: FitPool, whole: bool = False) -> Iterator[Part]:
    """A part for each batch of planets that is not done yet; ``whole``: of full batches alone, as more planets come."""
    job, done = prepared.job, set(parts.planets)
    with tqdm(total=len(prepared.index), initial=len(done), unit="planet", desc="predict") as bar:
        for number, planets in enumerate(planet_batches(prepared, done, whole), start=parts.count):
            part = predict_planets(prepared.members, planets, job.samples, (job.seed, number), pool)
            for planet, reason in part.refused.items():
                logger.warning("planet %d refused: %s", planet, reason)
            yield part
            bar.update(len(planets))


def planet_batches(prepared: Prepared, done: set[int], whole: bool = False) -> Iterator[PlanetRows]:
    """Planets that are not ``done`` with the rows of all their visits, a batch at a time, of one length in time.

    whole: without a last batch that is not full.
    """
    waiting: dict[int, list[dict[str, Any]]] = {}
    batch: list[tuple[int, list[dict[str, Any]]]] = []
    left = len(prepared.index) - len(done)
    for row in stream_rows(prepared.curves, prepared.job.split):
        planet = int(row["planet_id"])
        if not left:
            break
        if planet not in prepared.index or planet in done:
            continue
        waiting.setdefault(planet, []).append(row)
        if len(waiting[planet]) < prepared.index[planet]:
            continue
        visits = sorted(waiting.pop(planet), key=lambda visit: int(visit["visit"]))
        left -= 1
        if batch and len(batch[0][1][0]["time"]) != len(row["time"]):
            yield batch
            batch = []
        batch.append((planet, visits))
        if len(batch) == prepared.batch:
            yield batch
            batch = []
    if batch and not whole:
        yield batch


def stream_rows(dataset: str | Located, split: str, columns: Sequence[str] = COLUMNS) -> datasets.IterableDataset:
    """The rows of a split with these columns, as NumPy arrays."""
    return open_split(dataset, split, columns).with_format("numpy")


def _check_wavelengths(expected: list[float], found: np.ndarray) -> None:
    if len(expected) != len(found):
        raise ValueError(f"dataset: expected the model's {len(expected)} channels, found {len(found)}")
    off = float(np.abs(np.asarray(expected) - found)[1:].max(initial=0.0))
    if off > OTHER_CHANNEL_UM:
        raise ValueError(f"dataset: expected the model's wavelengths, found AIRS channels {off:.3f} um off")
    if off > AIRS_TOLERANCE_UM:
        logger.warning("the model is for other wavelengths than the dataset's: AIRS channels differ by %.3f um", off)


def dataset_fingerprint(dataset: Located, split: str, index: dict[int, int]) -> str:
    """Hash of what the split holds: its planets and visits, its files and their versions (times, or commit)."""
    files: Any = datasets.load_dataset_builder(**load_arguments(dataset)).config.data_files or {}
    listed = files.get(split, [])
    names = [Path(str(name)).name for name in listed]
    return config_hash({"planets": list(index.items()), "files": names, "of": getattr(listed, "origin_metadata", [])})
