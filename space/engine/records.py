"""The engine's results: immutable records of NumPy arrays, without torch or Gradio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PlanetInfo:
    """A planet of the open dataset; ``note``: what is special about it; ``score``: its 2024 score where known."""

    planet_id: int
    split: str
    n_visits: int
    labelled: bool
    layout: str
    note: str = ""
    star_temperature: float = float("nan")  # [K]
    score: float | None = None
    raw: bool = False  # whether there is a raw view

    @property
    def label(self) -> str:
        """Text for a menu: id and note."""
        parts = [self.note] * bool(self.note)
        if self.n_visits > 1 and "visits" not in self.note:
            parts.append(f"{self.n_visits} visits")
        return f"{self.planet_id}" + (f" ({', '.join(parts)})" if parts else "")


@dataclass(frozen=True, eq=False)
class BandCurve:
    """The weighted mean light curve of a band, relative to the star; NaN where there is no data.

    ``drift`` is that of the fit, 1 + relative; ``flux / drift`` is the curve after drift removal.
    """

    name: str
    range_um: tuple[float, float]
    flux: Array  # (T,)
    error: Array  # (T,) 1 sigma
    model: Array  # (T,) transit times drift; NaN where there is no fit
    drift: Array  # (T,)

    @property
    def residual(self) -> Array:
        """Flux less model (T,), relative flux."""
        return self.flux - self.model


@dataclass(frozen=True, eq=False)
class LightCurves:
    """The light curves of one visit and their fit: T bins, C channels, relative to the star; NaN where not valid.

    ``bands``: AIRS-CH0's white curve, FGS1, then molecular bands that hold channels.
    """

    name: str
    visit: int
    status: str  # of this visit's fit
    note: str  # why not "ok", or what else there is to say
    time_h: Array  # (T,) from the first exposure
    wavelength_um: Array  # (C,)
    bands: tuple[BandCurve, ...]
    flux: Image  # (T, C) as measured
    error: Image  # (T, C) 1 sigma
    model: Image  # (T, C) transit times drift of the fit; 1 where there is none
    drift: Image  # (T, C) gain drift of the fit, relative: 0 is none
    centroid_px: Array  # (T, 4) FGS1 y, x and AIRS y, dispersion; NaN where not known
    parameters: Mapping[str, float] = field(default_factory=dict)  # mid-transit [h], impact parameter, ... of the fit

    @property
    def before(self) -> Image:
        """(T, C) relative flux as measured, before drift removal."""
        return self.flux

    @property
    def after(self) -> Image:
        """(T, C) relative flux with the fit's drift divided out."""
        return self.flux / (1.0 + self.drift)

    @property
    def residual(self) -> Image:
        """(T, C) flux less transit and drift: noise, where the fit is right."""
        return self.flux - self.model

    @property
    def before_without_transit(self) -> Image:
        """(T, C) relative flux less 1 with the transit divided out, which shows the drift best."""
        return np.asarray(self.flux / self.model * (1.0 + self.drift) - 1.0, np.float32)

    @property
    def after_without_transit(self) -> Image:
        """(T, C) the same with the drift divided out too."""
        return self.flux / self.model - 1.0


@dataclass(frozen=True, eq=False)
class RawImage:
    """A detector image (row, column), NaN where pixels are masked."""

    title: str
    unit: str
    image: Image


@dataclass(frozen=True, eq=False)
class RawView:
    """The raw detector of one visit: AIRS-CH0 after each calibration step, FGS1, and the apertures.

    ``steps``: images of AIRS-CH0, in order: element i is before, i + 1 after a step. ``images``: the mean exposure of
    each instrument by its name. ``trace`` (column,) row of the AIRS spectrum [px], ``aperture`` its half-width and
    ``foreground`` where the foreground begins [px]; ``spot`` (row, column) and ``fgs1_radii``: aperture and annulus of
    FGS1. ``flags`` (row, column) by instrument: bit 1 dead, 2 hot, 4 no calibration, 8 saturated.
    """

    name: str
    steps: tuple[RawImage, ...]
    images: Mapping[str, RawImage]
    flags: Mapping[str, NDArray[np.uint8]]
    columns_um: Array  # (column,) wavelength of the columns of ``steps`` and of AIRS-CH0's image; NaN where unknown
    first_column: int  # detector column of the first column of ``steps``
    trace: Array  # (column,) of all of AIRS-CH0's detector
    aperture: float
    foreground: float
    spot: tuple[float, float]
    fgs1_radii: tuple[float, float, float]

    @property
    def pairs(self) -> tuple[tuple[str, RawImage, RawImage], ...]:
        """(name of the step, image before, image after) for each step."""
        return tuple((after.title, before, after) for before, after in zip(self.steps, self.steps[1:], strict=False))


@dataclass(frozen=True, eq=False)
class Attribution:
    """Occlusion: how the spectrum changes when parts of the data are hidden; N patches in time, B bands.

    ``*_shift``: root mean square change of the mean, in σ of the answer from all data. ``*_sigma``: median change of
    ln σ; 0.1 means that σ would be 10 % wider without this part. A patch in time is judged over all channels; a band
    over its own channels, for which only the prior and the neighbours remain, and over the rest of the spectrum.
    """

    name: str
    time_edges_h: Array  # (N + 1,)
    time_shift: Array  # (N,)
    time_sigma: Array  # (N,)
    white_flux: Array  # (N,) mean white flux of the first visit in each patch, to show the transit
    band_names: tuple[str, ...]
    band_edges_um: Array  # (B, 2)
    band_shift: Array  # (B,) in the band
    band_sigma: Array  # (B,)
    band_rest_shift: Array  # (B,) in the rest
    band_rest_sigma: Array  # (B,)
    wavelength_um: Array  # (C,)
    aleatoric_share: Array  # (C,) of the variance
    epistemic_share: Array  # (C,)
    method: str  # in sentences


@dataclass(frozen=True, eq=False)
class Reliability:
    """Share of truths inside intervals of stated probability: ``stated`` (K,), ``covered`` (K,) with 90 % bounds.

    ``by_band``: (K,) covered in each band; ``source``: the planets it is measured on.
    """

    stated: Array
    covered: Array
    low: Array
    high: Array
    by_band: Mapping[str, Array]
    z_spread: float
    source: str
    n_planets: int
