"""What is known of slow noise before a visit is seen: how often there is some, how large it is and how long it lasts.

By default it is doubted, and every size and timescale is as likely as another. Visits of one telescope say more
together: shares are learned from their likelihoods by expectation-maximisation (empirical Bayes, as in Bovy, Hogg &
Roweis 2011, Annals of Applied Statistics 5, 1657), with the default counting as a few visits more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KINDS = ("common", "dispersion", "tilt", "curvature", "photometer", "band")  # responses of channels
DRIFT_PPM = (0.0, 30.0, 100.0, 300.0, 1000.0)  # first order in time of a response's own drift
WINDOWS = (0.025, 0.05, 0.1, 0.2, 0.4)  # correlation times over the window, of rough and then of smooth noise
CELLS, CELLS_OF_VISIT, _STEP = 30, 13, 1.5  # sizes: 1 ppm times powers of 1.5; a visit tells this many of them apart
_SMALLEST = 0.1  # of them over white sigma
_ABSENT = (0.9, 0.7, 0.7, 0.7, 0.5, 0.1)  # a photometer's moves one depth alone; a band's has been found
_ROUNDS = 200


@dataclass
class Evidence:
    """What a visit says of one response's slow noise.

    ``log_likelihood`` (S, 1 + CELLS_OF_VISIT, L), float32, of drift sizes, noise sizes, the first of them none, and
    kernels; ``first``: number of the smallest size's cell.
    """

    log_likelihood: np.ndarray
    first: int


@dataclass(frozen=True)
class SlowNoise:
    """Probabilities for one response: of no noise, ``absent``; of drift sizes (S,); of kernels (L,) and of sizes
    (CELLS,) where there is some. Without ``sizes`` all that a visit can tell are alike.
    """

    absent: float
    drifts: tuple[float, ...]
    kernels: tuple[float, ...]
    sizes: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """ValueError for what are no probabilities."""
        lengths = {"drifts": len(DRIFT_PPM), "kernels": 2 * len(WINDOWS), "sizes": CELLS}
        for name, length in lengths.items():
            shares = getattr(self, name)
            if shares is None and name == "sizes":
                continue
            if len(shares) != length or min(shares) < 0.0 or not abs(sum(shares) - 1.0) < 1e-6:
                raise ValueError(f"{name}: expected {length} shares that sum to 1, found {shares!r}")
        if not 0.0 <= self.absent <= 1.0:
            raise ValueError(f"absent: expected 0 to 1, found {self.absent!r}")

    @classmethod
    def doubted(cls, absent: float) -> "SlowNoise":
        """Noise and drift that are not there with this probability, and nothing known of them otherwise."""
        sizes, kernels = len(DRIFT_PPM) - 1, 2 * len(WINDOWS)
        return cls(absent, (absent, *[(1.0 - absent) / sizes] * sizes), (1.0 / kernels,) * kernels)

    def log_prior(self, first: int, like: Tensor) -> Tensor:
        """Of a visit's possibilities, as in :class:`Evidence`. Noise too small for it to tell counts as none."""
        present = 1.0 - self.absent
        if self.sizes is None:
            size = [self.absent] + [present / CELLS_OF_VISIT] * CELLS_OF_VISIT
        else:
            seen = list(self.sizes[first : first + CELLS_OF_VISIT])
            seen[-1] += sum(self.sizes[first + CELLS_OF_VISIT :])
            size = [self.absent + present * sum(self.sizes[:first]), *(present * cell for cell in seen)]
        shares = [like.new_tensor(values).log() for values in (self.drifts, size, self.kernels)]
        return shares[0][:, None, None] + shares[1][:, None] + shares[2]

    def learned(self, visits: Sequence[Evidence], weight: float) -> "SlowNoise":
        """From the evidence of visits; what was known before counts as ``weight`` visits more."""
        before = SlowNoise(self.absent, self.drifts, self.kernels, self.sizes or (1.0 / CELLS,) * CELLS)
        if not visits:
            return before
        found, likelihood = before, torch.as_tensor(np.stack([one.log_likelihood for one in visits])).double()
        firsts = [one.first for one in visits]
        for _ in range(_ROUNDS):
            log_prior = {first: found.log_prior(first, likelihood) for first in set(firsts)}
            joint = likelihood + torch.stack([log_prior[first] for first in firsts])
            share = torch.softmax(joint.flatten(1), -1).reshape(joint.shape)
            found = before._counting(share, torch.tensor(firsts), weight)
        return found

    def _counting(self, share: Tensor, first: Tensor, weight: float) -> "SlowNoise":
        """With the shares (N, S, R, L) of visits counted beside what was known."""
        present = share[:, :, 1:]
        cells = first[:, None] + torch.arange(CELLS_OF_VISIT)
        sizes = share.new_zeros(CELLS).index_add(0, cells.flatten(), present.sum((1, 3)).flatten())
        sizes = 0.5 * sizes + 0.25 * (_moved(sizes, 1) + _moved(sizes, -1))  # sizes are not that discrete

        def together(counted: Tensor, before: Sequence[float]) -> tuple[float, ...]:
            total = counted + weight * counted.new_tensor(before)
            return tuple((total / total.sum()).tolist())

        return SlowNoise(
            float(share[:, :, 0].sum() + weight * self.absent) / (len(share) + weight),
            together(share.sum((0, 2, 3)), self.drifts),
            together(present.sum((0, 1, 2)), self.kernels),
            together(sizes, self.sizes or (1.0 / CELLS,) * CELLS),
        )


DOUBTED = tuple(SlowNoise.doubted(absent) for absent in _ABSENT)  # of KINDS


def _moved(values: Tensor, by: int) -> Tensor:
    """Values moved along; those at the ends repeat."""
    return values[(torch.arange(len(values)) - by).clamp(0, len(values) - 1)]


def first_cell(white: float) -> int:
    """Number of the smallest size that is told apart where white noise has this variance [relative flux^2]."""
    number = round(math.log(max(_SMALLEST * 1e6 * math.sqrt(white), 1.0)) / math.log(_STEP))
    return min(number, CELLS - CELLS_OF_VISIT)


def sizes_of(first: int, like: Tensor) -> Tensor:
    """Sizes (1 + CELLS_OF_VISIT,) [relative flux] of a visit's cells, none before them."""
    cells = torch.arange(first, first + CELLS_OF_VISIT, dtype=like.dtype, device=like.device)
    return torch.cat([cells.new_zeros(1), 1e-6 * _STEP**cells])
