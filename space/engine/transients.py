"""Transients: simulated objects or a user's one → light curve made smooth, colours, probabilities of its class.

Nothing is opened before the first object is asked for. Probabilities are those of the released classifier, which was
trained on simulated objects alone; what it scored on others is in `scores.json` beside it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import modeling_ariel
from engine.memo import Memo
from engine.records import Array
from modeling_ariel.transients.curves import Curve, read_curve
from modeling_ariel.transients.surveys import SURVEYS

if TYPE_CHECKING:
    from modeling_ariel.transients.pipeline_transient import TransientPipeline

RELEASED = Path(modeling_ariel.__file__).parent / "transients/released"
SEED = 4_104  # of the objects; none was trained on, whose seeds are others
TYPES = ("TDE", "TDE", "SN Ia", "SN II", "SLSN-I", "AGN", "AGN")
OBJECTS = {f"{kind.lower().replace(' ', '-')}-{place}": kind for place, kind in enumerate(TYPES)}  # id → type
TIMES = 400  # of the smooth curve
BRIGHT = 5.0  # σ beyond which a measurement is part of the event
AROUND = 60.0  # d shown before and after it
COLOUR_SIGMA = 3.0  # of both fluxes, for a colour to be known
KEPT = 32


@dataclass(frozen=True, eq=False)
class TransientView:
    """An object as the page shows it.

    ``bands`` in the order of wavelength; ``flux``, ``error`` (time, band) [µJy] of the Gaussian process at ``time`` [d
    from ``peak``, MJD]; ``window`` of time in which something is seen; ``measured``: by band time [d], flux and error
    [µJy] without the Milky Way's dust; ``colours`` [mag] of neighbouring bands (time,), NaN where not known;
    ``probability`` by class; ``truth``: the simulated type, else empty.
    """

    name: str
    truth: str
    redshift: float
    peak: float
    bands: tuple[str, ...]
    time: Array
    flux: Array
    error: Array
    window: tuple[float, float]
    measured: Mapping[str, tuple[Array, Array, Array]]
    colours: Mapping[str, Array]
    probability: Mapping[str, float]

    @property
    def first(self) -> str:
        """The most probable class."""
        return max(self.probability, key=lambda name: self.probability[name])

    @property
    def n_measurements(self) -> int:
        """Number of measurements."""
        return sum(len(time) for time, _, _ in self.measured.values())


class Transients:
    """The classifier, opened when it is first needed, and what was answered lately."""

    def __init__(self) -> None:
        self._views: Memo[TransientView] = Memo(KEPT)
        self._lock = threading.Lock()

    @functools.cached_property
    def scores(self) -> dict[str, Any]:
        """What the classifier scored on other simulated objects (`bench/transient_release.py`)."""
        return dict(json.loads((RELEASED / "scores.json").read_text(encoding="utf-8")))

    @functools.cached_property
    def _pipeline(self) -> TransientPipeline:
        from modeling_ariel.transients.pipeline_transient import TransientPipeline

        return TransientPipeline.from_pretrained(RELEASED)

    def simulated(self, name: str) -> TransientView:
        """A simulated object of OBJECTS; ValueError for another name."""
        if name not in OBJECTS:
            raise ValueError(f"object: expected one of {', '.join(OBJECTS)}, found {name[:40]!r}")
        return self._views.get(name, lambda: self._view(simulate(name), OBJECTS[name]))

    def uploaded(self, curve: Curve) -> TransientView:
        """A user's object; kept under a hash of its light curve."""
        content = b"".join(value.tobytes() for value in (curve.time, curve.wavelength, curve.flux, curve.flux_err))
        about = repr((curve.name, curve.redshift, curve.ebv)).encode()
        return self._views.get(hashlib.sha256(content + about).digest(), lambda: self._view(curve, ""))

    def _view(self, curve: Curve, truth: str) -> TransientView:
        with self._lock:  # one at a time: the first opens the network
            return view(curve, truth, self._probability(curve))

    def _probability(self, curve: Curve) -> dict[str, float]:
        """Of each class: that of a disruption is calibrated; the others divide the rest as the network has them."""
        found, positive = self._pipeline.classify([curve.name], [curve]), self._pipeline.model.config.positive
        shares, own = dict(zip(found.classes, found.shares[0].tolist(), strict=True)), float(found.probability[0])
        rest = max(sum(share for name, share in shares.items() if name != positive), 1e-12)
        return {name: own if name == positive else (1.0 - own) * share / rest for name, share in shares.items()}


