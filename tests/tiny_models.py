"""Tiny untrained models and light curves for the tests of prediction and calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hf_dataset.simulation import planets
from modeling_ariel import ArielForSpectrumPrediction
from modeling_ariel.configuration_ariel import ArielConfig
from modeling_ariel.feature_extraction_ariel import ArielFeatureExtractor

BINS = 60
POPULATION = planets.sample_planets(7, 5, "2025")
IDS = sorted(planet.planet_id for planet in POPULATION)


def tiny(**choices: Any) -> ArielConfig:
    return ArielConfig(
        wavelength=planets.wavelengths_um("2025").tolist(), hidden_size=16, num_attention_heads=2, intermediate_size=16,
        num_hidden_layers=1, spectral_num_hidden_layers=1, patch_bins=20, **choices,
    )  # fmt: skip


def at_home(model: Any) -> Any:
    """A model of spectra that finds nothing far from its training."""
    for familiarity in getattr(model, "familiarities", ()):
        familiarity.limit.fill_(1e9)
    return model


def save_model(folder: Path, seed: int = 0, **choices: Any) -> Path:
    """A model that answers something different for every planet, without having learned it."""
    torch.manual_seed(seed)
    model = ArielForSpectrumPrediction(tiny(**choices))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and not parameter.any():  # the last layers, which start at zero
                parameter.normal_(std=0.02)
    at_home(model).save_pretrained(folder)
    ArielFeatureExtractor(wavelength=list(model.config.wavelength)).save_pretrained(folder)
    return folder
