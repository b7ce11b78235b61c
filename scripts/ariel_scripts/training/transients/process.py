"""A light curve as a Gaussian process in time and wavelength, for augmentation alone.

The kernel is a product of Matérn 3/2 in time and in wavelength, the latter's length 6000 Å, as in avocado (Boone 2019,
AJ 158, 257); amplitude and length in time are the likeliest of a grid: a fit of each curve would take too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling_ariel.transients.curves import Curve
from modeling_ariel.transients.gaussian_process import Batch, log_likelihood, padded, predict

Array = NDArray[np.float64]

WAVELENGTH_LENGTH = 6000.0  # Å
TIME_LENGTHS = (6.0, 18.0, 54.0, 160.0, 480.0)  # d
AMPLITUDES = (1.0, 2.0)  # in the root mean square of the flux
MOST = 120  # measurements that a process is conditioned on: the time goes with their cube


def product_of_materns(gaps: Tensor, log_scales: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Matérn 3/2 in time times Matérn 3/2 in wavelength; scales: amplitude and length in time. No slopes are asked."""
    amplitude, length = log_scales.exp()[..., None, None].unbind(-3)
    in_time, in_wavelength = 3**0.5 * gaps[0] / length, 3**0.5 * gaps[1] / WAVELENGTH_LENGTH
    return amplitude**2 * (1.0 + in_time) * (1.0 + in_wavelength) * torch.exp(-in_time - in_wavelength), []


@dataclass(frozen=True, eq=False)
class LightCurveProcess:
    """A process conditioned on a curve: its ``places`` (2, N), time [d] and wavelength [Å], the curve as a ``batch`` of
    one, and ``log_scales`` (1, 2) of amplitude [µJy] and length [d]."""

    places: Tensor
    batch: Batch
    log_scales: Tensor

    @property
    def amplitude(self) -> float:
        """1σ [µJy] where nothing is known."""
        return float(self.log_scales[0, 0].exp())

    @property
    def length(self) -> float:
        """In time [d]."""
        return float(self.log_scales[0, 1].exp())

    @classmethod
    def of(cls, curve: Curve) -> LightCurveProcess:
        """The likeliest process of the grid; of a long curve evenly many measurements count."""
        if len(curve) > MOST:
            curve = curve.take(np.linspace(0, len(curve) - 1, MOST).round().astype(int))
        places = _places(curve.time, curve.wavelength)
        batch = padded([places], [torch.from_numpy(curve.flux)], [torch.from_numpy(curve.flux_err)])
        rms = float(np.sqrt(np.mean(curve.flux**2)))
        grid = torch.tensor([[log(rms * one), log(length)] for one in AMPLITUDES for length in TIME_LENGTHS]).double()
        likelihood = log_likelihood(product_of_materns, batch.of(torch.zeros(len(grid), dtype=torch.long)), grid)
        return cls(places, batch, grid[likelihood.argmax()][None])

    def predict(self, time: Array, wavelength: Array) -> tuple[Array, Array]:
        """Mean and 1σ (M,) [µJy] at times (M,) [d] and wavelengths (M,) [Å]."""
        gaps = (_places(time, wavelength)[:, None, :, None] - self.places[:, None, None]).abs()
        mean, sigma = predict(product_of_materns, self.batch, self.log_scales, gaps)
        return mean[0].numpy(), sigma[0].numpy()


def _places(time: Array, wavelength: Array) -> Tensor:
    return torch.from_numpy(np.stack([time, wavelength]))
