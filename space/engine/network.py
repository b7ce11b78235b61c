"""The checkpoint as the Space uses it: features and fits of one planet to its spectrum with parts and covariance."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging as library

import modeling_ariel
from engine.spectrum import Spectrum
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.physics import ClassicalPosterior, fit_inputs
from modeling_ariel.retrieval import ClassicalFit

SAMPLES = 16  # passes with dropout: their spread is known to 18 %
Record = TypeVar("Record")


class ModelError(ValueError):
    """A checkpoint that cannot be opened or cannot predict spectra."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A spectrum, and the posterior and network inputs that it came from."""

    spectrum: Spectrum
    classical: ClassicalPosterior
    inputs: Mapping[str, Tensor]


class Network:
    """A checkpoint, its twin that is always in training mode for dropout samples, and the feature extractor."""

    def __init__(self, source: str, revision: str | None, model: Any, extractor: Any, released: bool = False) -> None:
        self.source, self.revision, self.model, self.extractor = source, revision, model.eval(), extractor
        self.released = released  # the checkpoint that comes with the package
        if model.config.physics != "residual":
            raise ModelError(f"{source}: expected a model with physics='residual', found {model.config.physics!r}")
        dropout = max(model.config.hidden_dropout_prob, model.config.attention_probs_dropout_prob)
        self.sampler = copy.deepcopy(model).train() if dropout > 0 else None
        self.wavelength_um = np.asarray(model.config.wavelength, np.float64)
        self.wavelength_um.flags.writeable = False
        self.fit_wavelength = model.physics.wavelength.double()
        self.digest = _digest(model)
        self._lock = threading.Lock()  # dropout draws from the process's one generator

    @classmethod
    def open(cls, source: str | None = None, revision: str | None = None) -> Network:
        """A checkpoint folder or Hub id, default the released one; ModelError where it is none. No remote code runs."""
        if released := source is None:
            source = str(Path(str(modeling_ariel.__file__)).parent / "released")
        if revision is not None and Path(source).is_dir():
            raise ModelError(f"model revision {revision}: expected a model on the Hub, found the folder {source}")
        where: dict[str, Any] = {} if revision is None else {"revision": revision}
        try:
            with _quiet():
                loaded: Any = ArielForSpectrumPrediction.from_pretrained(source, output_loading_info=True, **where)
            model, info = loaded
            extractor = ArielFeatureExtractor.from_pretrained(source, **where)
        except (OSError, ValueError) as error:
            raise ModelError(f"{source}: expected a checkpoint, found: {error}") from error
        if missing := sorted(info["missing_keys"]):
            raise ModelError(f"{source}: expected a model that predicts spectra, missing {len(missing)} of its weights")
        return cls(source, revision, model, extractor, released)

    def fit_inputs(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the classical fit takes of the extractor's tensors."""
        return fit_inputs(features)

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
        classical = self.model.physics.summarise(fits, features["planet"])
        inputs = {key: value for key, value in features.items() if key != "labels"} | given(classical)
        with self._lock:
            found = self.model(**inputs)
            samples = self._samples(inputs, seed)
        mean, sigma = (_numpy(value)[0] for value in (found.mean, found.sigma))
        correlation = self._correlation(classical)
        deviation = (samples - samples.mean(0)) * _numpy(self.model.calibration.scale)
        epistemic_covariance = deviation.T @ deviation / len(samples)
        epistemic = np.minimum(np.sqrt(epistemic_covariance.diagonal()), sigma)
        aleatoric = np.sqrt(np.maximum(sigma**2 - epistemic**2, 0.0))
        classical_sigma = _numpy(classical.sigma)[0]
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
            classical_mean=_numpy(classical.mean)[0],
            classical_sigma=classical_sigma,
            truth=None if truth is None else _numpy(truth)[0],
            status=(classical.status or ["ok"])[0],
            star={column: float(np.nan if row.get(column) is None else row[column]) for column in STAR_COLUMNS},
            n_visits=len(rows),
            fit_depth=_numpy(classical.depth)[0],
            fit_sigma=_numpy(classical.depth_sigma)[0],
            covariance=correlation * np.outer(aleatoric, aleatoric) + _bounded(epistemic_covariance, epistemic),
            classical_covariance=correlation * np.outer(classical_sigma, classical_sigma),
            fit_covariance=_numpy(classical.covariance)[0],
            epistemic_covariance=_bounded(epistemic_covariance, epistemic),
            has_data=seen,
            reasons=tuple(reason for reason in fits.reasons if reason),
            notes=tuple(note for one in rows for note in one.get("notes", ())),
        )
        return Answer(freeze(spectrum), classical, inputs)

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and calibrated sigma (P, C) of prepared inputs."""
        with self._lock:
            found = self.model(**inputs)
        return _numpy(found.mean), _numpy(found.sigma)

    def _samples(self, inputs: Mapping[str, Tensor], seed: str) -> np.ndarray:
        """Means (S, C) with dropout; one, of no spread, where the model has none."""
        if self.sampler is None:
            return np.zeros((1, len(self.wavelength_um)))
        with torch.random.fork_rng([]):
            torch.manual_seed(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:7], "big"))
            return np.stack([_numpy(self.sampler(**inputs).mean)[0] for _ in range(SAMPLES)])

    def _correlation(self, classical: ClassicalPosterior) -> np.ndarray:
        """Correlations (C, C) of the classical posterior's errors, which the network's are taken to keep."""
        prior = self.model.physics.spectrum_prior().prior()
        _, spread = prior.posterior(classical.depth, classical.covariance)
        covariance = _numpy(spread)[0]
        size = np.sqrt(covariance.diagonal())
        return covariance / np.outer(size, size)


def given(classical: ClassicalPosterior) -> dict[str, Any]:
    """A posterior as the arguments of the model that spare it the fit."""
    names = ("mean", "sigma", "depth", "depth_sigma", "share", "shared", "shared_sigma")
    return {**{f"classical_{name}": getattr(classical, name) for name in names}, "residual": classical.residual}


def freeze(record: Record) -> Record:
    """The dataclass with its arrays made read-only: it is shared between users."""
    for one in dataclasses.fields(record):  # type: ignore[arg-type]
        value = getattr(record, one.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, np.ndarray):
                part.flags.writeable = False
            elif dataclasses.is_dataclass(part):
                freeze(part)
    return record


def _bounded(covariance: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The covariance (C, C) with ``sigma`` (C,) on its diagonal, where it is less."""
    size = np.sqrt(np.maximum(covariance.diagonal(), 1e-30))
    ratio = np.minimum(sigma / size, 1.0)
    return covariance * np.outer(ratio, ratio)


def _digest(model: Any) -> str:
    """Hash of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


class _quiet:
    """Without the library's progress bars and its lists of new weights."""

    def __enter__(self) -> None:
        self._level = library.get_verbosity()
        library.set_verbosity_error()
        library.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        library.set_verbosity(self._level)
