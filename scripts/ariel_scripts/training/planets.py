"""Labelled planets in memory: light curves, classical fits, and the classical posterior under a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ariel_scripts.training.augmentation import channel_levels, error_factor
from ariel_scripts.training.fits import classical_fit
from modeling_ariel.columns import STAR_COLUMNS
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.physics import ArielPhysics, PopulatedPlanet
from modeling_ariel.posterior import ScaleMixture, VisitPosterior
from modeling_ariel.retrieval import ClassicalFit, concatenate
from modeling_ariel.status import OK, TRUSTED, best_status, counted, planet_note
from modeling_ariel.visit_batch import relative_noise

Array = NDArray[np.floating[Any]]

_ROWS = 16  # read at a time
_CURVES = ("planet_id", "visit", "layout", "time", "flux", "flux_err", "valid", "centroid", "spectrum")
_LARGEST = 6e4  # of float16


@dataclass
class Curves:
    """Light curves of V visits, small enough to keep: T bins, C channels.

    ``time`` (V, T) [h]; ``light`` (V, T, C) float16, flux about its median [sigma]; ``inverse_error`` (V, T, C)
    float16, of relative flux, and ``noise`` (V, C) their typical error; ``valid`` (V, T, C); ``centroid`` (V, T, 4) and
    ``star_features`` (V, F), scaled; ``residual`` and ``transit`` (V, T, C) float16 of the fit, where there is one;
    ``star`` (V, 8) tables, NaN unknown.
    """

    time: NDArray[np.float32]
    light: NDArray[np.float16]
    inverse_error: NDArray[np.float16]
    noise: NDArray[np.float32]
    valid: NDArray[np.bool_]
    centroid: NDArray[np.float32]
    star_features: NDArray[np.float32]
    residual: NDArray[np.float16] | None
    transit: NDArray[np.float16] | None
    star: NDArray[np.float32] | None = None

    def relative(self, visit: int) -> tuple[Array, Array]:
        """Relative flux and its inverse error (T, C) float32."""
        inverse = self.inverse_error[visit].astype(np.float32)
        return 1.0 + self.light[visit].astype(np.float32) / np.maximum(inverse, 1e-3), inverse


@dataclass
class Planets:
    """P planets of V visits: ``ids``; ``truths`` (P, C), NaN where unlabelled; ``visits``, the numbers of theirs."""

    ids: list[int]
    truths: NDArray[np.float64]
    visits: list[list[int]]
    curves: Curves
    fits: ClassicalFit | None

    def __len__(self) -> int:
        """Number of planets."""
        return len(self.ids)

    def labelled(self) -> list[int]:
        """Planets with a spectrum and, where there are fits, at least one that can be trusted."""
        return [p for p in range(len(self)) if np.isfinite(self.truths[p]).all() and self.status(p) in TRUSTED]

    def status(self, planet: int) -> str:
        """How the best fit of a planet ended; "ok" where nothing was fitted."""
        if self.fits is None:
            return OK
        return best_status([self.fits.status[visit] for visit in self.visits[planet]])

    def note(self, planet: int) -> str:
        """What the fits of a planet note; empty where nothing was fitted."""
        if self.fits is None:
            return ""
        status, notes = ([texts[v] for v in self.visits[planet]] for texts in (self.fits.status, self.fits.notes))
        return planet_note(status, notes)


def read_planets(table: datasets.Dataset, extractor: ArielFeatureExtractor, wanted: set[int] | None = None) -> Planets:
    """The ``wanted`` planets (all, where None) of a dataset with or without the columns of `fitted`."""
    fitted = "fit_depth" in table.column_names
    columns = [*_CURVES, *STAR_COLUMNS] + [name for name in table.column_names if name.startswith("fit_")]
    ids = np.asarray(table.with_format("numpy")["planet_id"][:])
    rows = np.flatnonzero(np.isin(ids, list(wanted))) if wanted is not None else np.arange(len(ids))
    if not len(rows):
        raise ValueError("dataset: expected rows of the wanted planets, found none")
    table = table.select_columns(columns).with_format("numpy")
    parts = [_part(table[rows[start : start + _ROWS]], extractor, fitted) for start in range(0, len(rows), _ROWS)]
    merged: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "fits"
    }
    truth, planet = merged.pop("truth"), ids[rows].tolist()
    order = list(dict.fromkeys(planet))
    visits: dict[int, list[int]] = {identity: [] for identity in order}
    for visit, identity in enumerate(planet):
        visits[identity].append(visit)
    curves = Curves(residual=merged.pop("residual", None), transit=merged.pop("transit", None), **merged)
    truths = np.stack([truth[visits[identity][0]] for identity in order])
    fits = concatenate([part["fits"] for part in parts]) if fitted else None
    return Planets([int(identity) for identity in order], truths, list(visits.values()), curves, fits)


def _part(rows: Mapping[str, Any], extractor: ArielFeatureExtractor, fitted: bool) -> dict[str, Any]:
    """Arrays of a few rows."""
    size = len(rows["planet_id"])
    spectra = [rows["spectrum"][i] for i in range(size)]
    listed = [{name: rows[name][i] for name in (*_CURVES[:-1], *STAR_COLUMNS)} for i in range(size)]
    features = extractor(listed, return_tensors="np")
    flux, valid = np.asarray(features["flux"], np.float64), np.asarray(features["valid"], bool)
    level = np.stack([channel_levels(*pair) for pair in zip(flux, valid, strict=True)])[:, None]
    level = np.where(np.isfinite(level) & (level > 0), level, 1.0)
    inverse = np.minimum(level / np.asarray(features["flux_err"], np.float64), _LARGEST)
    light = np.where(valid, (flux / level - 1.0) * inverse, 0.0).clip(-_LARGEST, _LARGEST)
    channels = flux.shape[-1]
    truth = [np.full(channels, np.nan) if s is None or not len(s) else np.asarray(s, np.float64) for s in spectra]
    part = {
        "time": np.asarray(features["time"], np.float32),
        "light": light.astype(np.float16),
        "inverse_error": inverse.astype(np.float16),
        "noise": relative_noise(*map(torch.from_numpy, (flux / level, 1.0 / inverse, valid))).float().numpy(),
        "valid": valid,
        "centroid": np.asarray(features["centroid"], np.float32),
        "star_features": np.asarray(features["star_features"], np.float32),
        "star": np.asarray(features["star"], np.float32),
        "truth": np.stack(truth),
    }
    if not fitted:
        return part
    kept = {name: np.asarray(rows[f"fit_{name}"], np.float16) for name in ("residual", "transit")}
    return {**part, **kept, "fits": classical_fit(rows)}


@dataclass
class Classical:
    """The classical posterior of P planets, for any measured depths.

    ``depth``, ``depth_sigma`` (P, C); ``posterior`` for each planet's covariance; ``factor`` (P, C, C) turns normal
    draws into errors of depth, optional; ``shared``, ``shared_sigma`` (P, S).
    """

    depth: Tensor
    depth_sigma: Tensor
    posterior: VisitPosterior
    factor: Tensor | None
    shared: Tensor
    shared_sigma: Tensor

    @classmethod
    def of(
        cls,
        planets: Planets,
        chosen: Sequence[int],
        physics: ArielPhysics,
        priors: Sequence[ScaleMixture],
        with_errors: bool,
    ) -> Classical:
        """Of the ``chosen`` planets, the populations of ``physics`` and a prior over spectra for each planet."""
        if planets.fits is None:
            raise ValueError("physics='residual': expected a dataset with classical fits, found one without")
        parts, populations = [], physics.populations()
        with torch.no_grad():
            for planet, prior in zip(chosen, priors, strict=True):
                own = planets.visits[planet]
                kept = [own[place] for place in counted([planets.fits.status[visit] for visit in own])]
                found = physics.of_planet(planets.fits.select(torch.tensor(kept)), populations)
                parts.append(_one_planet(found, physics, prior, with_errors))
        merged: dict[str, Any] = {
            name: torch.cat([part[name] for part in parts]) for name in parts[0] if name != "posterior"
        }
        factor = merged.pop("factor", None)
        return cls(posterior=VisitPosterior.join([part["posterior"] for part in parts]), factor=factor, **merged)

    def inputs(self, places: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """The model's inputs for these planets, had their fits given ``depth`` (n, D, C), D times each: (n D, ...)."""
        draws = depth.shape[1]
        mean, sigma, share = self.posterior.select(places)(depth)
        values = {
            "classical_mean": mean.flatten(0, 1),
            "classical_sigma": sigma.flatten(0, 1),
            "classical_depth": depth.flatten(0, 1),
            "classical_depth_sigma": self.depth_sigma[places].repeat_interleave(draws, 0),
            "classical_share": share.flatten(0, 1),
            "classical_shared": self.shared[places].repeat_interleave(draws, 0),
            "classical_shared_sigma": self.shared_sigma[places].repeat_interleave(draws, 0),
        }
        return {name: value.double() for name, value in values.items()}


def _one_planet(
    found: PopulatedPlanet, physics: ArielPhysics, prior: ScaleMixture, with_errors: bool
) -> dict[str, Any]:
    shared, error = physics.standardised(found.visits)
    part: dict[str, Any] = {
        "depth": found.depth[None],
        "depth_sigma": found.covariance.diagonal().sqrt()[None],
        "posterior": VisitPosterior.prepare(prior, found.covariance[None]).to(torch.float32),
        "shared": shared.mean(0, keepdim=True),
        "shared_sigma": error.mean(0, keepdim=True),
    }
    return {**part, "factor": error_factor(found.covariance[None])} if with_errors else part
