"""Predictions for the report: made as `ariel predict` does, kept beside it, with the network's state of each planet."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers.feature_extraction_utils import BatchFeature

from ariel_scripts.opening.hub import Located
from ariel_scripts.options.fields import taken
from ariel_scripts.options.report import ReportOptions
from ariel_scripts.prediction.fit_pool import keep_memory
from ariel_scripts.prediction.job import Job, Prepared, predict
from ariel_scripts.prediction.predictor import Member, code_digest
from ariel_scripts.report.data import NamedPredictions, names_of, read_file
from hf_dataset import folders
from hf_dataset.digests import config_hash
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.spectrum_model import Correction

logger = logging.getLogger(__name__)


class Latents:
    """The network's state (D,) of each planet that a model has predicted, kept in a file.

    Of this package's transformer it is the mean of the tokens that its head reads; of other networks the features by
    which they tell how far a planet is from training.

    The file holds a hash of the settings; latents of other settings are dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = ""
        self.by_planet: dict[int, np.ndarray] = {}

    def open(self, settings: dict[str, Any]) -> None:
        """Load the latents of an earlier run with the same settings."""
        self.settings = config_hash(settings)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                if str(file["settings"]) == self.settings:
                    self.by_planet = dict(zip(file["planet_id"].tolist(), file["latent"], strict=True))
        except (OSError, ValueError, KeyError):
            self.by_planet = {}

    def save(self) -> None:
        """Write them whole or not at all."""
        if not self.by_planet:
            return
        file = io.BytesIO()
        np.savez_compressed(
            file,
            settings=np.array(self.settings),
            planet_id=np.array(list(self.by_planet), np.int64),
            latent=np.stack(list(self.by_planet.values())),
        )
        folders.write_bytes(self.path, file.getvalue())

    def watch(self, member: Member) -> None:
        """Keep the model's states from now on, under the planets that its extractor was given last."""
        extractor, network = member.extractor, member.model.network
        batch: list[int] = []

        def extract(rows: Any, **options: Any) -> BatchFeature:
            listed = rows if isinstance(rows, list) else [rows]
            batch[:] = dict.fromkeys(int(row["planet_id"]) for row in listed)
            return extractor(rows, **options)

        def keep(states: Tensor) -> None:
            if len(states) == len(batch):
                self.by_planet |= dict(zip(batch, states.detach().float().cpu().numpy(), strict=True))

        def pooled(head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            _, _, tokens, used = inputs
            share = used.to(tokens.dtype)[..., None]
            keep((tokens * share).sum(1) / share.sum(1).clamp_min(1.0))

        def answered(*given: Any, **wanted: Any) -> Correction:
            found = network(*given, **wanted)
            keep(found.features)
            return found

        member.extractor = extract
        if isinstance(member.model, ArielForSpectrumPrediction):
            member.model.head.register_forward_pre_hook(pooled)
        else:
            member.model.network = answered


def all_predictions(options: ReportOptions, where: Located) -> list[NamedPredictions]:
    """What the models and files of the options predict; predictions of models are kept beside the report."""
    names = names_of([*options.models, *map(str, options.files)])
    files = [read_file(path) for path in options.files]  # refused before predictions take their time
    named = []
    for name, source in zip(names, options.models, strict=False):
        folder = options.out.with_name(f"{options.out.stem}.predictions")
        path = folder / f"{name.replace('/', '-')}.parquet"
        commit = where.commit if where.revision else None
        # the options' seed is that of the page
        job = taken(Job, options, models=(source,), out=path, dataset_revision=commit, seed=0)
        latents = predicted(job)
        found, facts, network = read_file(path)
        named.append(NamedPredictions(name, source, found, latents, {**facts, "code": code_digest()}, network))
    for name, path, (found, facts, network) in zip(names[len(options.models) :], options.files, files, strict=True):
        named.append(NamedPredictions(name, str(path), found, {}, facts, network))
    return named


def predicted(job: Job) -> dict[int, np.ndarray]:
    """Write the predictions of ``job``, unless they are there already with the same settings; the planets' latents."""
    latents = Latents(job.out.with_suffix(".latents.npz"))
    stamp = job.out.with_suffix(".settings.json")
    prepared = job.prepare()
    settings = _settings(prepared)
    latents.open(settings)
    if job.out.is_file() and folders.read_json(stamp) == settings:
        logger.info("%s: predictions of an earlier run with the same model and dataset", job.out)
        return latents.by_planet
    for member in prepared.members:
        latents.watch(member)

    stamp.unlink(missing_ok=True)
    keep_memory()
    try:
        predict(job, False, prepared)
    finally:
        latents.save()
    folders.write_json(stamp, settings)
    return latents.by_planet


def _settings(prepared: Prepared) -> dict[str, Any]:
    """What decides the answer. How many planets are taken at a time does not: a planet's is the same in any company."""
    return {name: value for name, value in prepared.settings().items() if name != "batch"}
