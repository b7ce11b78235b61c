"""Conformal half-widths by this package or another, and σ' = qσ written into predictions, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ariel_scripts.options.calibrate import ONE_SIGMA
from ariel_scripts.plugins import CONFORMAL, PluginError, call, plugins, title
from ariel_scripts.run_record import write_json
from hf_dataset.digests import file_hash
from hf_dataset.folders import read_json
from modeling_ariel.predictions import Predictions, read_predictions, read_run, write_predictions
from modeling_ariel.uncertainty import conformal_quantiles

Array = NDArray[np.float64]
Arrays = tuple[Array, Array, Array]  # truth, mean, sigma (P, C)
OURS = "conformal"
KEY = "conformal"  # of a run record's metrics: how sigma was multiplied
SCALED = ("sigma_aleatoric", "sigma_epistemic")  # parts of sigma


def quantiles(method: str, arrays: Arrays, levels: Sequence[float], wavelength: Array) -> tuple[Array, list[int]]:
    """Half-widths (L, C) [sigma] of intervals of ``levels``, by our method or an entry point's.

    The second result (L,) is what `conformal_quantiles` pools, 0 for a method of another package.
    """
    if method == OURS:
        found, pooled = conformal_quantiles(*arrays, levels)
        return found, pooled.tolist()
    return _of_plugin(plugins(CONFORMAL)[method], arrays, levels, wavelength), [0] * len(levels)


def _of_plugin(entry: EntryPoint, arrays: Arrays, levels: Sequence[float], wavelength: Array) -> Array:
    """What ``entry(truth, mean, sigma, levels, wavelength)`` returns; PluginError where it is no half-widths."""
    answer = call(entry, *(one.copy() for one in arrays), np.array(levels), wavelength.copy())
    expected = (len(levels), len(wavelength))
    try:
        found = np.asarray(answer, np.float64)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{title(entry)}: expected half-widths of shape {expected}: {error}") from error
    if found.shape != expected:
        raise PluginError(f"{title(entry)}: expected half-widths of shape {expected}, found {found.shape}")
    if not (np.isfinite(found) & (found > 0)).all():
        raise PluginError(f"{title(entry)}: expected finite half-widths above 0, found {found.min()} to {found.max()}")
    return found


# --- sigma' = q sigma ----------------------------------------------------------------------------------------------


def record_of(path: Path) -> dict[str, Any]:
    """The record of the run that made predictions, in the file or beside it; empty where there is none."""
    return read_run(path) or read_json(_beside(path)) or {}


def refuse_applied(path: Path, record: Mapping[str, Any]) -> None:
    """ValueError where sigma of these predictions is q sigma already."""
    if (known := record.get("metrics", {}).get(KEY)) is not None:
        raise ValueError(
            f"{path}: expected sigma as the model gives it, found it multiplied by the conformal q of alpha "
            f"{known.get('alpha'):g} already: predict again"
        )


def meaning(alpha: float) -> str:
    """What q sigma of an alpha is, and what scores take it for where that is another thing."""
    text = f"half of a {100 * (1 - alpha):.4g} % interval"
    if abs(alpha - ONE_SIGMA) < 0.01:
        return text
    return f"{text}; scores take it for one standard deviation, which alpha {ONE_SIGMA} is"


@dataclass(frozen=True)
class Target:
    """Predictions to write q sigma into, checked: ``path``, what they hold, and the ``record`` of their run."""

    path: Path
    predictions: Predictions
    record: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Target:
        """ValueError where they have q sigma already, or no record that would tell."""
        found, record = read_predictions(path), record_of(path)
        if not record:
            raise ValueError(
                f"{path}: expected predictions with the record of their run, in the file or as {_beside(path).name}, "
                "found none: whether sigma was multiplied before can't be told"
            )
        refuse_applied(path, record)
        return cls(path, found, record)

    def check_model(self, digest: str, samples: int) -> None:
        """ValueError where the predictions are not by the one model that is calibrated, with as many samples."""
        metrics = self.record.get("metrics", {})
        found = metrics.get("models"), metrics.get("samples")
        if found != ([digest], samples):
            raise ValueError(
                f"{self.path}: expected predictions of the model that is calibrated ({digest[:8]}), with {samples} "
                f"dropout samples, found {found[0]} with {found[1]}"
            )

    def write(self, q: Array, about: Mapping[str, Any]) -> None:
        """Replace sigma by q (C,) times sigma, and its parts too; ``about`` it goes into the record with q."""
        old = self.predictions
        parts = {name: (old.extra[name] * q).astype(np.float32) for name in SCALED if name in old.extra}
        new = Predictions(old.planet_id, old.mu, (old.sigma * q).astype(np.float32), {**old.extra, **parts})
        known = {**about, "sha256_before": file_hash(self.path), "q": [float(f"{one:.7g}") for one in q]}
        record = self.record | {"metrics": {**self.record.get("metrics", {}), KEY: known}}
        write_json(_beside(self.path), record)  # first: a CSV file has no other, and is never to be multiplied twice
        write_predictions(self.path, new, record)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.run.json")
