"""Coverage: how often the truth is inside the stated intervals, as recorded by `ariel calibrate` or measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from engine.records import Reliability
from engine.spectrum import Spectrum
from modeling_ariel.scoring import BANDS
from modeling_ariel.uncertainty import band_groups, coverage_curve, z_histogram

RECORD = "calibration.json"
LEVELS = np.linspace(0.05, 0.95, 19)


def stored_reliability(source: str, revision: str | None = None) -> Reliability | None:
    """From the checkpoint's `calibration.json`; None where there is none or it holds no coverages."""
    text = _read(source, revision)
    if text is None:
        return None
    try:
        record: dict[str, Any] = json.loads(text)
        coverage: Mapping[str, Mapping[str, Sequence[float]]] = record["after"]["coverage"]
        overall = coverage["overall"]
        stated = np.array(sorted(float(level) for level in overall))
        rows = np.array([overall[f"{level:g}"] for level in stated], np.float64)
        bands = {
            name: np.array([found[f"{level:g}"][0] for level in stated], np.float64)
            for name, found in coverage.items()
            if name != "overall"
        }
        spread = float(record["after"]["z_spread"]["overall"][0])
        planets = len(record.get("planets", ()))
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    words = f"{planets} held-out planets that the checkpoint was calibrated on (calibration.json)"
    return Reliability(stated, rows[:, 0], rows[:, 1], rows[:, 2], bands, spread, words, planets)


def _read(source: str, revision: str | None) -> str | None:
    path = Path(source) / RECORD
    if Path(source).is_dir():
        return path.read_text(encoding="utf-8") if path.exists() else None
    try:
        return Path(hf_hub_download(source, RECORD, revision=revision)).read_text(encoding="utf-8")
    except (EntryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, OSError):
        return None


def measured_reliability(spectra: Sequence[Spectrum], source: str) -> Reliability:
    """From spectra with known truths."""
    truth, mean, sigma = (
        np.stack([np.asarray(getattr(one, name)) for one in spectra]) for name in ("truth", "mean", "sigma")
    )
    curve = coverage_curve(truth, mean, sigma, LEVELS)
    labels, names = band_groups(spectra[0].wavelength_um, BANDS)
    by_band = {
        name: coverage_curve(truth[:, labels == at], mean[:, labels == at], sigma[:, labels == at], LEVELS).coverage
        for at, name in enumerate(names)
    }
    spread = z_histogram(truth, mean, sigma).spread[0]
    return Reliability(LEVELS, curve.coverage, curve.low, curve.high, by_band, spread, source, len(spectra))
