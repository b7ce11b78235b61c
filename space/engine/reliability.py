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

RECORD, AWAY = "calibration.json", "away.json"
_CASES = {  # of bench/away.py, light curves of another simulator
    "no_table": "without a star table",
    "red_1h": "with noise that lasts an hour",
    "clean": "with nothing else amiss",
}
LEVELS = np.linspace(0.05, 0.95, 19)


def stored_reliability(source: str, revision: str | None = None) -> Reliability | None:
    """From the checkpoint's `calibration.json`; None where there is none or it holds no coverages."""
    text = _read(source, revision, RECORD)
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


def of_uploads_like(spectrum: Spectrum, source: str, revision: str | None = None) -> str:
    """How often bands hold for light curves of another simulator that lack what an upload lacks; empty where not known.

    The checkpoint's `away.json` has it. Best of what can be told of a planet whose truth nobody knows.
    """
    text = _read(source, revision, AWAY)
    if text is None:
        return ""
    without_table = not np.isfinite([spectrum.star.get(name, np.nan) for name in ("P", "sma", "i")]).all()
    remembers = any("noise with memory" in note for note in spectrum.notes)
    case = "no_table" if without_table else "red_1h" if remembers else "clean"
    row = json.loads(text)[case]
    return (
        f"**Like this upload**: light curves of another simulator {_CASES[case]}. Of {row['ok']} planets, 90 % bands "
        f"held {row['model']['in_90']:.0%}, and (μ − truth)/σ spread by {row['model']['z']:.2f}."
    )


def _read(source: str, revision: str | None, name: str) -> str | None:
    path = Path(source) / name
    if Path(source).is_dir():
        return path.read_text(encoding="utf-8") if path.exists() else None
    try:
        return Path(hf_hub_download(source, name, revision=revision)).read_text(encoding="utf-8")
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
