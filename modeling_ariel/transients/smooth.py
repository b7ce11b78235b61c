"""Light curves made smooth: a Gaussian process in time and wavelength for each object, its peak, and damped walks.

What is here depends on no redshift, so that features at several redshifts need one fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .gaussian_process import Batch, Prior, damped, fit, log_likelihood, matern, padded, predict, weights
from .observed import BANDS, WAVELENGTHS, Array, Observed, coadded

MOST = 260  # measurements of a process; the cost grows with the cube
ENTRIES = 2_000_000  # of a batch's covariances: 16 MB
PEAK_BANDS = (1, 2, 3)  # g, r, i: the deep ones
NEAR = 10.0  # d; a peak farther than this from any measurement is the kernel's, not the object's
GRID = np.arange(-200.0, 501.0, 2.5)  # d, of the observer, since the peak
WALK_LEAST = 8  # measurements of a band from which a damped walk is fitted
# of log amplitude (in units of the fluxes' rms), log ℓ_t [d], log ℓ_λ [Å]; wide, for what the fluxes leave open
MATERN_PRIOR = Prior(torch.tensor([0.0, np.log(60), np.log(4000)]).double(), torch.tensor([1.0, 1.2, 1.0]).double())
WALK_PRIOR = Prior(torch.tensor([0.0, np.log(100)]).double(), torch.tensor([1.0, 1.5]).double())


@dataclass(frozen=True, eq=False)
class Walk:
    """A band's damped random walk: σ [µJy], τ [d] of the observer, log-likelihood above that of a constant."""

    spread: float
    timescale: float
    gain: float


@dataclass(frozen=True, eq=False)
class Smooth:
    """An object's process: amplitude [µJy], lengths [d], [Å], log-likelihood a measurement, reduced χ² of what is left.

    peak: time [MJD] of the greatest flux of g, r or i that is sure, mean less 1σ. flux, error: (time of `GRID`, band)
    mean and 1σ [µJy]. second: greatest such flux 100 days or more from the peak, as a share of the peak's; NaN where
    nothing was measured there. walks: by band, where there are measurements enough.
    """

    amplitude: float
    length_time: float
    length_wavelength: float
    log_likelihood: float
    residual: float
    peak: float
    flux: Array
    error: Array
    second: float
    walks: dict[int, Walk]