def simulate(name: str) -> Curve:
    """A simulated object of OBJECTS as LSST would see it, always the same."""
    from hf_dataset.transients.simulation.population import draw_transient
    from hf_dataset.transients.simulation.survey import Survey

    drawn = draw_transient(np.random.default_rng((SEED, list(OBJECTS).index(name))), OBJECTS[name], Survey())
    measured = {"band": drawn.visits.band, "time": drawn.visits.time, "flux": drawn.flux, "flux_err": drawn.flux_err}
    row = {"object_id": name, "lightcurve": measured, "redshift": drawn.redshift, "ebv": drawn.ebv}
    return read_curve(row, "lsst")


def band_name(wavelength: float) -> str:
    """The letter of a survey's band at its effective wavelength [Å]; of others the wavelength."""
    letters = {at: name for bands in SURVEYS.values() for name, at in bands.items()}
    return letters.get(wavelength, f"{wavelength:.0f} Å")


def view(curve: Curve, truth: str, probability: Mapping[str, float]) -> TransientView:
    """The smooth light curve and colours of an object."""
    wavelengths = np.unique(curve.wavelength)
    bands = tuple(band_name(float(one)) for one in wavelengths)
    time = np.linspace(curve.time[0] - 5.0, curve.time[-1] + 5.0, TIMES)
    flux, error = smoothed(curve, time, wavelengths)
    bright = curve.time[np.abs(curve.flux) > BRIGHT * curve.flux_err]
    bright = bright if len(bright) else curve.time
    peak = float(curve.time[np.argmax(curve.flux - curve.flux_err)])
    known = flux > COLOUR_SIGMA * error
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.where(known, -2.5 * np.log10(flux), np.nan)
    pairs = zip(range(len(bands)), range(1, len(bands)), strict=False)
    return TransientView(
        name=curve.name.removeprefix("object "),
        truth=truth,
        redshift=curve.redshift,
        peak=peak,
        bands=bands,
        time=time - peak,
        flux=flux,
        error=error,
        window=(float(bright.min() - AROUND - peak), float(bright.max() + AROUND - peak)),
        measured={
            band: (curve.time[own] - peak, curve.flux[own], curve.flux_err[own])
            for band, own in ((name, curve.wavelength == at) for name, at in zip(bands, wavelengths, strict=True))
        },
        colours={f"{bands[a]} − {bands[b]}": magnitude[:, a] - magnitude[:, b] for a, b in pairs},
        probability=dict(probability),
    )


def smoothed(curve: Curve, time: Array, wavelengths: Array) -> tuple[Array, Array]:
    """(time, wavelength) mean and 1σ [µJy] of the curve's Gaussian process at times [MJD] and wavelengths [Å].

    As `modeling_ariel.transients.smooth`, but at any survey's wavelengths and times.
    """
    import torch

    from modeling_ariel.transients.gaussian_process import fit, matern, padded, predict
    from modeling_ariel.transients.observed import Observed, coadded
    from modeling_ariel.transients.smooth import MATERN_PRIOR, MOST

    known, place = np.unique(curve.wavelength, return_inverse=True)
    thin = coadded(Observed(curve.name, curve.time, place, curve.flux, curve.flux_err, curve.redshift), MOST)
    scale = float(np.sqrt(np.mean(thin.flux**2))) or 1.0
    where = torch.from_numpy(np.stack([thin.time - thin.time[0], known[thin.band]]))
    batch = padded([where], [torch.from_numpy(thin.flux / scale)], [torch.from_numpy(thin.error / scale)])
    shifts = torch.tensor([[0.0, shift, 0.0] for shift in (-1.5, 0.0, 1.2)]).double()
    scales, _ = fit(matern, batch, [(MATERN_PRIOR.mean + shift)[None] for shift in shifts], MATERN_PRIOR)
    grid = torch.from_numpy(
        np.stack([np.repeat(time - thin.time[0], len(wavelengths)), np.tile(wavelengths, len(time))])
    )
    gaps = (grid[:, None, :, None] - where[:, None, None, :]).abs()
    mean, sigma = (found.numpy().reshape(len(time), -1) * scale for found in predict(matern, batch, scales, gaps))
    return mean, sigma
