"""The checkpoint: from features and fits of one planet to its spectrum, σ's parts and covariance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from engine.spectrum import Spectrum
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.physics import ClassicalPosterior
from modeling_ariel.pipeline_ariel import (
    RELEASED_FOLDER,
    ArielPipeline,
    classical_inputs,
    to_numpy,
)
from modeling_ariel.retrieval import ClassicalFit

SAMPLES = 16  # passes with dropout: gives their spread to 18 %
Record = TypeVar("Record")


@dataclass(frozen=True, eq=False)
class Answer:
    """A spectrum, with the posterior and the network inputs behind it."""

    spectrum: Spectrum
    classical: ClassicalPosterior
    inputs: Mapping[str, Tensor]


class Network:
    """The pipeline of a checkpoint."""

    def __init__(self, pipeline: ArielPipeline, revision: str | None, released: bool) -> None:
        self.pipeline, self.revision = pipeline, revision
        self.source, self.digest = pipeline.source, pipeline.digest
        self.released = released  # the checkpoint that comes with the package
        if not pipeline.has_fit:
            raise ValueError(f"{self.source}: expected a model with physics='residual', found one without a fit")
        self.wavelength_um = np.asarray(pipeline.model.config.wavelength, np.float64)
        self.wavelength_um.flags.writeable = False

    @classmethod
    def open(cls, source: str | None = None, revision: str | None = None) -> Network:
        """A checkpoint folder or Hub id, default the released one; ValueError if it is no checkpoint."""
        folder = str(RELEASED_FOLDER) if source is None else source
        return cls(ArielPipeline.from_pretrained(folder, revision), revision, source is None)

    @torch.no_grad()
    def answer(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        features: Mapping[str, Tensor],
        fits: ClassicalFit,
        seed: str,
    ) -> Answer:
        """The spectrum of one planet; ``seed`` decides the dropout samples."""
        classical = self.pipeline.posterior(fits, features["planet"])
        inputs = {key: value for key, value in features.items() if key != "labels"}
        inputs |= classical_inputs(classical)
        moments, distance = self.pipeline.moments(inputs, 0, seed)
        mean, sigma = moments.mean[0], moments.sigma[0]
        told = self.pipeline.model.told(distance, classical)["notes"]
        correlation = self._correlation(classical)
        samples = self._samples(inputs, seed)
        deviation = (samples - samples.mean(0)) * self.pipeline.spread_factor
        epistemic_covariance = deviation.T @ deviation / len(samples)
        epistemic = np.minimum(np.sqrt(epistemic_covariance.diagonal()), sigma)
        aleatoric = np.sqrt(np.maximum(sigma**2 - epistemic**2, 0.0))
        classical_sigma = to_numpy(classical.sigma)[0]
        seen = np.any(features["valid"].numpy(), axis=(0, 1))
        truth = features.get("labels")
        row = rows[0]
        spectrum = Spectrum(
            name=name,
            wavelength_um=self.wavelength_um,
            mean=np.maximum(mean, 0.0),  # as `ariel predict` writes it: a depth cannot be negative
            sigma=sigma,
            sigma_aleatoric=aleatoric,
            sigma_epistemic=epistemic,
            classical_mean=to_numpy(classical.mean)[0],
            classical_sigma=classical_sigma,
            truth=None if truth is None else to_numpy(truth)[0],
            status=(classical.status or ["ok"])[0],
            star={column: float(np.nan if row.get(column) is None else row[column]) for column in STAR_COLUMNS},
            n_visits=len(rows),
            fit_depth=to_numpy(classical.depth)[0],
            fit_sigma=to_numpy(classical.depth_sigma)[0],
            covariance=correlation * np.outer(aleatoric, aleatoric) + _bounded(epistemic_covariance, epistemic),
            classical_covariance=correlation * np.outer(classical_sigma, classical_sigma),
            fit_covariance=to_numpy(cast(Tensor, classical.covariance))[0],
            epistemic_covariance=_bounded(epistemic_covariance, epistemic),
            has_data=seen,
            notes=tuple(filter(None, (*told, *(note for one in rows for note in one.get("notes", ()))))),
        )
        return Answer(freeze(spectrum), classical, inputs)

    def _samples(self, inputs: Mapping[str, Tensor], seed: str) -> np.ndarray:
        """Means (S, C) with dropout; one of zeros where the model has no dropout."""
        if not self.pipeline.has_dropout:
            return np.zeros((1, len(self.wavelength_um)))
        return self.pipeline.sample(inputs, SAMPLES, seed)[0][:, 0]

    def _correlation(self, classical: ClassicalPosterior) -> np.ndarray:
        """Correlations (C, C) of the classical posterior's errors, assumed for the network's too."""
        prior = self.pipeline.model.physics.spectrum_prior().prior()
        _, spread = prior.posterior(classical.depth, classical.covariance)
        covariance = to_numpy(spread)[0]
        size = np.sqrt(covariance.diagonal())
        return covariance / np.outer(size, size)


def freeze(record: Record) -> Record:
    """The dataclass with read-only arrays, as it is shared between users."""
    for one in dataclasses.fields(record):  # type: ignore[arg-type]
        value = getattr(record, one.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
            elif dataclasses.is_dataclass(part):
                freeze(part)
    return record


def _bounded(covariance: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The covariance (C, C) scaled so that no standard deviation exceeds ``sigma`` (C,)."""
    size = np.sqrt(np.maximum(covariance.diagonal(), 1e-30))
    ratio = np.minimum(sigma / size, 1.0)
    return covariance * np.outer(ratio, ratio)