def smooth_all(objects: Sequence[Observed], progress: Callable[[int], object] | None = None) -> list[Smooth]:
    """The smooth light curves of objects, in their order; `progress(n)` is called after each batch."""
    thin = [coadded(one, MOST) for one in objects]
    found: dict[int, Smooth] = {}
    for places in _batches([one.time.size for one in thin]):
        own = [thin[place] for place in places]
        found |= dict(zip(places, _smooth_batch(own), strict=True))
        if progress:
            progress(len(places))
    return [found[place] for place in range(len(objects))]


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Places of objects of like sizes, as many at once as memory is worth."""
    order = sorted(range(len(sizes)), key=lambda place: -sizes[place])
    while order:
        count = max(1, ENTRIES // max(sizes[order[0]], 1) ** 2)
        yield order[:count]
        order = order[count:]


def _smooth_batch(objects: Sequence[Observed]) -> list[Smooth]:
    scale = [float(np.sqrt(np.mean(one.flux**2))) or 1.0 for one in objects]
    batch = padded(
        [torch.from_numpy(np.stack([one.time - one.time[0], WAVELENGTHS[one.band]])) for one in objects],
        [torch.from_numpy(one.flux / unit) for one, unit in zip(objects, scale, strict=True)],
        [torch.from_numpy(one.error / unit) for one, unit in zip(objects, scale, strict=True)],
    )
    shifts = torch.tensor([[0.0, shift, 0.0] for shift in (-1.5, 0.0, 1.2)]).double()
    starts = [(MATERN_PRIOR.mean + shift).expand(len(objects), 3) for shift in shifts]
    scales, value = fit(matern, batch, starts, MATERN_PRIOR)
    alpha = weights(matern, batch, scales)
    left = ((batch.error * alpha) ** 2 * batch.real).sum(-1) / batch.real.sum(-1)
    walks = _walks(objects)
    found = []
    for row, one in enumerate(objects):
        process = _Process(one, scale[row], batch.of(torch.tensor([row])), scales[row : row + 1])
        peak, second = process.peak()
        flux, error = process.at(peak + GRID, range(len(BANDS)))
        amplitude, length_time, length_wavelength = scales[row].exp().tolist()
        found.append(
            Smooth(
                amplitude=amplitude * scale[row],
                length_time=length_time,
                length_wavelength=length_wavelength,
                log_likelihood=value[row].item() / one.time.size,
                residual=left[row].item(),
                peak=peak,
                flux=flux,
                error=error,
                second=second,
                walks=walks[row],
            )
        )
    return found


@dataclass(frozen=True, eq=False)
class _Process:
    """One object's fitted process, in units of `scale`."""

    observed: Observed
    scale: float
    batch: Batch
    log_scales: Tensor

    def at(self, time: Array, bands: Sequence[int]) -> tuple[Array, Array]:
        """(time, band) mean and 1σ [µJy]."""
        own, count = self.observed, self.observed.time.size
        gaps = torch.zeros(2, 1, time.size * len(bands), self.batch.flux.shape[1], dtype=torch.float64)
        when, where = np.repeat(time, len(bands)), np.tile(WAVELENGTHS[list(bands)], time.size)
        gaps[0, 0, :, :count] = torch.from_numpy(np.abs(when[:, None] - own.time))
        gaps[1, 0, :, :count] = torch.from_numpy(np.abs(where[:, None] - WAVELENGTHS[own.band]))
        mean, sigma = (one.numpy().reshape(time.size, -1) for one in predict(matern, self.batch, self.log_scales, gaps))
        return mean * self.scale, sigma * self.scale

    def peak(self) -> tuple[float, float]:
        """Time [MJD] of the peak, and the greatest flux far from it as its share."""
        time = np.arange(self.observed.time[0], self.observed.time[-1] + 4.0, 4.0)
        behind = np.searchsorted(self.observed.time, time).clip(1, self.observed.time.size - 1)
        gap = np.minimum(np.abs(time - self.observed.time[behind - 1]), np.abs(time - self.observed.time[behind]))
        time = time[gap <= NEAR]
        mean, sigma = self.at(time, PEAK_BANDS)
        sure = (mean - sigma).max(1)
        best = int(sure.argmax())
        far = np.abs(time - time[best]) >= 100
        share = sure[far].max() / max(sure[best], 1e-3 * self.scale) if far.any() else np.nan
        return float(time[best]), float(share)


def _walks(objects: Sequence[Observed]) -> list[dict[int, Walk]]:
    """For each object its damped random walks, in g, r and i, about the band's weighted mean."""
    own = [
        (row, band, *one.of_band(band))
        for row, one in enumerate(objects)
        for band in PEAK_BANDS
        if (one.band == band).sum() >= WALK_LEAST
    ]
    walks: list[dict[int, Walk]] = [{} for _ in objects]
    if not own:
        return walks
    centred = [flux - np.average(flux, weights=error**-2) for _, _, _, flux, error in own]
    scale = [float(np.sqrt(np.mean(flux**2))) or 1.0 for flux in centred]
    batch = padded(
        [torch.from_numpy(time - time[0])[None] for _, _, time, _, _ in own],
        [torch.from_numpy(flux / unit) for flux, unit in zip(centred, scale, strict=True)],
        [torch.from_numpy(error / unit) for (*_, error), unit in zip(own, scale, strict=True)],
    )
    starts = [(WALK_PRIOR.mean + torch.tensor([0.0, shift])).double().expand(len(own), 2) for shift in (-1.5, 0.0, 1.5)]
    scales, value = fit(damped, batch, starts, WALK_PRIOR)
    constant = log_likelihood(damped, batch, torch.tensor([-30.0, 0.0]).double().expand(len(own), 2))
    for place, (row, band, *_) in enumerate(own):
        spread, timescale = scales[place].exp().tolist()
        walks[row][band] = Walk(spread * scale[place], timescale, float(value[place] - constant[place]))
    return walks
