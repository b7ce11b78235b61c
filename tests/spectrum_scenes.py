"""Six small simulated visits of four planets, what the classical fit makes of them, and tiny models to give them to.

25 channels and 90 bins are fitted in a tenth of a second; what is computed once is shared by all tests of a process.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hf_dataset.simulation import light_curves, planets
from modeling_ariel import ArielForPreTraining, ArielForSpectrumPrediction
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor
from modeling_ariel.physics import ClassicalPosterior
from modeling_ariel.populations import Population
from modeling_ariel.posterior import ScaleMixture
from modeling_ariel.retrieval import ClassicalFit, fit
from modeling_ariel.shared_parameters import shared_groups
from modeling_ariel.spectrum_prior import MIXTURE, SpectrumPrior

KEEP = np.r_[0, 1:283:12]  # FGS1 and every 12th AIRS channel
WAVELENGTH = planets.wavelengths_um("2025")[KEEP]
CHANNELS, BINS, PATCH, SHARED = len(KEEP), 90, 15, 23
PATCHES = BINS // PATCH
VISITS = ((0, 0), (1, 0), (0, 1), (2, 0), (3, 0), (3, 1))  # planet, visit
WITHOUT_TABLE = 2  # a planet
PLANETS = 4
STAR_TABLE = ("P", "sma", "i", "Ts")


@cache
def rows() -> tuple[dict[str, Any], ...]:
    """A row a visit, with spectrum; the third planet has no star table."""
    population = planets.sample_planets(PLANETS, 5, "2025")
    found = []
    for planet, visit in VISITS:
        row = light_curves.simulate_row(population[planet], visit, BINS, seed=1)
        row |= {name: row[name][:, KEEP] for name in ("flux", "flux_err", "valid")}
        row["spectrum"] = row["spectrum"][KEEP]
        if planet == WITHOUT_TABLE:
            row |= dict.fromkeys(population[planet].star_table(), np.float32(np.nan))
        found.append(row)
    return tuple(found)


def extractor(**changes: Any) -> ArielFeatureExtractor:
    return ArielFeatureExtractor(wavelength=WAVELENGTH.tolist(), **changes)


def features(visits: Any = None) -> dict[str, Tensor]:
    """Tensors of these visits, given by their numbers or as rows; default all."""
    chosen = range(len(VISITS)) if visits is None else visits
    return dict(extractor()([rows()[v] if isinstance(v, int) else v for v in chosen]))


def config(**changes: Any) -> ArielConfig:
    sizes: dict[str, Any] = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "pooling_queries": 2, "spectral_hidden_size": 24, "spectral_num_hidden_layers": 1, "decoder_hidden_size": 8,
        "patch_bins": PATCH,
    }  # fmt: skip
    return ArielConfig(wavelength=WAVELENGTH.tolist(), **(sizes | changes))


@cache
def prior() -> SpectrumPrior:
    """Mixture prior learned from other simulated planets."""
    truths = np.stack([planet.spectrum[KEEP] for planet in planets.sample_planets(80, 9, "2025")])
    return SpectrumPrior.fit(torch.as_tensor(truths), MIXTURE)


@cache
def population(with_table: bool) -> Population:
    """Narrower than the fit's own prior and off its mean."""
    draw = torch.Generator().manual_seed(3 + with_table)
    index = torch.arange(3 if with_table else 2, SHARED)
    root = 0.4 * torch.randn(len(index), len(index), generator=draw, dtype=torch.float64) / len(index) ** 0.5
    mean = 0.3 * torch.randn(len(index), generator=draw, dtype=torch.float64)
    covariance = root @ root.T + 0.05 * torch.eye(len(index), dtype=torch.float64)
    return Population(index, mean, covariance, float("inf") if with_table else 0.3, shared_groups(SHARED))


@cache
def fits() -> ClassicalFit:
    """Of all visits."""
    batch = features()
    star = {name: torch.tensor([row[name] for row in rows()]) for name in STAR_TABLE}
    curves = {name: batch[name] for name in ("time", "flux", "flux_err", "valid")}
    with torch.no_grad():
        return fit(curves | star, torch.as_tensor(WAVELENGTH).float().double())  # float32, as the model keeps it


def spectrum_model(seed: int = 0, learned: bool = True, stirred: float = 0.2, **changes: Any) -> Any:
    """A model in eval mode; its prior learned; ``stirred``: how much the head corrects, untaught."""
    torch.manual_seed(seed)
    model = ArielForSpectrumPrediction(config(**changes)).eval()
    if learned:
        model.physics.set_spectrum_prior(ScaleMixture.of(prior(), MIXTURE))
    if stirred:
        with torch.no_grad():
            for last in (model.head.level, model.head.channel):
                last.weight.normal_(std=stirred)
                last.bias.normal_(std=stirred)
    return model


def pretraining_model(seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    return ArielForPreTraining(config(**changes)).eval()


def backbone_inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name] for name in ("light_curve", "valid", "time", "centroid", "star_features")}


def as_inputs(posterior: ClassicalPosterior) -> dict[str, Tensor]:
    """The model's arguments that stand for a posterior."""
    names = ("mean", "sigma", "depth", "depth_sigma", "share", "shared", "shared_sigma")
    given = {f"classical_{name}": getattr(posterior, name).float() for name in names}
    return given | ({} if posterior.residual is None else {"residual": posterior.residual.float()})


@cache
def _prepared() -> tuple[dict[str, Tensor], ClassicalPosterior]:
    batch = features()
    with torch.no_grad():
        return batch, spectrum_model().physics.summarise(fits(), batch["planet"])


def prepared() -> dict[str, Tensor]:
    """All the model needs for all visits, without a fit."""
    batch, posterior = _prepared()
    names = ("light_curve", "valid", "time", "centroid", "star_features", "planet", "labels")
    return {name: batch[name].clone() for name in names} | as_inputs(posterior)
